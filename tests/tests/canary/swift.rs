//! The same for what opens a Swift store: key of auth v1, password of Keystone.

use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::runtime::Runtime;
use vpool_swift::{SwiftConfig, SwiftStore};
use vpool_test_stores::{Auth, Swift};
use vpool_tests::daemon::World;

use super::search::{Needle, key_needles, search, search_store, text_needles};
use super::{OPEN, SECRET, conclude, flags, look_at_answers, write_over_a_kill};

/// Short, so that the credentials are sent again and again.
const TOKEN_LIFE: Duration = Duration::from_secs(8);

#[test]
fn no_key_of_swift_in_clear() -> anyhow::Result<()> {
    in_a_container("swift-v1", Auth::Temp, "v1", "key=")
}

#[test]
fn no_password_of_keystone_in_clear() -> anyhow::Result<()> {
    let auth = Auth::Keystone {
        token_life: TOKEN_LIFE,
    };
    in_a_container("swift-v3", auth, "v3", "password=")
}

fn in_a_container(part: &str, auth: Auth, version: &str, field: &str) -> anyhow::Result<()> {
    let Some(swift) = Swift::start_or_skip(auth) else {
        return Ok(());
    };
    swift.create_container("canary")?;
    let keys = swift.credentials_file();
    let text = fs::read_to_string(&keys).context("read the credentials")?;
    let secret = text.lines().find_map(|line| line.strip_prefix(field));
    let secret = secret.context("the file holds it")?;
    let url = format!("{}/canary/some/prefix", swift.auth_url());
    let world = World::new("canary")?;
    let daemon = world.start(&flags("128M"))?;
    let file = keys.to_string_lossy();
    let create = [
        "pool", "create", "cloud", "--swift", &url, "--auth", version,
    ];
    world.vpool(&[&create[..], &["--credentials-file", &file]].concat())?;
    world.vpool(&["disk", "create", "cloud:s", "--size", "64M", "--encrypt"])?;
    world.vpool(&["disk", "create", "cloud:o", "--size", "64M"])?;
    let doors = [
        (world.door("cloud:s"), SECRET),
        (world.door("cloud:o"), OPEN),
    ];
    let mut needles = key_needles(&world.data().join("grid.key"))?;
    needles.extend(text_needles("what opens the store", secret));
    needles.push(Needle::secret("the canary of the sealed disk", SECRET));
    needles.push(Needle::open("the canary of the open disk", OPEN));

    let daemon = write_over_a_kill(&world, daemon, &doors)?;
    look_at_answers(&world, &daemon, &["cloud:s", "cloud:o"], &needles)?;
    search(&world, &needles)?;
    world.vpool(&["pool", "sync", "cloud"])?;
    daemon.terminate()?;
    let ended = search(&world, &needles)?;
    ensure!(secret.len() >= 6, "a shorter one may stand anywhere");
    let store = SwiftStore::connect(SwiftConfig::from_url(&url, keys)?)?;
    let runtime = Runtime::new().context("start a runtime")?;
    let objects = runtime.block_on(search_store(&store, &needles))?;
    conclude(part, &needles, objects, ended)
}
