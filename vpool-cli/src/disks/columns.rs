//! What is said of a disk.
//!
//! Owns: its columns. Does not own: their layout.

use vpool_api::{Disk, DiskLog};

use crate::output::columns::{Column, Listed, Place};
use crate::output::value::Value;

/// A column of disks.
const fn column(name: &'static str, place: Place, value: fn(&Disk) -> Value) -> Column<Disk> {
    Column { name, place, value }
}

impl Listed for Disk {
    const COLUMNS: &'static [Column<Disk>] = &[
        column("pool", Place::List, |disk| disk.pool.as_str().into()),
        column("name", Place::List, |disk| disk.name.as_str().into()),
        column("size", Place::List, |disk| Value::Bytes(disk.size_bytes)),
        column("encrypted", Place::List, |disk| Value::Flag(disk.encrypted)),
        column("read_only", Place::Wide, |disk| Value::Flag(disk.read_only)),
        column("state", Place::List, |disk| state(disk).into()),
        column("clients", Place::List, |disk| Value::Count(disk.attached)),
        column("not_shipped", Place::List, |disk| {
            logged(disk, |log| Value::Bytes(log.unshipped_bytes))
        }),
        column("written", Place::Wide, |disk| {
            logged(disk, |log| Value::Bytes(log.written_bytes))
        }),
        column("shipped", Place::Wide, |disk| {
            logged(disk, |log| Value::Bytes(log.shipped_bytes))
        }),
        column("map_shipped", Place::One, |disk| {
            logged(disk, |log| Value::Bytes(log.map_bytes))
        }),
        column("created", Place::Wide, |disk| {
            disk.created_at.as_str().into()
        }),
        column("description", Place::Wide, |disk| {
            disk.description.clone().into()
        }),
        column("id", Place::Wide, |disk| disk.id.as_str().into()),
        column("log", Place::One, |disk| {
            logged(disk, |log| {
                let DiskLog {
                    last,
                    durable,
                    shipped,
                    ..
                } = log;
                format!("{last} written, {durable} durable, {shipped} in the store").into()
            })
        }),
        column("error", Place::One, |disk| disk.error.clone().into()),
    ];

    fn name(&self) -> String {
        format!("{}:{}", self.pool, self.name)
    }
}

fn logged(disk: &Disk, value: fn(&DiskLog) -> Value) -> Value {
    disk.log.as_ref().map_or(Value::None, value)
}

fn state(disk: &Disk) -> &'static str {
    match (&disk.error, disk.open) {
        (Some(_), _) => "FAILED",
        (None, true) => "open",
        (None, false) => "closed",
    }
}
