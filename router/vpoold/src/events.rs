//! What happened, for those who listen.
//!
//! ```text
//! handlers, tasks, watch ─▶ ring of the newest events ◀─ each listener with a place of its own
//! ```
//!
//! Owns: the numbers of events, the ring, what a listener gets who comes back or falls behind. Does
//! not own: when something happened, the stream on the wire (`api`).
//!
//! A listener has no queue: it reads from the ring, and one whose place has been overwritten is told
//! to look at everything anew. So neither many nor slow ones cost memory.
//!
//! Numbers begin with the time of the start, so that those of an earlier life are all smaller.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use vpool_api::time::rfc3339;
use vpool_api::{Code, Event, EventKind, Problem, Task};
use vpool_host::Clock;

/// Events that are kept.
const EVENTS_MAX: usize = 2048;

/// Of these, how many a listener takes at a time.
const BATCH: usize = 64;

/// Listeners at a time.
const LISTENERS_MAX: usize = 64;

/// The longest text of an event, in characters.
const DETAIL_CHARS_MAX: usize = 1000;

/// Numbers that one millisecond of a start is good for. In 2100 they still are whole numbers of
/// JavaScript.
const NUMBERS_PER_MS: u64 = 2048;

/// The newest events and who waits for more.
#[derive(Debug)]
pub(crate) struct Events {
    ring: Mutex<Ring>,
    grown: watch::Sender<()>,
    listeners: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    /// The number of the newest event.
    last: u64,
    /// Events up to this number are not there any more, or were of an earlier life.
    gone: u64,
    closed: bool,
}

/// One who listens.
#[derive(Debug)]
pub(crate) struct Listener {
    events: Arc<Events>,
    grown: watch::Receiver<()>,
    /// It has had everything up to here.
    place: u64,
    /// It came back with a number that says nothing here.
    lost: bool,
    _permit: OwnedSemaphorePermit,
}

impl Events {
    /// Without any yet.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Events> {
        let begin = clock.wall_ms().saturating_mul(NUMBERS_PER_MS);
        Arc::new(Events {
            ring: Mutex::new(Ring {
                events: VecDeque::new(),
                last: begin,
                gone: begin,
                closed: false,
            }),
            grown: watch::Sender::new(()),
            listeners: Arc::new(Semaphore::new(LISTENERS_MAX)),
            clock,
        })
    }

    /// Something happened to a pool or disk.
    pub(crate) fn send(&self, kind: EventKind, object: impl Into<String>) {
        self.add(kind, object.into(), None, None);
    }

    /// The same with more about it.
    pub(crate) fn tell(&self, kind: EventKind, object: impl Into<String>, detail: &str) {
        let detail = detail.chars().take(DETAIL_CHARS_MAX).collect();
        self.add(kind, object.into(), Some(detail), None);
    }

    /// A task began or ended.
    pub(crate) fn task(&self, task: &Task) {
        let object = task.object.clone();
        self.add(EventKind::Task, object, None, Some(task.clone()));
    }

    fn add(&self, kind: EventKind, object: String, detail: Option<String>, task: Option<Task>) {
        let at = rfc3339(self.clock.wall_ms());
        let mut ring = self.ring.lock();
        ring.last += 1;
        let id = ring.last;
        ring.events.push_back(Arc::new(Event {
            id,
            at,
            kind,
            object,
            detail,
            task,
        }));
        if ring.events.len() > EVENTS_MAX
            && let Some(oldest) = ring.events.pop_front()
        {
            ring.gone = oldest.id;
        }
        drop(ring);
        self.grown.send_replace(());
    }

    /// From `after` on, or from now on.
    pub(crate) fn listen(self: &Arc<Self>, after: Option<u64>) -> Result<Listener, Problem> {
        let permit = self.listeners.clone().try_acquire_owned().map_err(|_| {
            let detail = format!("{LISTENERS_MAX} clients listen to events already");
            Problem::new(Code::Busy, detail).with_hint("end one of them, or come back later")
        })?;
        let grown = self.grown.subscribe();
        let ring = self.ring.lock();
        let after = after.unwrap_or(ring.last);
        let lost = after > ring.last;
        Ok(Listener {
            place: if lost { ring.gone } else { after },
            lost,
            events: self.clone(),
            grown,
            _permit: permit,
        })
    }

    /// Ends all streams, after what happened so far.
    pub(crate) fn close(&self) {
        self.ring.lock().closed = true;
        self.grown.send_replace(());
    }
}

impl Listener {
    /// The number of the event that it has had last.
    pub(crate) fn place(&self) -> u64 {
        self.place
    }

