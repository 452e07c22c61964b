//! SIGHUP: the configuration is read again, and what can change while the daemon runs does.
//!
//! Owns: which change is taken now, and saying which is not. Does not own: reading (`config`).
//!
//! All that can be wrong is looked for before anything changes: an invalid file changes nothing.

use std::sync::Arc;

use vpool_engine::router::Router;
use vpool_tls::{Identity, Tls};

use crate::checks::Checks;
use crate::config::keys::Key;
use crate::config::{Effective, Settings, Sources, TlsFiles};
use crate::door_tls::{self, DoorTls};
use crate::process::{self, LogFilter};
use crate::serve::SERVING;

/// What is needed to take changes.
#[derive(Debug)]
pub(crate) struct Reload {
    sources: Sources,
    /// What the daemon runs with.
    running: Effective,
    log: LogFilter,
    tls: DoorTls,
}

impl Reload {
    /// For a daemon that was started with `running`.
    pub(crate) fn new(
        sources: Sources,
        running: Effective,
        log: LogFilter,
        tls: DoorTls,
    ) -> Reload {
        Reload {
            sources,
            running,
            log,
            tls,
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
        let nbd = Renewed::read(&self.tls.nbd, &settings.nbd_tls)?;
        let api = Renewed::read(&self.tls.api, &settings.api_tls)?;
        self.log.set(filter)?;
        // Of these a pool takes the size of its cache when it opens.
        router.set_pool_shares(settings.pools.clone());
        checks.set(settings);
        let (nbd, api) = (nbd.take(), api.take());
        let taken = |key: &Key| match key.name {
            name if name.starts_with("nbd.tls.") => key.live && nbd,
            name if name.starts_with("api.tls.") => key.live && api,
            _ => key.live,
        };
        let changes = self.running.changes(&wanted);
        self.running.take(&wanted, taken);
        let later = changes.into_iter().filter(|(_, key)| !taken(key));
        Ok(later.map(|(name, _)| name).collect())
    }
}

/// What becomes of a door's TLS.
enum Renewed<'a> {
    /// New certificates.
    With(&'a Tls, Identity),
    /// It has none, now as before.
    Without,
    /// A door does not become safe, or cease to be, while clients go through it.
    Later,
}

impl Renewed<'_> {
    /// Reads the files again although no key may have changed: they may have.
    fn read<'a>(
        running: &'a Option<Arc<Tls>>,
        wanted: &Option<TlsFiles>,
    ) -> anyhow::Result<Renewed<'a>> {
        Ok(match (running, wanted) {
            (Some(tls), Some(files)) => Renewed::With(tls, door_tls::read(files)?),
            (None, None) => Renewed::Without,
            _ => Renewed::Later,
        })
    }

    /// Whether all of it holds now.
    fn take(self) -> bool {
        match self {
            Renewed::With(tls, identity) => {
                tls.replace(identity);
                true
            }
            Renewed::Without => true,
            Renewed::Later => false,
        }
    }
}
