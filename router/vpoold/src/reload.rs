//! SIGHUP: the configuration is read again, and what can change while the daemon runs does.
//!
//! Owns: which change is taken now, and saying which is not. Does not own: reading (`config`).
//!
//! All that can be wrong is looked for before anything changes: an invalid file changes nothing.

use std::sync::Arc;

use vpool_engine::router::Router;
use vpool_tls::Tls;

use crate::checks::Checks;
use crate::config::keys::Key;
use crate::config::{Effective, Settings, Sources};
use crate::nbd_tls;
use crate::process::{self, LogFilter};
use crate::serve::SERVING;

/// What is needed to take changes.
#[derive(Debug)]
pub(crate) struct Reload {
    sources: Sources,
    /// What the daemon runs with.
    running: Effective,
    log: LogFilter,
    /// The NBD door's, if it has it.
    nbd_tls: Option<Arc<Tls>>,
}

impl Reload {
    /// For a daemon that was started with `running`.
    pub(crate) fn new(
        sources: Sources,
        running: Effective,
        log: LogFilter,
        nbd_tls: Option<Arc<Tls>>,
    ) -> Reload {
        Reload {
            sources,
            running,
            log,
            nbd_tls,
        }
    }

    /// Reads the configuration again and takes what can be taken. Says in the log what became of
    /// it; the answer is the same in a line.
    pub(crate) fn reload(&mut self, router: &Router, checks: &Checks) -> String {
        match self.try_reload(router, checks) {
            Ok(later) if later.is_empty() => {
                tracing::info!("the configuration was read again");
                SERVING.to_owned()
            }
            Ok(later) => {
                let keys = later.join(", ");
                tracing::warn!(
                    keys,
                    "the configuration was read again; these keys have changed, and need a restart \
                     of vpoold"
                );
                format!("{SERVING}; needs a restart to take a change of {keys}")
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "the configuration is not valid: nothing was changed");
                format!("{SERVING}; the configuration is not valid: {error}")
            }
        }
    }

    /// The answer names the keys that have changed and wait for a restart.
    fn try_reload(&mut self, router: &Router, checks: &Checks) -> anyhow::Result<Vec<String>> {
        let wanted = self.sources.read()?;
        let settings = Settings::new(&wanted, false)?;
        let filter = process::filter(&settings.log)?;
        // Read again although no key has changed: the files may have.
        let identity = match (&self.nbd_tls, &settings.nbd_tls) {
            (Some(tls), Some(files)) => Some((tls, nbd_tls::read(files)?)),
            _ => None,
        };
        self.log.set(filter)?;
        let tls_stays = self.nbd_tls.is_some() == settings.nbd_tls.is_some();
        if let Some((tls, identity)) = identity {
            tls.replace(identity);
        }
        // Of these a pool takes the size of its cache when it opens.
        router.set_pool_shares(settings.pools.clone());
        checks.set(settings);
        // A door does not become safe, or cease to be, while clients go through it.
        let taken = |key: &Key| key.live && (tls_stays || !key.name.starts_with("nbd.tls."));
        let changes = self.running.changes(&wanted);
        self.running.take(&wanted, taken);
        let later = changes.into_iter().filter(|(_, key)| !taken(key));
        Ok(later.map(|(name, _)| name).collect())
    }
}
