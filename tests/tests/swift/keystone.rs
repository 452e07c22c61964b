//! A pool whose tokens come from Keystone and end while it works; and what can be wrong with
//! a location, each beside the good one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use vpool_test_stores::{Auth, Swift};
use vpool_tests::daemon::{Flags, World, lock};

use super::{Place, create_disk, no_complaints, oracle, write_all};

const TOKEN_LIFE: Duration = Duration::from_secs(8);

#[test]
fn a_pool_over_the_ends_of_tokens() -> anyhow::Result<()> {
    let auth = Auth::Keystone {
        token_life: TOKEN_LIFE,
    };
    let Some(swift) = Swift::start_or_skip(auth) else {
        return Ok(());
    };
    let _alone = lock("kill")?;
    swift.create_container("disks")?;
    let world = World::new("swift-keystone")?;
    let daemon = world.start(&Flags::default())?;
    what_is_refused(&swift, &world)?;

    let place = Place::new(&swift, "v3", &swift.auth_url(), "disks/some/prefix");
    let mut create = place.at(&["pool", "create", "cloud"]);
    create.extend(["--region", "RegionOne", "--interface", "internal"]);
    world.vpool(&create)?;
    let shown = world.vpool(&["pool", "show", "cloud"])?;
    ensure!(
        shown.contains("v3, internal interface, region RegionOne") && shown.contains(&place.url),
        "{shown}"
    );
    create_disk(&world, "cloud:a")?;
    let (mut a, door) = (oracle(1)?, world.door("cloud:a"));
    let begun = Instant::now();
    while begun.elapsed() < 2 * TOKEN_LIFE {
        write_all(&mut [(&mut a, door.clone())], || {
            world.vpool(&["pool", "sync", "cloud"]).map(drop)
        })?;
    }
    daemon.kill()?;
    let daemon = world.start(&Flags::default())?;
    a.verify(&door)?;
    let shown = world.vpool(&["pool", "list"])?;
    ensure!(
        !shown.contains("fails") && !shown.contains("FAILED"),
        "{shown}"
    );
    daemon.terminate()?;
    no_complaints(&world)
}

fn what_is_refused(swift: &Swift, world: &World) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let good = swift.credentials_file();
    let written = |name: &str, text: &str, mode: u32| -> anyhow::Result<String> {
        let path = directory.path().join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        Ok(path.to_string_lossy().into_owned())
    };
    let text = fs::read_to_string(&good)?;
    let v1 = written("v1", "user=a:b\nkey=canary\n", 0o600)?;
    let wrong = written("wrong", &text.replace("first", "canary"), 0o600)?;
    let open = written("open", &text, 0o644)?;
    let good = good.to_string_lossy().into_owned();
    let (there, absent) = ("disks/refused", "absent/refused");
    for (auth, path, keys, more, code, word) in [
        ("v1", there, &good, "", 2, "auth URL of v3"),
        ("v3", there, &v1, "", 2, "line 2 is none of"),
        ("v3", there, &open, "", 2, "chmod 600"),
        ("v3", there, &wrong, "", 4, "does not take the user"),
        ("v3", absent, &good, "", 3, "make the container"),
        (
            "v3",
            there,
            &good,
            "--region=nowhere",
            3,
            "public in RegionOne",
        ),
        ("v3", "disks/Refused", &good, "", 2, "prefix"),
    ] {
        let url = format!("{}/{path}", swift.auth_url());
        let mut command = world.vpool_command();
        command
            .args(["pool", "create", "p", "--swift", &url, "--auth", auth])
            .args(["--credentials-file", keys]);
        if !more.is_empty() {
            command.arg(more);
        }
        let output = command.output().context("start vpool")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.code() == Some(code) && said.contains(word),
            "{auth} {path} {more}: {:?}: {said}",
            output.status
        );
        ensure!(!said.contains("canary"), "{said}");
    }
    ensure!(Path::new(&good).exists(), "the good file is as it was");
    let list = world.vpool(&["pool", "list"])?;
    ensure!(list.lines().count() == 2, "something was made: {list}");
    Ok(())
}
