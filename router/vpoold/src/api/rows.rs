//! What pools, disks, their statistics and tasks are filtered and sorted by.
//!
//! Owns: those tables. Does not own: filtering and sorting (`list.rs`).

use vpool_api::{Disk, DiskStatistics, Pool, StoreState, Task, TaskKind, TaskState};

use super::list::{Cell, Key, Kind, Row};

const STORE_STATES: &[&str] = &["up", "down", "unknown"];
const TASK_KINDS: &[&str] = &[TaskKind::DiskSync.name(), TaskKind::PoolSync.name()];
const TASK_STATES: &[&str] = &[
    TaskState::Waiting.name(),
    TaskState::Running.name(),
    TaskState::Done.name(),
    TaskState::Failed.name(),
    TaskState::Cancelled.name(),
];

const fn text<T>(name: &'static str, cell: fn(&T) -> Cell) -> Key<T> {
    let kind = Kind::Text;
    Key { name, kind, cell }
}

const fn number<T>(name: &'static str, cell: fn(&T) -> Cell) -> Key<T> {
    let kind = Kind::Number;
    Key { name, kind, cell }
}

const fn flag<T>(name: &'static str, cell: fn(&T) -> Cell) -> Key<T> {
    let kind = Kind::Flag;
    Key { name, kind, cell }
}

const fn one_of<T>(
    name: &'static str,
    values: &'static [&'static str],
    cell: fn(&T) -> Cell,
) -> Key<T> {
    let kind = Kind::OneOf(values);
    Key { name, kind, cell }
}

impl Row for Pool {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "name",
        "location",
        "generation",
        "disks",
        "journal_used_bytes",
        "journal_max_bytes",
        "unshipped_bytes",
        "store",
        "error",
    ];
    const KEYS: &'static [Key<Pool>] = &[
        text("name", |pool| Cell::Text(pool.name.clone())),
        text("id", |pool| Cell::Text(pool.id.clone())),
        number("disks", |pool| Cell::Number(pool.disks)),
        number("unshipped_bytes", |pool| Cell::Number(pool.unshipped_bytes)),
        one_of("store_state", STORE_STATES, |pool| {
            let state = match pool.store.as_ref().map(|store| store.state) {
                Some(StoreState::Up) => "up",
                Some(StoreState::Down) => "down",
                None => "unknown",
            };
            Cell::Text(state.to_owned())
        }),
        flag("failed", |pool| Cell::Flag(pool.error.is_some())),
    ];

    fn name(&self) -> String {
        self.name.clone()
    }
}

impl Row for Disk {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "pool",
        "name",
        "size_bytes",
        "encrypted",
        "created_ms",
        "created_at",
        "description",
        "read_only",
        "open",
        "attached",
        "log",
        "error",
    ];
    const KEYS: &'static [Key<Disk>] = &[
        text("pool", |disk| Cell::Text(disk.pool.clone())),
        text("name", |disk| Cell::Text(disk.name.clone())),
        text("id", |disk| Cell::Text(disk.id.clone())),
        number("size_bytes", |disk| Cell::Number(disk.size_bytes)),
        text("created_at", |disk| Cell::Text(disk.created_at.clone())),
        text("description", |disk| {
            Cell::Text(disk.description.clone().unwrap_or_default())
        }),
        flag("encrypted", |disk| Cell::Flag(disk.encrypted)),
        flag("read_only", |disk| Cell::Flag(disk.read_only)),
        flag("open", |disk| Cell::Flag(disk.open)),
        number("attached", |disk| Cell::Number(disk.attached)),
        number("unshipped_bytes", |disk| {
            Cell::Number(disk.log.as_ref().map_or(0, |log| log.unshipped_bytes))
        }),
        flag("failed", |disk| Cell::Flag(disk.error.is_some())),
    ];

    fn name(&self) -> String {
        format!("{}:{}", self.pool, self.name)
    }
}

