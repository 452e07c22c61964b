//! Trouble that nobody asked about, told as events.
//!
//! Owns: looking at pools and disks from time to time, and what is new about them. Does not own: what
//! is wrong with them, changes that somebody asked for (`api`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use vpool_api::{Disk, EventKind, Pool, StoreState};

use crate::daemon::Daemon;
use crate::events::Events;

/// Between two looks at the pools.
const PAUSE: Duration = Duration::from_secs(1);

/// Disks may be many: they are looked at so many times less often.
const DISKS_EVERY: u32 = 5;

/// What was wrong at the last look, by name.
#[derive(Debug, Default)]
struct Seen {
    pools: BTreeMap<String, PoolSeen>,
    disks: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct PoolSeen {
    trouble: Option<String>,
    down: bool,
}

/// Looks for ever.
pub(crate) async fn watch(daemon: Arc<Daemon>, events: Arc<Events>) {
    let mut seen = Seen::default();
    let mut looks = tokio::time::interval(PAUSE);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for look in (0..DISKS_EVERY).cycle() {
        looks.tick().await;
        seen.pools(&daemon.pools(), &events);
        if look == 0 {
            // Pools that are asked for by no name are never an error.
            seen.disks(&daemon.disks(None).unwrap_or_default(), &events);
            daemon.forget_activity();
        }
    }
}

impl Seen {
    fn pools(&mut self, pools: &[Pool], events: &Events) {
        let mut now = BTreeMap::new();
        for pool in pools {
            let before = self.pools.remove(&pool.name).unwrap_or_default();
            let store = pool.store.as_ref();
            let state = PoolSeen {
                trouble: pool
                    .error
                    .clone()
                    .or_else(|| store.and_then(|store| store.trouble.clone())),
                down: store.is_some_and(|store| store.state == StoreState::Down),
            };
            match (before.down, state.down) {
                (false, true) => {
                    let why = state.trouble.clone().unwrap_or_default();
                    events.tell(EventKind::StoreDown, &pool.name, &why);
                }
                (true, false) => events.send(EventKind::StoreUp, &pool.name),
                _ => {}
            }
            // Of one trouble that is told in other words each time, the first ones do.
            match (&before.trouble, &state.trouble) {
                (None, Some(why)) => events.tell(EventKind::Trouble, &pool.name, why),
                (Some(_), None) => events.send(EventKind::TroubleOver, &pool.name),
                _ => {}
            }
            now.insert(pool.name.clone(), state);
        }
        self.pools = now;
    }

    fn disks(&mut self, disks: &[Disk], events: &Events) {
        let mut now = BTreeMap::new();
        for disk in disks {
            let name = format!("{}:{}", disk.pool, disk.name);
            match (self.disks.remove(&name), &disk.error) {
                (None, Some(why)) => events.tell(EventKind::Trouble, &name, why),
                (Some(_), None) => events.send(EventKind::TroubleOver, &name),
                _ => {}
            }
            if let Some(error) = &disk.error {
                now.insert(name, error.clone());
            }
        }
        self.disks = now;
    }
}

#[cfg(test)]
mod tests {
    //! What is told of what is seen.

    use super::Seen;
    use crate::events::Events;
    use serde_json::json;
    use vpool_api::{EventKind, Pool};
    use vpool_host::Host;

    fn pool(state: &str, trouble: Option<&str>, error: Option<&str>) -> Pool {
        serde_json::from_value(json!({"id": "1", "name": "p",
            "location": {"kind": "fs", "path": "/p"}, "generation": 1, "disks": 0,
            "journal_used_bytes": 0, "journal_max_bytes": 0, "unshipped_bytes": 0,
            "store": {"state": state, "requests": 0, "errors": 0, "retries": 0,
                "sent_bytes": 0, "received_bytes": 0, "trouble": trouble},
            "error": error}))
        .expect("a pool")
    }

    #[tokio::test]
    async fn each_trouble_is_told_once() {
        let events = Events::new(Host::real().clock);
        let mut listener = events.listen(None).expect("the first");
        let mut seen = Seen::default();
        for pool in [
            pool("up", None, None),
            pool("up", Some("slow"), None),
            pool("up", Some("slower"), None),
            pool("down", Some("dead"), None),
            pool("down", Some("dead still"), None),
            pool("up", None, None),
            pool("up", None, Some("EIO")),
        ] {
            seen.pools(&[pool], &events);
        }
        seen.pools(&[], &events);
        events.close();
        let mut told = Vec::new();
        loop {
            let found = listener.next().await;
            if found.is_empty() {
                break;
            }
            told.extend(found.iter().map(|e| (e.kind, e.detail.clone())));
        }
        assert_eq!(
            told,
            [
                (EventKind::Trouble, Some("slow".to_owned())),
                (EventKind::StoreDown, Some("dead".to_owned())),
                (EventKind::StoreUp, None),
                (EventKind::TroubleOver, None),
                (EventKind::Trouble, Some("EIO".to_owned())),
            ]
        );
    }
}
