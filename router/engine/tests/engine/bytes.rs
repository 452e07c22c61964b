//! The oracle by bytes, for requests of any alignment, and a client that does random work.
//!
//! Owns: [`Bytes`], the log of one disk as its client knows it; [`step`]. The simulation runs on
//! one thread, so the order in which operations complete is the order of the log, and the disk
//! must hold precisely the first `k` operations (of the last of them perhaps only a part, for a
//! large write is several records).

use std::time::Duration;

use vpool_block::{BlockDevice, BlockError, Write};
use vpool_engine::vdisk::device::Device;
use vpool_host::sim::Dice;

/// One change; stamp 0 = zeroes.
#[derive(Debug, Clone, Copy)]
pub struct Op {
    pub offset: u64,
    pub length: u64,
    pub stamp: u64,
}

/// What one client knows of one disk.
#[derive(Debug, Clone)]
pub struct Bytes {
    disk: u64,
    pub size: u64,
    pub ops: Vec<Op>,
    /// So many are acknowledged; those after are issued at most.
    pub acked: usize,
    /// So many are flushed.
    pub flushed: usize,
    /// So many are in the store.
    pub shipped: usize,
    next: u64,
}

/// The byte at a place of a disk after the write `stamp`.
fn byte_at(disk: u64, at: u64, stamp: u64) -> u8 {
    if stamp == 0 {
        return 0;
    }
    // Half of the writes compress, half do not.
    let place = if stamp.is_multiple_of(2) { at } else { at / 32 };
    let mut x = disk.rotate_left(48) ^ stamp.rotate_left(24) ^ place;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    // Never zero, so that zeroes in the place of data are always seen.
    u8::try_from((x >> 40) % 255).expect("below 255") + 1
}

impl Bytes {
    pub fn new(disk: u64, size: u64) -> Bytes {
        Bytes {
            disk,
            size,
            ops: Vec::new(),
            acked: 0,
            flushed: 0,
            shipped: 0,
            next: 0,
        }
    }

    /// A write that is about to be issued, and its bytes.
    pub fn draw(&mut self, offset: u64, length: u64) -> (Op, Vec<u8>) {
        self.next += 1;
        let stamp = self.next;
        let payload = (offset..offset + length)
            .map(|at| byte_at(self.disk, at, stamp))
            .collect();
        (
            Op {
                offset,
                length,
                stamp,
            },
            payload,
        )
    }

    fn apply(&self, state: &mut [u8], op: &Op) {
        for at in op.offset..op.offset + op.length {
            state[at as usize] = byte_at(self.disk, at, op.stamp);
        }
    }

    /// The disk after the first `ops` operations.
    pub fn state(&self, ops: usize) -> Vec<u8> {
        let mut state = vec![0; self.size as usize];
        for op in &self.ops[..ops] {
            self.apply(&mut state, op);
        }
        state
    }

    /// The newest bytes of a range.
    pub fn newest(&self, offset: u64, length: u64) -> Vec<u8> {
        let mut bytes = vec![0; length as usize];
        for op in &self.ops {
            let from = op.offset.max(offset);
            let to = (op.offset + op.length).min(offset + length);
            for at in from..to {
                bytes[(at - offset) as usize] = byte_at(self.disk, at, op.stamp);
            }
        }
        bytes
    }

    /// Checks what was read while the router lives.
    pub fn check_live(&self, offset: u64, bytes: &[u8]) {
        let newest = self.newest(offset, bytes.len() as u64);
        if let Some(first) = (0..bytes.len()).find(|at| bytes[*at] != newest[*at]) {
            panic!(
                "disk {}: byte {} reads {:#x}, the newest is {:#x}",
                self.disk,
                offset + first as u64,
                bytes[first],
                newest[first]
            );
        }
    }

    /// Checks what was read after a request had failed: each byte is as after the last that was
    /// acknowledged, or as one that was only issued left it.
    pub fn check_issued(&self, offset: u64, bytes: &[u8]) {
        let mut right = vec![false; bytes.len()];
        for ops in self.acked..=self.ops.len() {
            let mut known = self.clone();
            known.ops.truncate(ops);
            let state = known.newest(offset, bytes.len() as u64);
            for (at, right) in right.iter_mut().enumerate() {
                *right |= state[at] == bytes[at];
            }
        }
        assert!(
            right.iter().all(|right| *right),
            "bytes that are neither old nor new"
        );
    }

    /// Checks a whole image after a restart and forgets what is lost. `at_least`: operations
    /// that may not be.
    pub fn check_prefix(&mut self, image: &[u8], at_least: usize) {
        assert_eq!(image.len() as u64, self.size);
        let mut state = self.state(at_least);
        let mut wrong = state.iter().zip(image).filter(|(a, b)| a != b).count();
        for kept in at_least..=self.ops.len() {
            if wrong == 0 {
                self.keep(kept, None);
                return;
            }
            let Some(op) = self.ops.get(kept).copied() else {
                break;
            };
            for at in op.offset..op.offset + op.length {
                if wrong == 0 {
                    self.keep(
                        kept,
                        Some(Op {
                            length: at - op.offset,
                            ..op
                        }),
                    );
                    return;
                }
                let new = byte_at(self.disk, at, op.stamp);
                let old = &mut state[at as usize];
                wrong -= usize::from(*old != image[at as usize]);
                *old = new;
                wrong += usize::from(new != image[at as usize]);
            }
        }
        let full = self.state(self.ops.len());
        let first = (0..image.len()).find(|at| image[*at] != full[*at]);
        panic!(
            "disk {} is no prefix of its log of {} operations that holds at least {at_least}; first \
             difference to the whole log at byte {first:?}: found {:?}, wanted {:?}",
            self.disk,
            self.ops.len(),
            first.map(|at| image[at]),
            first.map(|at| full[at]),
        );
    }

