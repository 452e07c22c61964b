//! `vpool top`: what clients do with each disk.
//!
//! Owns: sampling, rates, the screen. Does not own: the counters (`vpoold`).

mod load;
mod screen;

use std::time::{Duration, Instant};

use vpool_api::{DiskStatistics, List};

use crate::client::Client;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::columns::{Place, choose, table};
use crate::output::value::visible;
use load::Load;
use screen::Screen;

const STATISTICS: &str = "/api/v1/statistics/disks";

/// What is said where there are none.
const EMPTY: &str = "no disks yet: vpool disk create NAME --size 40G";

/// All counters at one time.
struct Sample {
    at: Instant,
    disks: Vec<DiskStatistics>,
}

impl Sample {
    async fn take(client: &Client) -> Result<Sample, Failure> {
        let list: List<DiskStatistics> = client.list(STATISTICS, "").await?;
        Ok(Sample {
            at: Instant::now(),
            disks: list.items,
        })
    }

    /// What happened since an earlier sample, the busiest disks first.
    fn since(&self, earlier: &Sample) -> Vec<Load> {
        let seconds = self.at.duration_since(earlier.at).as_secs_f64();
        let mut loads: Vec<_> = self
            .disks
            .iter()
            .map(|disk| {
                let before = earlier.disks.iter().find(|before| before.id == disk.id);
                Load::between(before, disk, seconds)
            })
            .collect();
        loads.sort_by(|a, b| {
            let busy = b.busy().total_cmp(&a.busy());
            busy.then_with(|| a.disk.cmp(&b.disk))
        });
        loads
    }
}

/// Prints one sample, or shows one after the other until `q` is pressed.
pub(crate) async fn run(
    client: &Client,
    output: &Output,
    once: bool,
    interval: u64,
) -> Result<(), Failure> {
    let interval = Duration::from_secs(interval);
    let mut before = Sample::take(client).await?;
    if once {
        tokio::time::sleep(interval).await;
        let loads = Sample::take(client).await?.since(&before);
        let total = u64::try_from(loads.len()).unwrap_or(u64::MAX);
        let list = List {
            items: loads,
            total,
            next: None,
        };
        return output.list(&list, EMPTY);
    }
    let columns = choose::<Load>(output.columns.as_deref(), Place::List)?;
    let mut screen = Screen::open()?;
    screen.draw(&head(client, 0), "")?;
    let client = client.patient();
    loop {
        if screen.quits_within(interval).await {
            return Ok(());
        }
        let now = Sample::take(&client).await?;
        let loads = now.since(&before);
        screen.draw(
            &head(&client, loads.len()),
            &table(&columns, &loads, output.raw),
        )?;
        before = now;
    }
}

fn head(client: &Client, disks: usize) -> String {
    format!(
        "vpool top: {}, {disks} disk(s); q quits",
        visible(&client.place())
    )
}
