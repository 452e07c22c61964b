//! What is printed: forms, columns, locales, pipes that close, terminals; and which daemon is
//! asked.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use anyhow::Context;
use serde_json::{Value, json};
use vpool_tests::daemon::Flags;
use vpool_tests::need;

use super::{Place, run};

#[test]
fn forms() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _daemon = place.start()?;
    place.vpool_ok(&["disk", "create", "vm, \"1\"", "--size", "1536M"])?;
    let form = |form: &str| place.vpool_ok(&["disk", "list", "--sort", "name", "-o", form]);
    let table = form("table")?;
    assert!(table.starts_with("POOL     NAME     SIZE  "), "{table}");
    assert!(
        table.contains("1.5G") && !table.contains("DESCRIPTION"),
        "{table}"
    );
    assert!(form("wide")?.contains("DESCRIPTION"));
    assert_eq!(form("name")?, "default:demo\ndefault:vm, \"1\"\n");
    let csv = form("csv")?;
    let header = "pool,name,size,encrypted,read_only,state,clients,not_shipped";
    assert!(csv.starts_with(header), "{csv}");
    assert!(
        csv.contains("default,\"vm, \"\"1\"\"\",1610612736,false,"),
        "{csv}"
    );
    let list: Value = serde_json::from_str(&form("json")?)?;
    assert_eq!((&list["total"], &list["next"]), (&json!(2), &Value::Null));
    assert_eq!(list["items"][1]["size_bytes"], json!(1_610_612_736_u64));
    let yaml = form("yaml")?;
    assert!(yaml.contains("items:\n  - attached: 0\n"), "{yaml}");
    let few = [
        "disk",
        "list",
        "--columns",
        "size,name",
        "--filter",
        "name~vm",
        "--bytes",
    ];
    let expect = "SIZE        NAME\n1610612736  vm, \"1\"\n";
    assert_eq!(place.vpool_ok(&few)?, expect);
    // One thing is the API's object, several are its list.
    let one: Value =
        serde_json::from_str(&place.vpool_ok(&["disk", "show", "demo", "-o", "json"])?)?;
    assert_eq!(one["name"], json!("demo"));
    Ok(())
}

#[test]
fn the_same_in_every_locale() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _daemon = place.start()?;
    place.vpool_ok(&["disk", "create", "İI ıi", "--size", "1536M"])?;
    for arguments in [
        &["disk", "list", "-o", "wide"][..],
        &["disk", "show", "İI ıi", "-o", "yaml"],
        &["pool", "list", "-o", "csv"],
        &["disk", "show", "nothing"],
        &["disk", "create", "x", "--size", "1,5G"],
    ] {
        let in_locale = |locale: &str| {
            run(place
                .world
                .vpool_command()
                .args(arguments)
                .env("LC_ALL", locale))
        };
        let c = in_locale("C")?;
        for locale in ["tr_TR.UTF-8", "de_DE.UTF-8", ""] {
            let other = in_locale(locale)?;
            let same = (c.code, &c.stdout, &c.stderr) == (other.code, &other.stdout, &other.stderr);
            assert!(same, "{locale}: {other:?} is not {c:?}");
        }
    }
    Ok(())
}

#[test]
fn a_reader_that_has_enough_is_no_failure() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _daemon = place.start()?;
    for arguments in [
        &["disk", "list"][..],
        &["pool", "show", "default", "-o", "json"],
        &["completion", "bash"],
        &["events"],
    ] {
        let mut child = place
            .world
            .vpool_command()
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        drop(child.stdout.take());
        let done = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!((done.status.code(), &*said), (Some(0), ""), "{arguments:?}");
    }
    Ok(())
}

/// Runs `vpool` on a terminal of its own with something typed.
fn on_a_terminal(place: &Place, line: &str, typed: &str) -> anyhow::Result<(i32, String)> {
    let program = place.world.vpool_command();
    let program = program.get_program().to_string_lossy().into_owned();
    let api = format!("unix:{}", place.api_socket().display());
    let mut child = std::process::Command::new("script")
        .args(["-qec", &format!("{program} {line}"), "/dev/null"])
        .env("VPOOL_API", api)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("piped")?;
    stdin.write_all(typed.as_bytes())?;
    let done = child.wait_with_output()?;
    drop(stdin);
    let code = done.status.code().unwrap_or(-1);
    Ok((code, String::from_utf8_lossy(&done.stdout).into_owned()))
}

