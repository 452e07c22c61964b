//! What a person waits for: the start of a command, lists of very many disks.
//!
//! Owns: these rows. Does not own: the command, the API.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::figures::{Figures, Spread};
use super::rig::{DEFAULT_POOL, Place, Rig, flags};
use super::{Options, columns, rows};

/// Starts of one program in a round; their median is the sample.
const STARTS: u32 = 20;

/// How often each list is asked for.
const LISTS: u32 = 10;

/// Items of a page at most.
const PAGE: usize = 1000;

/// Nothing here takes longer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

const MS: &str = "ms";

/// One round of starts.
pub(super) fn starts(options: &Options, figures: &mut Figures) -> anyhow::Result<()> {
    if !options.wants(rows::START) && !options.wants(rows::START_LIST) {
        return Ok(());
    }
    let rig = Rig::start(options, None, Place::Fs, flags())?;
    rig.create("one", 16)?;
    let mut samples: [Vec<f64>; 3] = Default::default();
    for _ in 0..STARTS {
        let mut qemu = Command::new("qemu-img");
        qemu.arg("--version").stdin(Stdio::null());
        let mut version = rig.world().vpool_command();
        version.arg("--version");
        let mut list = rig.world().vpool_command();
        list.args(["disk", "list"]);
        for (at, command) in [qemu, version, list].iter_mut().enumerate() {
            samples[at].push(start_ms(command)?);
        }
    }
    let cells = [
        (rows::START, columns::QEMU_IMG),
        (rows::START, columns::VPOOL),
        (rows::START_LIST, columns::VPOOL),
    ];
    for ((row, column), samples) in cells.into_iter().zip(samples) {
        let spread = Spread::of(samples).context("there are samples")?;
        figures.add(row, MS, column, spread.median);
    }
    rig.finish(figures)
}

/// From start to end, in milliseconds.
fn start_ms(command: &mut Command) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let ms = begun.elapsed().as_secs_f64() * 1000.0;
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    Ok(ms)
}

/// Lists of very many disks, each several times.
pub(super) fn lists(options: &Options, figures: &mut Figures) -> anyhow::Result<()> {
    let all = [
        rows::LIST_CREATE,
        rows::LIST_ALL,
        rows::LIST_PAGE,
        rows::LIST_FILTER,
        rows::LIST_COMMAND,
    ];
    if !all.iter().any(|row| options.wants(row)) {
        return Ok(());
    }
    let thousands = options.listed_disks / 1000;
    if thousands != 10 {
        let why = "only in the full form: making them takes a minute";
        figures.absent("lists of 10k disks", why);
    }
    let mut add = |row: &str, ms: f64| {
        let row = row.replace("10k", &format!("{thousands}k"));
        figures.add(&row, MS, columns::VPOOL, ms);
    };
    let rig = Rig::start(options, None, Place::Fs, flags())?;
    let mut api = Api::connect(&rig)?;
    for number in 0..options.listed_disks {
        // In no order of names.
        let name = format!("disk-{:05}", number * 7919 % options.listed_disks);
        let request = json!({"pool": DEFAULT_POOL, "name": name, "size_bytes": 1_u64 << 30});
        let (_, ms) = api.ask("POST", "/api/v1/disks", &request.to_string())?;
        add(rows::LIST_CREATE, ms);
    }
    // The disks, and the one that each new data directory has.
    let total = options.listed_disks + 1;
    for _ in 0..LISTS {
        let mut path = format!("/api/v1/disks?limit={PAGE}");
        let (mut found, mut ms_in_all) = (0, 0.0);
        loop {
            let (page, ms) = api.ask("GET", &path, "")?;
            ms_in_all += ms;
            found += items(&page)?;
            let Some(next) = page["next"].as_str() else {
                break;
            };
            path = format!("/api/v1/disks?limit={PAGE}&after={next}");
        }
        ensure!(found == total, "{found} disks of {total} are listed");
        add(rows::LIST_ALL, ms_in_all);

        let (page, ms) = api.ask("GET", "/api/v1/disks", "")?;
        ensure!(page["total"] == json!(total), "{} disks", page["total"]);
        add(rows::LIST_PAGE, ms);

        let (page, ms) = api.ask("GET", "/api/v1/disks?filter=name~disk-00777", "")?;
        ensure!(items(&page)? == 1, "one has this name");
        add(rows::LIST_FILTER, ms);

        let mut list = rig.world().vpool_command();
        list.args(["disk", "list"]);
        add(rows::LIST_COMMAND, start_ms(&mut list)?);
    }
    rig.finish(figures)
}

fn items(page: &Value) -> anyhow::Result<usize> {
    let items = page["items"].as_array();
    Ok(items.context("a list has items")?.len())
}

/// One connection to the API.
struct Api(BufReader<UnixStream>);

impl Api {
    fn connect(rig: &Rig<'_>) -> anyhow::Result<Api> {
        let stream = UnixStream::connect(rig.world().api_socket()).context("reach the API")?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        Ok(Api(BufReader::new(stream)))
    }

    /// The answer, and how many milliseconds it took until it was read and understood.
    fn ask(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<(Value, f64)> {
        let begun = Instant::now();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: vpoold\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        self.0.get_mut().write_all(request.as_bytes())?;
        let status = self.line()?;
        let mut length = None;
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = Some(value.trim().parse().context("a length")?);
            }
        }
        let mut body = vec![0; length.context("the answer says how long it is")?];
        self.0.read_exact(&mut body).context("read the answer")?;
        let good = status.starts_with("HTTP/1.1 2");
        ensure!(good, "{path}: {status} {}", String::from_utf8_lossy(&body));
        let answer = serde_json::from_slice(&body).context("an answer in JSON")?;
        Ok((answer, begun.elapsed().as_secs_f64() * 1000.0))
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).context("read the answer")?;
        Ok(line.trim_end().to_owned())
    }
}
