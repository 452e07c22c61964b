//! What commands print: tables and lines for people, JSON, YAML, CSV and names for programs.
//!
//! ```text
//! Listed (a noun's columns) ─▶ columns ─▶ table, wide, csv      what the API answered ─▶ json, yaml
//! ```
//!
//! Owns: the choice of the form, writing to the standard output. Does not own: what is said of
//! a thing (its noun's file).

pub(crate) mod columns;
pub(crate) mod value;
mod yaml;

use std::io::{ErrorKind, Write};

use clap::ValueEnum;
use serde::Serialize;
use vpool_api::{DryRun, List};

use crate::client::Changed;
use crate::failure::Failure;
use columns::{Listed, Place, choose};
use value::visible;

/// The form of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For people, with all columns
    Wide,
    /// For programs: what the API answers
    Json,
    /// The same as YAML
    Yaml,
    /// Columns, with numbers as they are
    Csv,
    /// Names, one a line
    Name,
}

/// Where results go, and in which form.
#[derive(Debug)]
pub(crate) struct Output {
    /// The form.
    pub(crate) format: Format,
    /// Which columns; the form's own without.
    pub(crate) columns: Option<Vec<String>>,
    /// Bytes as numbers for people too.
    pub(crate) raw: bool,
}

impl Output {
    /// Things of one kind. Where there are none, people are told `empty`.
    pub(crate) fn list<T: Listed + Serialize>(
        &self,
        list: &List<T>,
        empty: &str,
    ) -> Result<(), Failure> {
        let place = match self.format {
            Format::Table => Place::List,
            _ => Place::Wide,
        };
        let chosen = choose::<T>(self.columns.as_deref(), place)?;
        match self.format {
            Format::Json | Format::Yaml => self.data(list),
            Format::Table | Format::Wide if list.items.is_empty() => {
                crate::failure::say(empty);
                Ok(())
            }
            Format::Table | Format::Wide => print(&columns::table(&chosen, &list.items, self.raw)),
            Format::Csv => print(&columns::csv(&chosen, &list.items)),
            Format::Name => {
                let names = list.items.iter().map(|item| item.name() + "\n");
                print(&names.collect::<String>())
            }
        }
    }

    /// One thing.
    pub(crate) fn one<T: Listed + Serialize>(&self, item: &T) -> Result<(), Failure> {
        let chosen = choose::<T>(self.columns.as_deref(), Place::One)?;
        match self.format {
            Format::Json | Format::Yaml => self.data(item),
            Format::Table | Format::Wide => print(&columns::lines(&chosen, item, self.raw)),
            Format::Csv => print(&columns::csv(&chosen, std::slice::from_ref(item))),
            Format::Name => print(&(item.name() + "\n")),
        }
    }

    /// What was found of several names: as one thing if one was asked for, else as a list.
    pub(crate) fn some<T: Listed + Serialize>(
        &self,
        mut found: Vec<T>,
        asked: usize,
    ) -> Result<(), Failure> {
        match (found.pop(), asked) {
            (Some(item), 1) => return self.one(&item),
            (Some(item), _) => found.push(item),
            (None, _) => return Ok(()),
        }
        if self.is_for_people() {
            let chosen = choose::<T>(self.columns.as_deref(), Place::One)?;
            let blocks = found
                .iter()
                .map(|item| columns::lines(&chosen, item, self.raw));
            return print(&blocks.collect::<Vec<_>>().join("\n"));
        }
        let total = u64::try_from(found.len()).unwrap_or(u64::MAX);
        let list = List {
            items: found,
            total,
            next: None,
        };
        self.list(&list, "")
    }

    /// What a change came to: `show` of what is done, or what would be.
    pub(crate) fn changed<T>(
        &self,
        changed: Changed<T>,
        show: impl FnOnce(&T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match changed {
            Changed::Done(done) => show(&done),
            Changed::Would(would) => self.show(&would, would_text),
        }
    }

    /// What has no columns: `text` of it for people.
    pub(crate) fn show<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Json | Format::Yaml => self.data(value),
            _ => print(&text(value)),
        }
    }

    /// A line for people about what was done; programs look at the exit code.
    pub(crate) fn done(&self, line: &str) -> Result<(), Failure> {
        match self.format {
            Format::Table | Format::Wide => print(&format!("{line}\n")),
            _ => Ok(()),
        }
    }

    /// Whether this is for people.
    pub(crate) fn is_for_people(&self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }

    fn data<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Failure> {
        let failed = |error| Failure::failed(format!("cannot write the answer: {error}"));
        if self.format == Format::Yaml {
            let value = serde_json::to_value(value).map_err(failed)?;
            return print(&yaml::document(&value));
        }
        let mut json = serde_json::to_string_pretty(value).map_err(failed)?;
        json.push('\n');
        print(&json)
    }
}

fn would_text(would: &DryRun) -> String {
    let mut text = String::new();
    for change in &would.changes {
        let words = [&change.action, &change.object, &change.detail].map(|word| visible(word));
        text.push_str(&format!("would {} {}: {}\n", words[0], words[1], words[2]));
    }
    if would.changes.is_empty() {
        text.push_str("nothing would change\n");
    }
    for note in &would.notes {
        text.push_str(&format!("note: {}\n", visible(note)));
    }
    text
}

/// To the standard output, at once.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// The same with any bytes.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    match write_bytes(bytes) {
        // As with `| head`: who reads has enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::closed()),
        Err(error) => Err(Failure::failed(format!("cannot print: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// The same for what is worth nothing unless all of it arrives.
pub(crate) fn write_bytes(bytes: &[u8]) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush())
}
