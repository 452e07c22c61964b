//! What is made of the command line itself: completions and manual pages.
//!
//! Owns: writing them. Does not own: their text (`arguments`).

use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::output::print_bytes;

/// Prints the completions for a shell.
pub(crate) fn completion(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "vpool", &mut script);
    print_bytes(&script)
}

/// Writes a page for the command and for each noun and verb: `vpool-disk-import.1`.
pub(crate) fn man(directory: &Path) -> Result<(), Failure> {
    let mut command = Arguments::command();
    command.build();
    page(&command, "vpool", directory)
}

fn page(command: &clap::Command, name: &str, directory: &Path) -> Result<(), Failure> {
    let path = directory.join(format!("{name}.1"));
    let failed = |error| Failure::failed(format!("cannot write {}: {error}", path.display()));
    let mut text = Vec::new();
    let man = Man::new(command.clone()).title(name);
    man.render(&mut text).map_err(failed)?;
    std::fs::write(&path, text).map_err(failed)?;
    for verb in command.get_subcommands() {
        if !verb.is_hide_set() && verb.get_name() != "help" {
            page(verb, &format!("{name}-{}", verb.get_name()), directory)?;
        }
    }
    Ok(())
}
