//! What commands print: tables and lines for people, JSON for programs.
//!
//! Owns: layout. Does not own: what is in it.

use std::io::{ErrorKind, Write};

use serde::Serialize;
use serde_json::json;
use vpool_api::Version;

use crate::arguments::Format;
use crate::client::Client;
use crate::failure::{Exit, Failure};

/// Where results go, and in which form.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
}

impl Output {
    /// To the standard output.
    pub(crate) fn new(format: Format) -> Output {
        Output { format }
    }

    /// `value` as JSON, or `text` of it for people.
    pub(crate) fn show<T: Serialize + ?Sized>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => print(&text(value)),
            Format::Json => {
                let mut json = serde_json::to_string_pretty(value)
                    .map_err(|error| Failure::failed(format!("cannot write JSON: {error}")))?;
                json.push('\n');
                print(&json)
            }
        }
    }

    /// A line for people about what was done; programs look at the exit code.
    pub(crate) fn done(&self, line: &str) -> Result<(), Failure> {
        match self.format {
            Format::Table => print(&format!("{line}\n")),
            Format::Json => Ok(()),
        }
    }

    /// The versions of both ends; this end's also where there is no daemon.
    pub(crate) async fn version(&self, client: &Client) -> Result<(), Failure> {
        let own = env!("CARGO_PKG_VERSION");
        let daemon = client.get::<Version>("/api/v1/version").await;
        let answer = json!({ "vpool": own, "daemon": daemon.as_ref().ok() });
        self.show(&answer, |_| match &daemon {
            Ok(daemon) => lines(&[
                ("vpool", own.to_owned()),
                ("vpoold", daemon.version.clone()),
                ("pid", daemon.pid.to_string()),
                ("data directory", daemon.data_dir.clone()),
            ]),
            Err(_) => lines(&[("vpool", own.to_owned())]),
        })?;
        daemon.map(drop)
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        // As with `| head`: who reads has enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(Exit::Failed, format!("cannot print: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// Columns as wide as their widest cell, two spaces apart. Every row has as many cells as
/// there are titles.
pub(crate) fn table<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells
            .chain([titles[column].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    let mut line = |cells: [&str; N]| {
        let mut row = String::new();
        for (cell, width) in cells.into_iter().zip(widths) {
            row.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    };
    line(titles);
    for row in rows {
        line(std::array::from_fn(|column| row[column].as_str()));
    }
    text
}

/// One line a field, names aligned.
pub(crate) fn lines(fields: &[(&str, String)]) -> String {
    let width = fields
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0)
        + 1;
    let line = |(name, value): &(&str, String)| format!("{:width$} {value}\n", format!("{name}:"));
    fields.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    //! The layout.

    use super::{lines, table};

    #[test]
    fn tables_are_aligned() {
        let rows = [
            ["größer".to_owned(), "1".to_owned()],
            ["a".to_owned(), String::new()],
        ];
        let expect = "NAME    DISKS\ngrößer  1\na\n";
        assert_eq!(table(["NAME", "DISKS"], &rows), expect);
        assert_eq!(table(["NAME", "DISKS"], &[]), "NAME  DISKS\n");
    }

    #[test]
    fn fields_are_aligned() {
        let fields = [("name", "demo".to_owned()), ("id", "1".to_owned())];
        assert_eq!(lines(&fields), "name: demo\nid:   1\n");
    }
}
