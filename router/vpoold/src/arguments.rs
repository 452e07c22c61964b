//! The command line.
//!
//! Owns: the subcommands and their flags. Does not own: keys, of which each is a flag too
//! (`config/keys.rs`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::keys::{self, Fallback, KEYS, Key};
use crate::config::show::Format;

/// Where `vpoold dev` listens on TCP, so that the greeting's commands work as they are.
const DEV_NBD_TCP: &str = "127.0.0.1:10809";

/// The vPool storage router.
#[derive(Debug, Parser)]
#[command(name = "vpoold", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run on a directory, with a demo disk; needs no configuration
    Dev {
        #[command(flatten)]
        flags: KeyFlags,
    },
    /// Run as configured
    Run {
        #[command(flatten)]
        from: Told,
    },
    /// Print every setting, and who has set it
    Config {
        #[command(flatten)]
        from: Told,
        /// How it is printed
        #[arg(short, long, value_enum, default_value_t = Format::Text)]
        output: Format,
    },
}

/// Where settings come from.
#[derive(Debug, Args)]
pub(crate) struct Told {
    /// The file [default: VPOOLD_CONFIG, else /etc/vpool/vpoold.toml if it is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) flags: KeyFlags,
}

/// The keys that flags have set, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyFlags(pub(crate) BTreeMap<&'static str, String>);

impl FromArgMatches for KeyFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<KeyFlags, clap::Error> {
        let mut flags = KeyFlags::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for key in KEYS {
            if let Some(text) = matches.get_one::<String>(key.name) {
                self.0.insert(key.name, text.clone());
            }
        }
        Ok(())
    }
}

