//! What is wrong now.
//!
//! Owns: which trouble is how bad. Does not own: any of the troubles.
//!
//! A store that does not answer is no reason to start the daemon anew, nor is a pool that is not
//! open: both come back by themselves. A journal that failed refuses writes until the next start.

use vpool_api::{Disk, Health, HealthReason, HealthStatus, Pool, StoreState};

use super::Daemon;

/// Failed disks that are named.
const DISKS_MAX: usize = 10;

impl Daemon {
    /// How well it serves. No detail of a store's answer is in it: who asks may be a stranger.
    pub(crate) fn health(&self) -> Health {
        let mut found: Vec<(HealthStatus, HealthReason)> =
            self.pools().iter().filter_map(of_pool).collect();
        let failed: Vec<Disk> = self
            .disks(None)
            .unwrap_or_default()
            .into_iter()
            .filter(|disk| disk.error.is_some())
            .collect();
        found.extend(failed.iter().take(DISKS_MAX).map(|disk| {
            let object = format!("disk {}:{}", disk.pool, disk.name);
            let detail = format!("`vpool disk show {}:{}` says why", disk.pool, disk.name);
            (
                HealthStatus::Degraded,
                reason("disk_failed", object, detail),
            )
        }));
        if failed.len() > DISKS_MAX {
            let object = format!("{} more disks", failed.len() - DISKS_MAX);
            let detail = "`vpool disk list` shows them".to_owned();
            found.push((
                HealthStatus::Degraded,
                reason("disk_failed", object, detail),
            ));
        }
        let status = found.iter().map(|(status, _)| *status).max();
        Health {
            status: status.unwrap_or(HealthStatus::Ok),
            reasons: found.into_iter().map(|(_, reason)| reason).collect(),
        }
    }
}

fn of_pool(pool: &Pool) -> Option<(HealthStatus, HealthReason)> {
    let store = pool.store.as_ref();
    let down = store.is_some_and(|store| store.state == StoreState::Down);
    let trouble = store.is_some_and(|store| store.trouble.is_some());
    let (status, code, detail) = if pool.error.is_some() && store.is_some() {
        let detail = "its journal failed and takes no writes: look at the SSD, then restart vpoold";
        (HealthStatus::Failing, "journal_failed", detail)
    } else if pool.error.is_some() {
        let detail = "it is not open; it is tried again, where that can help";
        (HealthStatus::Degraded, "pool_closed", detail)
    } else if down {
        let detail = "its store does not answer; writes go on while the journal has room";
        (HealthStatus::Degraded, "store_down", detail)
    } else if trouble {
        let detail = "its store fails some requests; `vpool pool show` says which";
        (HealthStatus::Degraded, "store_trouble", detail)
    } else {
        return None;
    };
    let object = format!("pool {}", pool.name);
    Some((status, reason(code, object, detail.to_owned())))
}

fn reason(code: &str, object: String, detail: String) -> HealthReason {
    HealthReason {
        code: code.to_owned(),
        object,
        detail,
    }
}

#[cfg(test)]
mod tests {
    //! Which trouble is how bad.

    use super::of_pool;
    use serde_json::json;
    use vpool_api::{HealthStatus, Pool};

    fn pool(state: Option<&str>, trouble: Option<&str>, error: Option<&str>) -> Pool {
        let store = state.map(|state| {
            json!({"state": state, "requests": 0, "errors": 0, "retries": 0, "sent_bytes": 0,
                "received_bytes": 0, "trouble": trouble})
        });
        let pool = json!({"id": "1", "name": "p", "location": {"kind": "fs", "path": "/p"},
            "generation": 1, "disks": 0, "journal_used_bytes": 0, "journal_max_bytes": 0,
            "unshipped_bytes": 0, "store": store, "error": error});
        serde_json::from_value(pool).expect("a pool")
    }

    #[test]
    fn troubles() {
        assert!(of_pool(&pool(Some("up"), None, None)).is_none());
        for (state, trouble, error, status, code) in [
            (
                Some("up"),
                None,
                Some("EIO"),
                HealthStatus::Failing,
                "journal_failed",
            ),
            (
                Some("down"),
                Some("x"),
                Some("EIO"),
                HealthStatus::Failing,
                "journal_failed",
            ),
            (
                None,
                None,
                Some("not mounted"),
                HealthStatus::Degraded,
                "pool_closed",
            ),
            (
                Some("down"),
                Some("x"),
                None,
                HealthStatus::Degraded,
                "store_down",
            ),
            (
                Some("up"),
                Some("x"),
                None,
                HealthStatus::Degraded,
                "store_trouble",
            ),
        ] {
            let (found, reason) = of_pool(&pool(state, trouble, error)).expect("a trouble");
            assert_eq!((found, reason.code.as_str()), (status, code));
        }
    }
}
