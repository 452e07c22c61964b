//! `vpool version`.
//!
//! Owns: what is said of both ends.

use serde_json::json;
use vpool_api::Version;

use crate::client::Client;
use crate::failure::Failure;
use crate::output::Output;

/// This command's version.
pub(crate) const OWN: &str = env!("CARGO_PKG_VERSION");

/// The versions of both ends; this end's also where there is no daemon.
pub(crate) async fn run(client: &Client, output: &Output) -> Result<(), Failure> {
    let daemon = client.get::<Version>("/api/v1/version").await;
    let answer = json!({ "vpool": OWN, "daemon": daemon.as_ref().ok() });
    output.show(&answer, |_| {
        let mut text = format!("vpool:  {OWN}\n");
        if let Ok(daemon) = &daemon {
            text.push_str(&format!(
                "vpoold: {}, API {}, pid {}, data in {}\n",
                daemon.version, daemon.api, daemon.pid, daemon.data_dir
            ));
        }
        text
    })?;
    daemon.map(drop)
}
