//! Streams by small numbers, as long as an address names them.
//!
//! Owns: [`Streams`]. Does not own: the numbers of a checkpoint's stream table, which are others.

use std::collections::HashMap;

use vpool_format::StreamUid;

use super::at;
use crate::key::MixBuilder;

/// The streams of the index's addresses.
#[derive(Debug, Default)]
pub(super) struct Streams {
    numbers: HashMap<StreamUid, u32, MixBuilder>,
    streams: Vec<Stream>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Stream {
    uid: StreamUid,
    addresses: usize,
}

impl Streams {
    pub(super) fn number(&self, uid: StreamUid) -> Option<u32> {
        self.numbers.get(&uid).copied()
    }

    pub(super) fn uid(&self, number: u32) -> StreamUid {
        self.streams[at(number)].uid
    }

    /// The stream's number, given to it where it has none; counts one address.
    pub(super) fn add(&mut self, uid: StreamUid) -> u32 {
        if let Some(number) = self.number(uid) {
            self.streams[at(number)].addresses += 1;
            return number;
        }
        let stream = Stream { uid, addresses: 1 };
        let number = match self.free.pop() {
            Some(number) => {
                self.streams[at(number)] = stream;
                number
            }
            None => {
                self.streams.push(stream);
                u32::try_from(self.streams.len() - 1).expect("fewer streams than addresses")
            }
        };
        self.numbers.insert(uid, number);
        number
    }

    /// One address fewer; without any the number is free for another stream.
    pub(super) fn remove(&mut self, number: u32) {
        let stream = &mut self.streams[at(number)];
        stream.addresses -= 1;
        if stream.addresses == 0 {
            self.numbers.remove(&stream.uid);
            self.free.push(number);
        }
    }
}