#[test]
fn a_person_types_the_name_to_delete() -> anyhow::Result<()> {
    if !need::programs(&["script"]) {
        return Ok(());
    }
    let place = Place::new()?;
    let _daemon = place.start()?;
    place.vpool_ok(&["disk", "create", "vm1", "--size", "1M"])?;
    let (code, text) = on_a_terminal(&place, "disk delete vm1", "yes\n")?;
    assert!(code == 1 && text.contains("Type vm1"), "{code} {text}");
    place.vpool_ok(&["disk", "show", "vm1"])?;
    let (code, text) = on_a_terminal(&place, "disk delete vm1", "vm1\n")?;
    assert_eq!(code, 0, "{text}");
    assert_eq!(place.vpool(&["disk", "show", "vm1"])?.code, 3);
    // `top` draws on the other screen, and gives the terminal back.
    let (code, text) = on_a_terminal(&place, "top --interval 1", "q")?;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("vpool top") && text.ends_with("\u{1b}[?1049l"),
        "{text:?}"
    );
    Ok(())
}

#[test]
fn over_tcp_with_the_token() -> anyhow::Result<()> {
    let place = Place::new()?;
    let flags = Flags {
        journal: "256M".to_owned(),
        cache: "256M".to_owned(),
        api_tcp: "127.0.0.1:0".to_owned(),
        ..Flags::default()
    };
    let _daemon = place.world.start(&flags)?;
    let version: Value = serde_json::from_str(&place.vpool_ok(&["version", "-o", "json"])?)?;
    let address = version["daemon"]["api_tcp"].as_str();
    let address = format!("http://{}", address.context("it listens on TCP")?);
    let program = place.world.vpool_command().get_program().to_owned();
    let ask = |token: &std::path::Path| {
        let mut command = std::process::Command::new(&program);
        command.args(["--api", &address, "--token-file"]).arg(token);
        run(command.args(["disk", "list", "-o", "name"]))
    };
    let good = ask(&place.data().join("api.token"))?;
    assert_eq!(
        (good.code, &*good.stdout),
        (0, "default:demo\n"),
        "{good:?}"
    );
    let wrong = place.beside("wrong");
    fs::write(&wrong, "wrong")?;
    fs::set_permissions(&wrong, fs::Permissions::from_mode(0o600))?;
    assert_eq!(ask(&wrong)?.code, 4);
    Ok(())
}

#[test]
fn profiles() -> anyhow::Result<()> {
    let place = Place::new()?;
    let _daemon = place.start()?;
    let home = place.beside("config");
    fs::create_dir_all(home.join("vpool"))?;
    let file = home.join("vpool/config.toml");
    let socket = format!("unix:{}", place.api_socket().display());
    fs::write(
        &file,
        format!("[profiles.lab]\napi = \"{socket}\"\n[profiles.gone]\napi = \"unix:/nowhere\"\n"),
    )?;
    let program = place.world.vpool_command().get_program().to_owned();
    let ask = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = std::process::Command::new(&program);
        command.args(arguments).env("XDG_CONFIG_HOME", &home);
        command.env_remove("VPOOL_API").env_remove("VPOOL_PROFILE");
        command.envs(variables.iter().copied());
        run(&mut command)
    };
    let list = ["disk", "list"];
    let lab = ["--profile", "lab", "disk", "list"];
    assert_eq!(ask(&lab, &[])?.code, 0);
    assert_eq!(ask(&list, &[("VPOOL_PROFILE", "lab")])?.code, 0);
    assert_eq!(ask(&list, &[("VPOOL_PROFILE", "gone")])?.code, 8);
    assert_eq!(
        ask(&list, &[("VPOOL_PROFILE", "gone"), ("VPOOL_API", &socket)])?.code,
        0
    );
    assert_eq!(ask(&lab, &[("VPOOL_API", "unix:/nowhere")])?.code, 0);
    let unknown = ask(&["--profile", "lap", "disk", "list"], &[])?;
    assert!(
        unknown.code == 3 && unknown.stderr.contains("gone, lab"),
        "{unknown:?}"
    );
    fs::write(
        &file,
        "[profiles.lab]\napi = \"unix:/x\"\ntoken = \"secret\"\n",
    )?;
    let misspelt = ask(&lab, &[])?;
    assert!(
        misspelt.code == 2 && misspelt.stderr.contains("config.toml:3: "),
        "{misspelt:?}"
    );
    let token = place.beside("token");
    fs::write(&token, "abc")?;
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644))?;
    let token = token.to_string_lossy().into_owned();
    let open = [
        "--api",
        "http://127.0.0.1:9",
        "--token-file",
        &token,
        "disk",
        "list",
    ];
    let refused = ask(&open, &[])?;
    assert!(
        refused.code == 2 && refused.stderr.contains("chmod 600"),
        "{refused:?}"
    );
    Ok(())
}