    /// What happened since, as soon as there is something; nothing at the end.
    pub(crate) async fn next(&mut self) -> Vec<Arc<Event>> {
        loop {
            self.grown.borrow_and_update();
            if let Some(found) = self.look() {
                return found;
            }
            if self.grown.changed().await.is_err() {
                return Vec::new();
            }
        }
    }

    fn look(&mut self) -> Option<Vec<Arc<Event>>> {
        let ring = self.events.ring.lock();
        if std::mem::take(&mut self.lost) || self.place < ring.gone {
            // What is still there follows.
            self.place = ring.gone;
            return Some(vec![Arc::new(Event {
                id: ring.gone,
                at: rfc3339(self.events.clock.wall_ms()),
                kind: EventKind::Reset,
                object: String::new(),
                detail: None,
                task: None,
            })]);
        }
        let next = ring.events.partition_point(|event| event.id <= self.place);
        let found: Vec<Arc<Event>> = ring.events.iter().skip(next).take(BATCH).cloned().collect();
        match found.last() {
            Some(newest) => {
                self.place = newest.id;
                Some(found)
            }
            None => ring.closed.then(Vec::new),
        }
    }
}

#[cfg(test)]
mod tests {
    //! Who gets what: new ones, those who come back, those who fall behind.

    use super::{EVENTS_MAX, Events, LISTENERS_MAX, Listener};
    use std::sync::Arc;
    use vpool_api::{Code, EventKind};
    use vpool_host::Host;

    fn events() -> Arc<Events> {
        Events::new(Host::real().clock)
    }

    /// All that is there now.
    async fn drain(listener: &mut Listener) -> Vec<(EventKind, String)> {
        let mut all = Vec::new();
        while listener.look_again() {
            let found = listener.next().await;
            all.extend(found.iter().map(|e| (e.kind, e.object.clone())));
        }
        all
    }

    impl Listener {
        fn look_again(&self) -> bool {
            let ring = self.events.ring.lock();
            self.place != ring.last
        }
    }

    #[tokio::test]
    async fn a_listener_gets_what_comes_and_can_come_back() {
        let events = events();
        events.send(EventKind::DiskCreated, "before");
        let mut listener = events.listen(None).expect("the first");
        events.send(EventKind::DiskCreated, "p:a");
        events.tell(EventKind::Trouble, "p", "no space");
        let first = listener.next().await;
        assert_eq!(first.len(), 2);
        assert!(first[0].id < first[1].id);
        assert_eq!(first[1].detail.as_deref(), Some("no space"));
        let place = first[0].id;
        drop(listener);
        events.send(EventKind::DiskDeleted, "p:a");
        let mut back = events.listen(Some(place)).expect("again");
        assert_eq!(
            drain(&mut back).await,
            [
                (EventKind::Trouble, "p".to_owned()),
                (EventKind::DiskDeleted, "p:a".to_owned())
            ]
        );
    }

    #[tokio::test]
    async fn what_is_gone_is_a_reset() {
        for place in [
            |_| 0,
            |begin| begin - 1,
            |begin| begin + 2,
            |_: u64| u64::MAX,
        ] {
            let events = events();
            let begin = events.listen(None).expect("the first").place();
            events.send(EventKind::DiskCreated, "p:0");
            let mut listener = events.listen(Some(place(begin))).expect("a place");
            assert_eq!(listener.next().await[0].kind, EventKind::Reset);
            events.send(EventKind::DiskCreated, "p:1");
            let kept = listener.next().await;
            let objects: Vec<&str> = kept.iter().map(|event| &*event.object).collect();
            assert_eq!(objects, ["p:0", "p:1"]);
        }
    }

    #[tokio::test]
    async fn who_falls_behind_is_told() {
        let events = events();
        let mut slow = events.listen(None).expect("the first");
        for number in 0..EVENTS_MAX {
            events.send(EventKind::DiskChanged, number.to_string());
        }
        // The ring is full and the slow one has missed nothing yet.
        assert_eq!(slow.next().await[0].object, "0");
        for number in 0..2 * EVENTS_MAX {
            events.send(EventKind::DiskChanged, number.to_string());
        }
        assert_eq!(slow.next().await[0].kind, EventKind::Reset);
        assert_eq!(events.ring.lock().events.len(), EVENTS_MAX);
        events.close();
        // What is kept comes all the same, and then the end.
        let mut kept = 0;
        while let came @ 1.. = slow.next().await.len() {
            kept += came;
        }
        assert_eq!(kept, EVENTS_MAX);
    }

    #[tokio::test]
    async fn listeners_are_so_many_at_most() {
        let events = events();
        let all: Vec<Listener> = (0..LISTENERS_MAX)
            .map(|_| events.listen(None).expect("there is room"))
            .collect();
        assert_eq!(events.listen(None).expect_err("full").code, Code::Busy);
        drop(all);
        events.listen(None).expect("there is room again");
    }
}
