//! Columns: what of a thing is shown, and in which order.
//!
//! Owns: choosing columns, laying them out as a table, as lines and as CSV. Does not own:
//! which columns a thing has (its noun's file), the form of one value (`value.rs`).

use super::value::Value;
use crate::failure::Failure;

/// One thing that can be said about a `T`.
#[derive(Debug)]
pub(crate) struct Column<T: 'static> {
    /// Its name for `--columns`; the title is this in capitals, with spaces.
    pub(crate) name: &'static str,
    /// Where it is shown unless it is asked for.
    pub(crate) place: Place,
    /// The value.
    pub(crate) value: fn(&T) -> Value,
}

/// Where a column is shown by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// In every list.
    List,
    /// In wide lists.
    Wide,
    /// Where one thing is shown, only.
    One,
}

/// What can be listed.
pub(crate) trait Listed: Sized + 'static {
    /// Everything that can be said about it.
    const COLUMNS: &'static [Column<Self>];

    /// What other commands call it.
    fn name(&self) -> String;
}

/// The columns named in `names`, in that order; without names, those shown up to `place`.
pub(crate) fn choose<T: Listed>(
    names: Option<&[String]>,
    place: Place,
) -> Result<Vec<&'static Column<T>>, Failure> {
    let Some(names) = names else {
        let chosen = T::COLUMNS.iter().filter(|column| column.place <= place);
        return Ok(chosen.collect());
    };
    let find = |name: &String| {
        let name = name.trim();
        let found = T::COLUMNS.iter().find(|column| column.name == name);
        found.ok_or_else(|| {
            let known: Vec<_> = T::COLUMNS.iter().map(|column| column.name).collect();
            Failure::usage(format!("there is no column {name:?}"))
                .with_hint(format!("columns here: {}", known.join(",")))
        })
    };
    names.iter().map(find).collect()
}

/// Columns as wide as their widest value, two spaces apart.
pub(crate) fn table<T>(columns: &[&Column<T>], rows: &[T], raw: bool) -> String {
    let titles = columns.iter().map(|column| title(column.name)).collect();
    let line = |row: &T| -> Vec<String> {
        let values = columns.iter().map(|column| (column.value)(row).shown(raw));
        values.collect()
    };
    let mut lines: Vec<Vec<String>> = vec![titles];
    lines.extend(rows.iter().map(line));
    let mut widths = vec![0; columns.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            row.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// One line with the values, without a title.
pub(crate) fn row<T>(columns: &[&Column<T>], item: &T, raw: bool) -> String {
    let values = columns.iter().map(|column| (column.value)(item));
    let words = values.filter(|value| *value != Value::None);
    words
        .map(|value| value.shown(raw))
        .collect::<Vec<_>>()
        .join("  ")
}

/// One line a column, names aligned; what is not there is left out.
pub(crate) fn lines<T>(columns: &[&Column<T>], row: &T, raw: bool) -> String {
    let fields: Vec<(String, String)> = columns
        .iter()
        .map(|column| (column.name, (column.value)(row)))
        .filter(|(_, value)| *value != Value::None)
        .map(|(name, value)| (format!("{}:", name.replace('_', " ")), value.shown(raw)))
        .collect();
    let names = fields.iter().map(|(name, _)| name.chars().count());
    let width = names.max().unwrap_or(0);
    let line = |(name, value): &(String, String)| format!("{name:width$} {value}\n");
    fields.iter().map(line).collect()
}

/// RFC 4180, but lines end as they do here; the first line has the columns' names.
pub(crate) fn csv<T>(columns: &[&Column<T>], rows: &[T]) -> String {
    let mut text = columns
        .iter()
        .map(|column| column.name)
        .collect::<Vec<_>>()
        .join(",");
    text.push('\n');
    for row in rows {
        let cells = columns
            .iter()
            .map(|column| quoted((column.value)(row).plain()));
        text.push_str(&cells.collect::<Vec<_>>().join(","));
        text.push('\n');
    }
    text
}

fn quoted(cell: String) -> String {
    match cell.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    }
}

fn title(name: &str) -> String {
    name.replace('_', " ").to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    //! The layout, and which columns are taken.

    use super::{Column, Listed, Place, Value, choose, csv, lines, table};

    #[derive(Debug)]
    struct Thing(&'static str, u64, Option<&'static str>);

    impl Listed for Thing {
        const COLUMNS: &'static [Column<Thing>] = &[
            Column {
                name: "name",
                place: Place::List,
                value: |thing| thing.0.into(),
            },
            Column {
                name: "not_shipped",
                place: Place::Wide,
                value: |thing| Value::Bytes(thing.1),
            },
            Column {
                name: "error",
                place: Place::One,
                value: |thing| thing.2.into(),
            },
        ];

        fn name(&self) -> String {
            self.0.to_owned()
        }
    }

    const THINGS: [Thing; 2] = [Thing("größer", 1 << 20, None), Thing("a,\"b", 5, Some("x"))];

    #[test]
    fn tables_are_aligned() {
        let columns = choose::<Thing>(None, Place::Wide).expect("no names");
        let expect = "NAME    NOT SHIPPED\ngrößer  1M\na,\"b    5\n";
        assert_eq!(table(&columns, &THINGS, false), expect);
        let raw = table(&columns, &THINGS, true);
        assert!(raw.contains("1048576") && !raw.contains("1M"), "{raw}");
        let few = choose::<Thing>(None, Place::List).expect("no names");
        assert_eq!(table(&few, &THINGS[..1], false), "NAME\ngrößer\n");
    }

    #[test]
    fn lines_leave_out_what_is_not_there() {
        let columns = choose::<Thing>(None, Place::One).expect("no names");
        let expect = "name:        größer\nnot shipped: 1M\n";
        assert_eq!(lines(&columns, &THINGS[0], false), expect);
        assert!(lines(&columns, &THINGS[1], false).ends_with("error:       x\n"));
    }

    #[test]
    fn csv_is_quoted_where_it_must_be() {
        let columns = choose::<Thing>(None, Place::One).expect("no names");
        let expect = "name,not_shipped,error\ngrößer,1048576,\n\"a,\"\"b\",5,x\n";
        assert_eq!(csv(&columns, &THINGS), expect);
    }

    #[test]
    fn columns_are_chosen_by_name_and_in_order() {
        let names = ["error".to_owned(), " name".to_owned()];
        let columns = choose::<Thing>(Some(&names), Place::List).expect("both are known");
        assert_eq!(
            table(&columns, &THINGS[1..], false),
            "ERROR  NAME\nx      a,\"b\n"
        );
        let names = ["nmae".to_owned()];
        let refused = choose::<Thing>(Some(&names), Place::List).expect_err("misspelt");
        assert!(format!("{refused:?}").contains("name,not_shipped,error"));
    }
}
