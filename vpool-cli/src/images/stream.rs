//! Raw bytes from the standard input to a disk, and from a disk to the standard output.
//!
//! Owns: both ways, leaving zeroes out. Does not own: the connection.

use std::io::IsTerminal;
use std::pin::pin;

use futures::StreamExt;
use futures::stream;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::checksum::Sum;
use super::nbd::{CONNECTIONS, Disk, PIECE_BYTES};
use crate::failure::Failure;
use crate::output::write_bytes;
use crate::progress::Bar;

/// Runs of zeroes of this length are not written: a new disk reads as zeroes.
const ZERO_BYTES: usize = 64 << 10;

/// What came in.
pub(super) struct Came {
    /// So many bytes.
    pub(super) bytes: u64,
    /// Their sum.
    pub(super) sum: Sum,
}

/// The standard input, unless it is a person.
pub(super) fn input() -> Result<tokio::io::Stdin, Failure> {
    match std::io::stdin().is_terminal() {
        true => Err(Failure::usage(
            "the standard input is a terminal, not an image",
        )),
        false => Ok(tokio::io::stdin()),
    }
}

/// Writes all of the input to a disk that reads as zeroes and has room for `room` bytes. `first`
/// is what was read of it already.
pub(super) async fn fill(
    disk: &Disk,
    first: Vec<u8>,
    input: impl AsyncRead + Unpin,
    room: u64,
) -> Result<Came, Failure> {
    let bar = Bar::bytes("import", room);
    let mut came = Came {
        bytes: 0,
        sum: Sum::default(),
    };
    let reader = (input, first, 0_u64, true);
    let pieces = stream::unfold(reader, async |(mut input, first, number, more)| {
        if !more {
            return None;
        }
        let piece = piece(&mut input, first).await;
        let more = piece.as_ref().is_ok_and(|piece| piece.len() == PIECE_BYTES);
        Some(((number, piece), (input, Vec::new(), number + 1, more)))
    });
    let written = pieces
        .map(|(number, piece)| {
            let piece = piece.map_err(|error| super::io("cannot read the input", &error));
            async move {
                let piece = piece?;
                write(disk, number, &piece, room).await?;
                Ok::<_, Failure>(piece)
            }
        })
        .buffered(CONNECTIONS);
    let mut written = pin!(written);
    while let Some(piece) = written.next().await {
        let piece = piece?;
        came.sum.take(&piece);
        came.bytes += piece.len() as u64;
        bar.set(came.bytes);
    }
    Ok(came)
}

/// The next piece, behind what is there of it; it is shorter at the end of the input only.
async fn piece(
    input: &mut (impl AsyncRead + Unpin),
    mut piece: Vec<u8>,
) -> std::io::Result<Vec<u8>> {
    let mut filled = piece.len();
    piece.resize(PIECE_BYTES, 0);
    while filled < PIECE_BYTES {
        match input.read(&mut piece[filled..]).await? {
            0 => break,
            length => filled += length,
        }
    }
    piece.truncate(filled);
    Ok(piece)
}

/// Writes one piece without its zeroes.
async fn write(disk: &Disk, number: u64, piece: &[u8], room: u64) -> Result<(), Failure> {
    let start = number * PIECE_BYTES as u64;
    if start + piece.len() as u64 > room {
        return Err(
            Failure::failed(format!("the input is longer than {room} bytes"))
                .with_hint("--size says how large the disk is"),
        );
    }
    for (at, length) in runs(piece) {
        let data = &piece[at..at + length];
        disk.write(number, start + at as u64, data).await?;
    }
    Ok(())
}

/// Where a piece is not zero: start and length of each run of blocks that hold something.
fn runs(piece: &[u8]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (number, block) in piece.chunks(ZERO_BYTES).enumerate() {
        if block.iter().all(|byte| *byte == 0) {
            continue;
        }
        let at = number * ZERO_BYTES;
        match runs.last_mut() {
            Some((start, length)) if *start + *length == at => *length += block.len(),
            _ => runs.push((at, block.len())),
        }
    }
    runs
}

/// Writes a disk's `size` bytes to the standard output; the answer is their checksum.
pub(super) async fn pour(disk: &Disk, size: u64) -> Result<String, Failure> {
    let bar = Bar::bytes("export", size);
    let mut sum = Sum::default();
    let mut pieces = pin!(disk.pieces(size));
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        give(&piece)?;
        sum.take(&piece);
        bar.add(piece.len() as u64);
    }
    Ok(sum.of_size(size))
}

/// Writes to the standard output: whoever reads half an image has none.
pub(super) fn give(bytes: &[u8]) -> Result<(), Failure> {
    write_bytes(bytes).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => {
            Failure::failed("who reads the standard output has ended before the image does")
        }
        _ => super::io("cannot write the image to the standard output", &error),
    })
}

#[cfg(test)]
mod tests {
    //! Pieces of inputs that come in drops; what of a piece is written.

    use super::{PIECE_BYTES, ZERO_BYTES, piece, runs};

    #[test]
    fn zeroes_are_left_out() {
        let mut data = vec![0; 4 * ZERO_BYTES + 10];
        assert_eq!(runs(&data), []);
        data[ZERO_BYTES] = 1;
        data[3 * ZERO_BYTES - 1] = 1;
        *data.last_mut().expect("a byte") = 1;
        let expect = [(ZERO_BYTES, 2 * ZERO_BYTES), (4 * ZERO_BYTES, 10)];
        assert_eq!(runs(&data), expect);
        assert_eq!(runs(&[]), []);
    }

    #[test]
    fn pieces_are_whole_but_for_the_last() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(async {
            let data = vec![7; PIECE_BYTES + 5];
            let mut input = &data[..];
            let first = piece(&mut input, vec![1, 2]).await.expect("memory");
            assert_eq!((first.len(), &first[..3]), (PIECE_BYTES, &[1, 2, 7][..]));
            let second = piece(&mut input, Vec::new()).await.expect("memory");
            assert_eq!(second.len(), 7);
            let end = piece(&mut input, Vec::new()).await.expect("memory");
            assert!(end.is_empty());
        });
    }
}