    fn keep(&mut self, ops: usize, partial: Option<Op>) {
        self.ops.truncate(ops);
        self.ops.extend(partial);
        self.acked = self.ops.len();
        self.flushed = self.flushed.min(ops);
        self.shipped = self.shipped.min(ops);
    }
}

/// Reads a whole disk.
pub async fn image(device: &Device) -> Vec<u8> {
    let mut image = vec![0xa5; device.size() as usize];
    device.read(0, &mut image).await.expect("read all");
    image
}

/// Reads a whole disk in pieces: what reads is compared, what does not is counted.
pub async fn sound_pieces(device: &Device, expect: &[u8], piece: usize) -> (u64, Vec<BlockError>) {
    let (mut sound, mut errors) = (0, Vec::new());
    for (number, wanted) in expect.chunks(piece).enumerate() {
        let mut bytes = vec![0xa5; wanted.len()];
        match device.read((number * piece) as u64, &mut bytes).await {
            Ok(()) => {
                let first = (0..wanted.len()).find(|at| bytes[*at] != wanted[*at]);
                assert!(
                    first.is_none(),
                    "WRONG BYTES at {}: {:#x} for {:#x}",
                    number * piece + first.unwrap_or(0),
                    bytes[first.unwrap_or(0)],
                    wanted[first.unwrap_or(0)]
                );
                sound += 1;
            }
            Err(error) => errors.push(error),
        }
    }
    (sound, errors)
}

/// Draws a range: single bytes, blocks, odd pieces over several blocks.
pub fn draw_range(dice: &mut Dice, size: u64) -> (u64, u64) {
    let length = match dice.below(10) {
        0 => 1,
        1 | 2 => 1 + dice.below(511),
        3 => 512,
        4..7 => 4096 * (1 + dice.below(4)),
        7 | 8 => 1 + dice.below(20_000),
        _ => 1 + dice.below(150_000),
    };
    let length = length.min(size);
    let offset = dice.below(size - length + 1);
    if length.is_multiple_of(4096) && dice.chance(70) {
        return (offset / 4096 * 4096, length);
    }
    (offset, length)
}

/// One random request. On an error its operations count as issued: what of them reached the log
/// before the error may be there later.
pub async fn step(device: &Device, model: &mut Bytes, dice: &mut Dice) -> Result<(), BlockError> {
    let done = request(device, model, dice).await;
    tracing::debug!(
        model.disk,
        ops = model.ops.len(),
        model.flushed,
        ok = done.is_ok(),
        "request"
    );
    if done.is_ok() {
        model.acked = model.ops.len();
    }
    done
}

async fn request(device: &Device, model: &mut Bytes, dice: &mut Dice) -> Result<(), BlockError> {
    let (offset, length) = draw_range(dice, model.size);
    match dice.below(100) {
        0..50 => {
            let (op, payload) = model.draw(offset, length);
            model.ops.push(op);
            device.write(offset, &payload).await
        }
        50..58 => batch(device, model, dice).await,
        58..66 => {
            model.ops.push(Op {
                offset,
                length,
                stamp: 0,
            });
            if dice.chance(50) {
                device.discard(offset, length).await
            } else {
                device.write_zeroes(offset, length).await
            }
        }
        66..80 => {
            let ops = model.ops.len();
            device.flush().await?;
            model.flushed = ops;
            Ok(())
        }
        80..94 => {
            let mut bytes = vec![0xa5; length as usize];
            match device.read_now(offset, &mut bytes) {
                Some(read) => read?,
                None => device.read(offset, &mut bytes).await?,
            }
            model.check_live(offset, &bytes);
            Ok(())
        }
        _ => {
            tokio::time::sleep(Duration::from_millis(dice.below(20_000))).await;
            Ok(())
        }
    }
}

/// Several writes at once, as a door gives them: what finds no room is written by itself.
async fn batch(device: &Device, model: &mut Bytes, dice: &mut Dice) -> Result<(), BlockError> {
    let mut batch = Vec::new();
    for _ in 0..1 + dice.below(5) {
        let (offset, length) = draw_range(dice, model.size);
        batch.push(model.draw(offset, length.min(9000)));
    }
    model.ops.extend(batch.iter().map(|(op, _)| *op));
    let writes: Vec<Write<'_>> = batch
        .iter()
        .map(|(op, data)| Write {
            offset: op.offset,
            data,
        })
        .collect();
    let accepted = device.write_now(&writes);
    if let Some(error) = accepted.error {
        return Err(error);
    }
    for write in &writes[accepted.writes..] {
        device.write(write.offset, write.data).await?;
    }
    Ok(())
}

impl Bytes {
    /// Whether every byte is one that some operation left there, or that was there at first:
    /// what may be found where records are known to be lost.
    pub fn is_plausible(&self, offset: u64, bytes: &[u8]) -> bool {
        let mut unknown: Vec<u64> = (offset..offset + bytes.len() as u64)
            .filter(|at| bytes[(at - offset) as usize] != 0)
            .collect();
        for op in self.ops.iter().filter(|op| op.stamp != 0) {
            let within = op.offset..op.offset + op.length;
            unknown.retain(|at| {
                !within.contains(at)
                    || bytes[(at - offset) as usize] != byte_at(self.disk, *at, op.stamp)
            });
        }
        unknown.is_empty()
    }
}
