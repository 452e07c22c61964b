//! Trying stores out.
//!
//! Owns: when that is done, what is said of it. Does not own: the trials (`vpool-object`).

use vpool_api::{DryRun, Finding, Problem};
use vpool_object::probe::{ProbeOptions, ProbeReport, probe};

use super::{Daemon, of_store};
use crate::stores::Store;

impl Daemon {
    /// Tries a store out; an error says what it lacks.
    pub(super) async fn probe_store(&self, store: &Store) -> Result<ProbeReport, Problem> {
        let options = ProbeOptions::new(self.host.entropy.id());
        let report = probe(&store.bare(), &options)
            .await
            .map_err(|error| of_store(&error))?;
        tracing::info!("the store was tried out:\n{report}");
        Ok(report)
    }

    /// The same with the store of a pool.
    pub(crate) async fn probe_pool(&self, pool: &str) -> Result<vpool_api::ProbeReport, Problem> {
        let store = self.store_of(pool)?;
        let begun = std::time::Instant::now();
        let report = self.probe_store(&store).await?;
        let left_behind = report.left_behind.iter().map(ToString::to_string);
        Ok(vpool_api::ProbeReport {
            pool: pool.to_owned(),
            findings: findings(&report),
            left_behind: left_behind.collect(),
            elapsed_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// What that would do.
    pub(crate) fn plan_probe(&self, pool: &str) -> Result<DryRun, Problem> {
        self.store_of(pool)?;
        let detail = "small objects are written below probe/, read and removed";
        Ok(DryRun::one("probe", format!("pool {pool}"), detail))
    }

    fn store_of(&self, pool: &str) -> Result<Store, Problem> {
        self.check_pool_open(pool)?;
        let pools = self.router.pools();
        let id = pools
            .iter()
            .find(|one| one.entry.name == pool)
            .map(|one| one.entry.id);
        let store = id.and_then(|id| self.stores.lock().get(&id).cloned());
        store.ok_or_else(|| super::show::no_pool(pool))
    }
}

fn findings(report: &ProbeReport) -> Vec<Finding> {
    let creation = match report.create_winners {
        Some((1, 1)) | None => report.create_if_absent.to_string(),
        Some((most, fewest)) => format!(
            "{}, not atomic: {fewest} to {most} of {} racers win",
            report.create_if_absent, report.create_racers
        ),
    };
    let findings = [
        ("create_if_absent", "create if absent", creation),
        (
            "if_match_quoted",
            "replace if match, tag in quotes",
            report.if_match_quoted.to_string(),
        ),
        (
            "if_match_unquoted",
            "replace if match, tag without quotes",
            report.if_match_unquoted.to_string(),
        ),
        (
            "if_match_missing",
            "replace if match, of an absent object",
            report.if_match_missing.to_string(),
        ),
        (
            "list_after_write",
            "new objects in lists",
            report.list_after_write.to_string(),
        ),
        ("bulk_delete", "bulk delete", report.bulk_delete.to_string()),
        (
            "checksum_trailers",
            "checksum trailers",
            report.checksum_trailers.to_string(),
        ),
    ];
    let finding = |(code, title, detail): (&str, &str, String)| Finding {
        code: code.to_owned(),
        title: title.to_owned(),
        detail,
    };
    findings.into_iter().map(finding).collect()
}
