//! The operations of a store as values, for decorators that count, choose or time them.
//!
//! Owns: [`Operation`], [`Operations`]. Does not own: what an operation does.

/// One method of [`ObjectStore`](crate::ObjectStore).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Operation {
    /// `put`
    Put,
    /// `get`
    Get,
    /// `get_range`
    GetRange,
    /// `get_tail`
    GetTail,
    /// `head`
    Head,
    /// `list`
    List,
    /// `delete`
    Delete,
    /// `delete_many`
    DeleteMany,
}

impl Operation {
    /// How many there are.
    pub const COUNT: usize = 8;

    /// All, in the order of [`index`](Self::index).
    pub const ALL: [Operation; Self::COUNT] = [
        Operation::Put,
        Operation::Get,
        Operation::GetRange,
        Operation::GetTail,
        Operation::Head,
        Operation::List,
        Operation::Delete,
        Operation::DeleteMany,
    ];

    /// Its place in [`ALL`](Self::ALL), for arrays with one entry per operation.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether it changes the store.
    pub const fn is_write(self) -> bool {
        matches!(
            self,
            Operation::Put | Operation::Delete | Operation::DeleteMany
        )
    }

    /// A short lower-case name, as in logs and metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Operation::Put => "put",
            Operation::Get => "get",
            Operation::GetRange => "get_range",
            Operation::GetTail => "get_tail",
            Operation::Head => "head",
            Operation::List => "list",
            Operation::Delete => "delete",
            Operation::DeleteMany => "delete_many",
        }
    }
}

/// A set of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operations(u8);

impl Operations {
    /// Every operation.
    pub const ALL: Operations = Operations(0xff);
    /// Those that change the store.
    pub const WRITES: Operations =
        Operations::of(&[Operation::Put, Operation::Delete, Operation::DeleteMany]);
    /// Those that do not.
    pub const READS: Operations = Operations(!Operations::WRITES.0);

    /// The given ones.
    pub const fn of(operations: &[Operation]) -> Operations {
        let mut bits = 0;
        let mut i = 0;
        while i < operations.len() {
            bits |= 1 << operations[i] as u8;
            i += 1;
        }
        Operations(bits)
    }

    /// Whether `operation` is in it.
    pub const fn contains(self, operation: Operation) -> bool {
        self.0 & (1 << operation as u8) != 0
    }
}

const _: () = assert!(Operation::COUNT == 8, "Operations holds eight bits");
