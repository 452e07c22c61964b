//! The sample file: every key, explained, commented out.
//!
//! Owns: its text, which `vpoold config -o sample` prints. Does not own: the file in the repository,
//! which a test keeps equal to it.

use super::keys::{Fallback, KEYS, Key, POOL_KEYS};

const HEAD: &str = "\
# Settings of vpoold. `vpoold run` reads them from /etc/vpool/vpoold.toml, or from the file that
# --config or VPOOLD_CONFIG names. What is commented out is the default.
#
# A variable of the environment goes before the file, and a flag before both: journal_size is also
# VPOOLD_JOURNAL_SIZE and --journal-size, tcp in [nbd] is VPOOLD_NBD_TCP and --nbd-tcp.
# `vpoold config` shows what holds, and why. Sizes are bytes, or whole numbers with K, M, G or T
# (powers of 1024). Paths are absolute.
#
# `systemctl reload vpoold` (SIGHUP) reads this file again. What is marked [live] changes then; the
# rest when the daemon is started again, which its log says.
";

const POOLS: &str = "
# What one pool is given of what all share: a table for each, [pool.NAME], as [pool.cloud] here. Each pool borrows
# what others do not use; what it is given by name comes back to it as soon as it is needed. No
# variables and no flags set these.
#[pool.cloud]
";

/// The text of the sample.
pub(crate) fn text() -> String {
    let mut text = HEAD.to_owned();
    let mut table = "";
    for key in KEYS {
        let (above, name) = key.place();
        if above != table {
            text.push_str(&format!("\n[{above}]\n"));
            table = above;
        }
        about(key, &mut text);
        match key.default {
            Fallback::Is(_) => {
                let value = key.default_value().expect("it has one").toml();
                text.push_str(&format!("#{name} = {value}\n"));
            }
            Fallback::Unset { means, example } => unset(key, name, means, example, &mut text),
        }
    }
    text.push_str(POOLS);
    for key in POOL_KEYS {
        about(key, &mut text);
        if let Fallback::Unset { means, example } = key.default {
            unset(key, key.name, means, example, &mut text);
        }
    }
    text
}

fn about(key: &Key, text: &mut String) {
    text.push('\n');
    for line in key.about.lines() {
        text.push_str(&format!("# {line}\n"));
    }
    if key.live {
        text.push_str("# [live]\n");
    }
}

fn unset(key: &Key, name: &str, means: &str, example: &str, text: &mut String) {
    let example = key.kind.parse(example).expect("a test reads them all");
    let example = example.toml();
    text.push_str(&format!("# Not set: {means}.\n#{name} = {example}\n"));
}