impl Args for KeyFlags {
    fn augment_args(command: clap::Command) -> clap::Command {
        KEYS.iter()
            .fold(command, |command, key| command.arg(argument(key)))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

fn argument(key: &'static Key) -> Arg {
    let about = key.about.replace('\n', " ");
    let default = match key.default {
        Fallback::Is(value) => value,
        Fallback::Unset { means, .. } => means,
    };
    let argument = Arg::new(key.name)
        .long(key.flag)
        .value_name(key.kind.form())
        .help(format!(
            "{} [default: {default}]",
            about.trim_end_matches('.')
        ))
        .value_parser(move |text: &str| key.kind.parse(text).map(|_| text.to_owned()));
    match key.name {
        keys::NBD_TCP => argument.visible_alias("nbd"),
        // What is dangerous is said in a word; `false` is for those whom a file has said it to.
        keys::API_INSECURE_LISTEN => argument.num_args(0..=1).default_missing_value("true"),
        _ => argument,
    }
}

/// The command; `dev` needs its directory named, and has TCP without being asked.
fn command() -> clap::Command {
    Arguments::command().mut_subcommand("dev", |dev| {
        dev.mut_arg(keys::DATA_DIR, |arg| {
            let about = "Holds the key, the journal, the caches, the metadata and the objects of \
                         pool `default`";
            arg.required(true).help(about)
        })
        .mut_arg(keys::NBD_TCP, |arg| {
            let about = "Where NBD listens on TCP: ADDRESS:PORT, or off";
            arg.default_value(DEV_NBD_TCP).help(about)
        })
    })
}

impl Command {
    /// Reads the command line; ends the process where it is wrong, or asks for help.
    pub(crate) fn parse() -> Command {
        Command::of(command().get_matches()).unwrap_or_else(|error| error.exit())
    }

    fn of(mut matches: ArgMatches) -> Result<Command, clap::Error> {
        let arguments = Arguments::from_arg_matches_mut(&mut matches);
        arguments
            .map(|arguments| arguments.command)
            .map_err(|error| error.format(&mut command()))
    }
}

#[cfg(test)]
mod tests {
    //! Flags, good and bad.

    use super::{Command, command};
    use crate::config::{Settings, Sources};

    fn parsed(line: &str) -> Result<Command, clap::Error> {
        command()
            .try_get_matches_from(line.split(' '))
            .and_then(Command::of)
    }

    fn try_settings(line: &str) -> anyhow::Result<Settings> {
        let (flags, demo) = match parsed(line).expect("it is good") {
            Command::Dev { flags } => (flags, true),
            Command::Run { from } => (from.flags, false),
            Command::Config { .. } => unreachable!("it is not asked for"),
        };
        let effective = Sources::of_flags(flags.0).read().expect("it is good");
        Settings::new(&effective, demo)
    }

    fn settings(line: &str) -> Settings {
        try_settings(line).expect("they go together")
    }

    #[test]
    fn nobody_from_outside_comes_in_unknown() {
        let tls = "--nbd-tls-certificate c --nbd-tls-key k --nbd-tls-client-ca a";
        for bad in [
            "vpoold dev --data-dir d --nbd-tcp 0.0.0.0:10809".to_owned(),
            "vpoold run --nbd-tcp [::]:10809".to_owned(),
            format!("vpoold run --nbd-tcp 10.0.0.1:10809 {tls} --nbd-tls-required false"),
        ] {
            let error = try_settings(&bad).expect_err(&bad).to_string();
            assert!(error.starts_with("--nbd-tcp: nbd.tcp: "), "{error}");
        }
        for bad in [
            "vpoold dev --data-dir d --api-tcp 0.0.0.0:7480",
            "vpoold run --api-tcp 192.0.2.1:7480",
            "vpoold run --api-tcp [::]:7480 --insecure-listen false",
        ] {
            let error = try_settings(bad).expect_err(bad).to_string();
            assert!(error.starts_with("--api-tcp: api.tcp: "), "{error}");
            assert!(error.contains("--insecure-listen"), "{error}");
        }
        let api_tls = tls.replace("--nbd", "--api");
        let good = settings(&format!("vpoold run --api-tcp 0.0.0.0:7480 {api_tls}"));
        assert!(good.api_tls.is_some());
        let open = settings("vpoold run --insecure-listen --api-tcp 0.0.0.0:7480");
        assert!(open.api_tls.is_none());
        for half in [
            "vpoold run --nbd-tls-certificate c --nbd-tls-key k",
            "vpoold run --nbd-tls-client-ca a",
            "vpoold run --nbd-tls-required false",
            "vpoold run --api-tls-key k",
        ] {
            let error = try_settings(half).expect_err(half).to_string();
            assert!(error.contains("go together"), "{error}");
        }
        let good = settings(&format!("vpoold run --nbd-tcp 0.0.0.0:10809 {tls}"));
        assert!(good.nbd_tls.is_some() && good.nbd_tls_required);
        let loopback = format!("vpoold run --nbd-tcp [::1]:1 {tls} --nbd-tls-required false");
        let loopback = settings(&loopback);
        assert!(loopback.nbd_tls.is_some() && !loopback.nbd_tls_required);
    }

    #[test]
    fn the_command_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn defaults() {
        let dev = settings("vpoold dev --data-dir d");
        assert_eq!(
            dev.nbd_tcp,
            Some("127.0.0.1:10809".parse().expect("an address"))
        );
        assert!(dev.demo);
        assert_eq!(
            (dev.journal_bytes, dev.memory_bytes, dev.cache_bytes),
            (16 << 30, 1 << 30, 16 << 30)
        );
        let run = settings("vpoold run --data-dir d");
        assert_eq!((run.nbd_tcp, run.demo), (None, false));
        let loopback = Some("127.0.0.1:7480".parse().expect("an address"));
        assert_eq!((dev.api_tcp, run.api_tcp), (loopback, loopback));
    }

    #[test]
    fn command_lines() {
        for good in [
            "vpoold dev --data-dir d --nbd-tcp off",
            "vpoold dev --data-dir d --nbd 127.0.0.1:0",
            "vpoold dev --data-dir d --nbd-tcp [::1]:10809",
            "vpoold run",
            "vpoold run --config /c",
            "vpoold run --data-dir d --journal-size 128M --memory 128M --cache-size 0",
            "vpoold run --data-dir d --nbd-socket /n --api-socket /a --log info,vpool_nbd=debug",
            "vpoold config --config /c -o json --memory 2G",
            "vpoold config -o sample",
            "vpoold run --data-dir d --api-tcp off",
            "vpoold dev --data-dir d --api-tcp [::1]:0",
        ] {
            assert!(parsed(good).is_ok(), "{good}: {:?}", parsed(good));
        }
        for bad in [
            "vpoold",
            "vpoold dev",
            "vpoold dev --data-dir d --config /c",
            "vpoold dev --data-dir d --nbd-tcp 10809",
            "vpoold dev --data-dir d --journal-size 1M",
            "vpoold dev --data-dir d --memory 1M",
            "vpoold dev --data-dir d --memory lots",
            "vpoold run --log a=b=c",
            "vpoold run --data-dir d --api-tcp localhost:7480",
            "vpoold run --data-dir d --api-tcp",
            "vpoold run --nbd-tls-required perhaps",
            "vpoold config -o yaml",
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }
}
