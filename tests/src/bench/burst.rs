//! The rows that vPool and its peers run side by side.
//!
//! Owns: their order, what is told of vPool by the way (CPU time, stored bytes). Does not
//! own: the rows (`rows`), the peers (`peers`).

use anyhow::Context;

use super::figures::Figures;
use super::fio::{self, Extent, Job};
use super::peers::{Kind, Peer};
use super::rig::{Place, Rig, mib};
use super::rows::{self, ROWS, Row};
use super::servers::Servers;
use super::{Options, Say, columns, store, targets};

/// Who is measured beside whom: those on the SSD, and those on the cluster.
fn groups(options: &Options, servers: bool) -> Vec<Vec<Kind>> {
    let mut near = vec![Kind::Vpool(Place::Fs), Kind::Qemu("none"), Kind::Nbdkit];
    if !options.quick {
        near.insert(2, Kind::Qemu("writeback"));
    }
    let mut far = vec![Kind::Vpool(Place::Rgw)];
    if !options.quick {
        far.push(Kind::Vpool(Place::Slow));
    }
    if options.rbd {
        far.push(Kind::Rbd);
    }
    match servers {
        true => vec![near, far],
        false => vec![near],
    }
}

/// One round of all rows.
pub(super) fn round(
    options: &Options,
    servers: Option<&Servers>,
    round: u32,
    figures: &mut Figures,
    say: Say<'_>,
) -> anyhow::Result<()> {
    let wanted: Vec<_> = ROWS.iter().filter(|row| options.wants(row.name)).collect();
    let wants_cold = rows::COLD_ROWS.map(|name| !options.quick && options.wants(&rows::cold(name)));
    if wanted.is_empty() && wants_cold == [false; 2] && !options.wants(rows::STORED_FIO) {
        return Ok(());
    }
    for kinds in groups(options, servers.is_some()) {
        let mut peers = Vec::new();
        for kind in kinds {
            match start(kind, options, servers, figures) {
                Ok(peer) => peers.push(peer),
                Err(error) if kind.is_optional() => {
                    say(&format!("without {}: {error:#}", kind.column()));
                    figures.absent(kind.column(), &format!("{error:#}"));
                }
                Err(error) => return Err(error).with_context(|| kind.column()),
            }
        }
        for row in &wanted {
            // Who is first changes from round to round.
            let first = usize::try_from(round)? % peers.len();
            for peer in peers[first..].iter().chain(&peers[..first]) {
                if options.quick && !targets::is_needed(row.name, peer.column()) {
                    continue;
                }
                one(options, row, peer, figures)
                    .with_context(|| format!("{} on {}", row.name, peer.column()))?;
            }
        }
        for peer in peers {
            cold(options, &peer, figures)?;
            peer.finish(figures)?;
        }
    }
    Ok(())
}

/// A peer whose disk is written in full, at rest, and read once.
fn start<'a>(
    kind: Kind,
    options: &'a Options,
    servers: Option<&'a Servers>,
    figures: &mut Figures,
) -> anyhow::Result<Peer<'a>> {
    let peer = Peer::start(kind, options, servers)?;
    let before = peer.rig().map(objects).transpose()?;
    fio::run(
        peer.disk(),
        &Job::fill(options.disk_mib),
        &options.directory,
    )?;
    peer.settle()?;
    if let (Some(rig), Some(before)) = (peer.rig(), before) {
        let stored = mib(objects(rig)?.saturating_sub(before))?;
        let logical = f64::from(u32::try_from(options.disk_mib)?);
        figures.add(rows::STORED_FIO, "x", rig.column(), stored / logical);
    }
    fio::run(
        peer.disk(),
        &Job::warm(options.disk_mib),
        &options.directory,
    )?;
    Ok(peer)
}

/// Bytes in the store: in the directory as they are there, else as they were sent.
fn objects(rig: &Rig<'_>) -> anyhow::Result<u64> {
    match rig.column() {
        columns::VPOOL => store::length(&rig.data().join("objects")),
        _ => Ok(rig.counts()?.sent_bytes),
    }
}

/// One row on one peer, which is at rest before and after it.
fn one(options: &Options, row: &Row, peer: &Peer<'_>, figures: &mut Figures) -> anyhow::Result<()> {
    let cpu = |peer: &Peer<'_>| peer.rig().map(|rig| rig.usage()).transpose();
    let before = cpu(peer)?;
    let job = row.job(options.disk_mib, Extent::Time(options.row_time));
    let measured = fio::run(peer.disk(), &job, &options.directory)?;
    figures.add(row.name, row.unit, peer.column(), measured.sample(row.unit));
    peer.settle()?;
    if let (Some(before), Some(after)) = (before, cpu(peer)?)
        && rows::CPU_ROWS.contains(&row.name)
    {
        let gib = measured.mib / 1024.0;
        let seconds = (after.cpu_s - before.cpu_s) / gib;
        figures.add(&rows::cpu(row.name), "s/GiB", peer.column(), seconds);
    }
    Ok(())
}

/// Reads of a file that is not in the page cache; vPool's own are elsewhere (`cold`).
fn cold(options: &Options, peer: &Peer<'_>, figures: &mut Figures) -> anyhow::Result<()> {
    let rows = ROWS
        .iter()
        .filter(|row| rows::COLD_ROWS.contains(&row.name));
    for row in rows.filter(|row| options.wants(&row.cold())) {
        if !options.quick && peer.evict()? {
            let extent = Extent::Mib(options.disk_mib, Some(options.steady_time_max));
            let job = row.job(options.disk_mib, extent);
            let measured = fio::run(peer.disk(), &job, &options.directory)?;
            let sample = measured.sample(row.unit);
            figures.add(&row.cold(), row.unit, peer.column(), sample);
        }
    }
    Ok(())
}