impl Row for DiskStatistics {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "pool",
        "name",
        "attached",
        "reads",
        "writes",
        "flushes",
        "discards",
        "errors",
        "read_bytes",
        "written_bytes",
        "cache_hits",
        "cache_misses",
        "backlog_bytes",
        "read_latency",
        "write_latency",
        "flush_latency",
    ];
    const KEYS: &'static [Key<DiskStatistics>] = &[
        text("pool", |one| Cell::Text(one.pool.clone())),
        text("name", |one| Cell::Text(one.name.clone())),
        text("id", |one| Cell::Text(one.id.clone())),
        number("attached", |one| Cell::Number(one.attached)),
        number("reads", |one| Cell::Number(one.reads)),
        number("writes", |one| Cell::Number(one.writes)),
        number("read_bytes", |one| Cell::Number(one.read_bytes)),
        number("written_bytes", |one| Cell::Number(one.written_bytes)),
        number("backlog_bytes", |one| Cell::Number(one.backlog_bytes)),
    ];

    fn name(&self) -> String {
        format!("{}:{}", self.pool, self.name)
    }
}

impl Row for Task {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "kind",
        "object",
        "state",
        "percent",
        "done_bytes",
        "total_bytes",
        "bytes_per_second",
        "eta_seconds",
        "created_at",
        "ended_at",
        "problem",
        "cancellable",
    ];
    const KEYS: &'static [Key<Task>] = &[
        number("id", |task| Cell::Number(task.id)),
        one_of("kind", TASK_KINDS, |task| {
            Cell::Text(task.kind.name().to_owned())
        }),
        text("object", |task| Cell::Text(task.object.clone())),
        one_of("state", TASK_STATES, |task| {
            Cell::Text(task.state.name().to_owned())
        }),
        text("created_at", |task| Cell::Text(task.created_at.clone())),
    ];

    fn name(&self) -> String {
        format!("{:020}", self.id)
    }
}

#[cfg(test)]
mod tests {
    //! The names of fields are those on the wire.

    use serde::Serialize;
    use serde_json::{Value, json};
    use vpool_api::{
        Disk, DiskStatistics, Latency, Pool, Problem, StoreCounts, StoreState, Task, TaskKind,
        TaskState,
    };

    use super::Row;

    /// Of an item that has all its optional fields.
    fn check<T: Row + Serialize>(item: &T) {
        let Value::Object(members) = serde_json::to_value(item).expect("plain data") else {
            panic!("an item is an object");
        };
        let mut fields: Vec<&str> = T::FIELDS.to_vec();
        fields.sort_unstable();
        let mut sent: Vec<&str> = members.keys().map(String::as_str).collect();
        sent.sort_unstable();
        assert_eq!(fields, sent);
    }

    #[test]
    fn all_fields_are_known() {
        check(&Pool {
            id: "1".into(),
            name: "p".into(),
            location: vpool_api::Location::Fs { path: "/p".into() },
            generation: 1,
            disks: 0,
            journal_used_bytes: 0,
            journal_max_bytes: 0,
            unshipped_bytes: 0,
            store: Some(StoreCounts {
                state: StoreState::Up,
                requests: 0,
                puts: 0,
                gets: 0,
                errors: 0,
                retries: 0,
                sent_bytes: 0,
                received_bytes: 0,
                trouble: None,
            }),
            error: Some("x".into()),
        });
        let mut disk = json!({"id": "1", "pool": "p", "name": "d", "size_bytes": 512,
            "encrypted": false, "created_ms": 0, "created_at": "", "read_only": false,
            "open": false, "attached": 0, "log": null});
        disk["description"] = json!("x");
        disk["error"] = json!("x");
        check(&serde_json::from_value::<Disk>(disk).expect("a disk"));
        check(&DiskStatistics {
            id: "1".into(),
            pool: "p".into(),
            name: "d".into(),
            attached: 0,
            reads: 0,
            writes: 0,
            flushes: 0,
            discards: 0,
            errors: 0,
            read_bytes: 0,
            written_bytes: 0,
            cache_hits: 0,
            cache_misses: 0,
            backlog_bytes: 0,
            read_latency: Latency::default(),
            write_latency: Latency::default(),
            flush_latency: Latency::default(),
        });
        check(&Task {
            id: 1,
            kind: TaskKind::DiskSync,
            object: "p:d".into(),
            state: TaskState::Failed,
            percent: Some(1.0),
            done_bytes: Some(1),
            total_bytes: Some(1),
            bytes_per_second: Some(1),
            eta_seconds: Some(1),
            created_at: String::new(),
            ended_at: Some(String::new()),
            problem: Some(Problem::new(vpool_api::Code::Io, "x")),
            cancellable: false,
        });
    }
}
