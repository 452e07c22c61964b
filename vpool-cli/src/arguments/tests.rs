//! What is accepted and refused before the daemon is asked.

use clap::{Command, CommandFactory, Parser};

use super::Arguments;

fn accepts(line: &str) -> bool {
    Arguments::try_parse_from(line.split(' ')).is_ok()
}

/// Each verb with its path, `vpool disk list`.
fn verbs() -> Vec<(String, Command)> {
    let mut all = Vec::new();
    for noun in Arguments::command().get_subcommands() {
        let path = format!("vpool {}", noun.get_name());
        all.push((path.clone(), noun.clone()));
        for verb in noun.get_subcommands() {
            all.push((format!("{path} {}", verb.get_name()), verb.clone()));
        }
    }
    all
}

#[test]
fn the_command_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn every_verb_has_an_example_that_is_accepted() {
    for (path, verb) in verbs() {
        let help = verb.get_after_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        let example = help.strip_prefix("Example:\n  ").unwrap_or_default();
        assert!(example.contains(&path), "{path}: {help:?}");
        let at = example.find(&path).expect("just seen");
        // Up to what is the shell's.
        let line = example[at..].split([')', '|']).next().unwrap_or_default();
        let mut words: Vec<String> = Vec::new();
        for (number, piece) in line.split('\'').enumerate() {
            match number % 2 {
                0 => words.extend(piece.split_whitespace().map(str::to_owned)),
                _ => words.push(piece.to_owned()),
            }
        }
        assert!(Arguments::try_parse_from(&words).is_ok(), "{words:?}");
    }
}

#[test]
fn command_lines() {
    for good in [
        "vpool pool create main --fs /srv/pool",
        "vpool pool create main --s3 http://h/b/p --credentials-file k",
        "vpool pool create main --s3 http://h/b --credentials-file k --region r --ca-file c",
        "vpool pool create main --s3 http://h/b --credentials-file k --virtual-host --dry-run",
        "vpool pool create main --swift http://h/auth/v1.0/c/p --auth v1 --credentials-file k",
        "vpool pool create main --swift http://h/v3/c --auth v3 --credentials-file k \
         --region r --interface internal --ca-file c",
        "vpool pool adopt --swift http://h/v3/c --auth v3 --credentials-file k --yes",
        "vpool pool list -o json",
        "vpool -o json --api unix:/x pool show main",
        "vpool --profile lab pool show main second",
        "vpool pool list --columns name,disks --bytes",
        "vpool pool sync main --timeout 5",
        "vpool pool probe main",
        "vpool pool delete main --yes",
        "vpool pool adopt --fs /srv/pool",
        "vpool pool adopt main --fs /srv/pool --take-over --yes",
        "vpool disk create vm/a --size 40G --pool main --encrypt",
        "vpool disk create main:vm/a --size 512",
        "vpool disk create a --size 64T",
        "vpool disk list --pool main --filter name~x --filter size_bytes=512 --sort -name",
        "vpool disk show main:a b",
        "vpool disk set a --description x",
        "vpool disk set a --read-only yes",
        "vpool disk resize a 80G --shrink --yes",
        "vpool disk rename main:a b/c",
        "vpool disk sync a b --no-wait",
        "vpool disk import a - --format raw --size 1G",
        "vpool disk import a x.vmdk --pool p --encrypt --compare --allow-backing",
        "vpool disk export a - --format qcow2",
        "vpool disk delete a b c --yes --dry-run",
        "vpool disk repair a --accept-loss",
        "vpool disk attach a",
        "vpool task list",
        "vpool task show 1 2",
        "vpool task watch 1",
        "vpool task cancel 1 2",
        "vpool events -f --since 5 -o csv",
        "vpool top --once",
        "vpool bench a --mode write --seconds 1 --span 4M --block-size 64K --depth 1",
        "vpool doctor -o json",
        "vpool completion zsh",
        "vpool version",
        "vpool man /tmp",
    ] {
        assert!(accepts(good), "{good}");
    }
    for bad in [
        "vpool",
        "vpool pool",
        "vpool --api unix:/x --profile lab pool list",
        "vpool pool create main",
        "vpool pool create main --s3 http://h/b",
        "vpool pool create main --credentials-file k",
        "vpool pool create main --fs /x --s3 http://h/b --credentials-file k",
        "vpool pool create main --fs /x --region r",
        "vpool pool create main --fs /x --interface public",
        "vpool pool create main --swift http://h/v3/c --auth v3",
        "vpool pool create main --swift http://h/v3/c --credentials-file k",
        "vpool pool create main --swift http://h/v3/c --auth v2 --credentials-file k",
        "vpool pool create main --auth v3 --credentials-file k",
        "vpool pool create main --swift http://h/v3/c --auth v3 --credentials-file k --fs /x",
        "vpool pool create main --s3 http://h/b --swift http://h/v3/c --auth v3 --credentials-file k",
        "vpool pool create main --s3 http://h/b --credentials-file k --auth v3",
        "vpool pool create main --swift http://h/v3/c --auth v3 --credentials-file k --virtual-host",
        "vpool pool create a/b --fs /x",
        "vpool pool list -o xml",
        "vpool pool sync main --no-wait --timeout 5",
        "vpool pool sync",
        "vpool disk create a",
        "vpool disk create a --size 0",
        "vpool disk create a --size 65T",
        "vpool disk create a --size 513",
        "vpool disk create a --size 10GB",
        "vpool disk create a:b:c --size 1G",
        "vpool disk create a@b --size 1G",
        "vpool disk create ../a --size 1G",
        "vpool disk set a",
        "vpool disk set a --read-only maybe",
        "vpool disk resize a",
        "vpool disk rename a p:b",
        "vpool disk import a",
        "vpool disk import a x --format vdi",
        "vpool disk export a",
        "vpool disk repair a",
        "vpool disk delete",
        "vpool task cancel",
        "vpool task show x",
        "vpool events --since x",
        "vpool top --interval 0",
        "vpool bench a --mode trim",
        "vpool bench a --seconds 0",
        "vpool bench a --seconds 601",
        "vpool bench a --block-size 100",
        "vpool bench a --depth 0",
        "vpool completion powershell",
    ] {
        assert!(!accepts(bad), "{bad}");
    }
}
