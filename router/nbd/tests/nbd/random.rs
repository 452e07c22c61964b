//! Random requests against a model, and random bytes against the server's life.
//!
//! One seed is one run; a failure names it.

use tokio::io::AsyncWriteExt;
use vpool_block::BlockDevice;
use vpool_nbd_wire::{Command, CommandFlags, Mode};

use crate::client::{Client, Content};
use crate::fake::Fixture;
use crate::transmission::pattern;

const MODES: [Mode; 3] = [Mode::Simple, Mode::Structured, Mode::Extended];
const SIZE: usize = 3 << 20;

/// Random numbers from a seed (xorshift).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    /// A range of the disk: mostly short, at times long, of any alignment.
    fn range(&mut self) -> std::ops::Range<usize> {
        let length = match self.below(10) {
            0 => self.below(1 << 20),
            1..=4 => 512 * (1 + self.below(64)),
            _ => self.below(9000),
        };
        let start = self.below(SIZE - length + 1);
        start..start + length
    }
}

/// One burst of requests, sent in pieces of random length, and what they must answer.
async fn burst(client: &mut Client, model: &mut [u8], dice: &mut Dice) {
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for _ in 0..1 + dice.below(60) {
        let range = dice.range();
        let (offset, length) = (range.start as u64, range.len() as u64);
        if dice.below(2) == 0 {
            let data = pattern(range.len(), dice.0);
            let flags = if dice.below(8) == 0 {
                CommandFlags::FUA
            } else {
                0
            };
            bytes.extend_from_slice(&client.request(Command::Write, flags, offset, length));
            bytes.extend_from_slice(&data);
            model[range].copy_from_slice(&data);
            expected.push(Content::Done);
        } else {
            // A long simple read may run beside the writes that follow it.
            let length = match client.mode {
                Mode::Simple => length.min(100_000),
                Mode::Structured | Mode::Extended => length,
            };
            let range = range.start..range.start + usize::try_from(length).unwrap();
            bytes.extend_from_slice(&client.request(Command::Read, 0, offset, length));
            expected.push(Content::Data(model[range].to_vec()));
        }
    }
    let first = client.last_cookie() + 1 - expected.len() as u64;
    let mut writer = client.writer();
    let mut cuts = Dice::new(dice.0);
    let send = async {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at((1 + cuts.below(200_000)).min(rest.len()));
            writer.write_all(now).await.unwrap();
            rest = later;
            tokio::task::yield_now().await;
        }
    };
    let receive = async {
        for _ in 0..expected.len() {
            let (cookie, content) = client.reply().await.expect("the server answers");
            let index = usize::try_from(cookie - first).unwrap();
            assert!(content == expected[index], "request {index} of a burst");
        }
    };
    tokio::join!(send, receive);
}

#[tokio::test(flavor = "multi_thread")]
async fn random_requests_match_a_model() {
    for seed in 1..=24u64 {
        let mut dice = Dice::new(seed);
        let mode = MODES[dice.below(3)];
        println!("seed {seed}, {mode:?}");
        let fixture = Fixture::new(SIZE);
        let mut model = vec![0; SIZE];
        let mut client = Client::open(&fixture.socket, mode).await;
        for _ in 0..12 {
            burst(&mut client, &mut model, &mut dice).await;
            // These run beside others, so they come alone.
            let range = dice.range();
            let commands = [Command::Trim, Command::WriteZeroes];
            let command = commands[dice.below(2)];
            let (offset, length) = (range.start as u64, range.len() as u64);
            assert_eq!(client.call(command, 0, offset, length).await, Content::Done);
            model[range].fill(0);
            let all = client.read(0, SIZE as u64).await;
            assert!(all == Content::Data(model.clone()));
        }
        let mut bytes = vec![0; SIZE];
        fixture.disk.memory.read(0, &mut bytes).await.unwrap();
        assert!(bytes == model);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bytes_hurt_nobody() {
    let fixture = Fixture::new(SIZE);
    let mut healthy = Client::open(&fixture.socket, Mode::Extended).await;
    for seed in 1..=300u64 {
        let mut dice = Dice::new(seed);
        let mode = MODES[dice.below(3)];
        let mut client = match dice.below(3) {
            0 => Client::connect(&fixture.socket).await,
            _ => Client::open(&fixture.socket, mode).await,
        };
        // Requests that are nearly right: some bytes of them are not.
        let mut bytes = Vec::new();
        for _ in 0..20 {
            let range = dice.range();
            let command = match dice.below(10) {
                number @ 0..=7 => [
                    Command::Read,
                    Command::Write,
                    Command::Flush,
                    Command::Trim,
                    Command::Cache,
                    Command::WriteZeroes,
                    Command::BlockStatus,
                    Command::Disconnect,
                ][number],
                _ => Command::Unknown(9),
            };
            let flags = 1 << dice.below(16);
            let length = range.len().min(5000) as u64;
            bytes.extend_from_slice(&client.request(command, flags, range.start as u64, length));
            if command == Command::Write && dice.below(4) > 0 {
                bytes.extend_from_slice(&pattern(range.len().min(5000), 1));
            }
        }
        for _ in 0..dice.below(4) {
            let at = dice.below(bytes.len());
            bytes[at] = dice.below(256).try_into().unwrap();
        }
        // The server may hang up at any byte.
        let _sent = client.stream.write_all(&bytes).await;
        drop(client);
        // The other may still write to these bytes, so their content is not compared.
        let write = healthy.write(0, 0, &pattern(4096, seed)).await;
        assert_eq!(write, Content::Done, "seed {seed}");
        let read = healthy.read(0, 4096).await;
        assert!(
            matches!(read, Content::Data(data) if data.len() == 4096),
            "seed {seed}"
        );
    }
}
