//! Reading a credentials file.
//!
//! Owns: mode, size and format of the file. No error of it shows any of its text, since a
//! line that makes no sense may be the secret itself.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use vpool_object::{Error, ErrorKind, Result};
use zeroize::Zeroizing;

use super::Credentials;
use crate::limits::CREDENTIALS_BYTES_MAX;

/// Rights of group and others.
const FOREIGN_RIGHTS: u32 = 0o077;

pub(super) fn read(path: &Path) -> Result<Credentials> {
    let refuse = |why: &str| {
        Error::new(
            ErrorKind::Invalid,
            format!("credentials file {}: {why}", path.display()),
        )
    };
    let failed = |error: std::io::Error| refuse(&error.to_string()).with_source(error);

    let file = File::open(path).map_err(failed)?;
    // Of the open file, so that it cannot be exchanged between the check and the reading.
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(refuse("it is no regular file"));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & FOREIGN_RIGHTS != 0 {
        return Err(refuse(&format!(
            "its mode {mode:04o} lets others than its owner at the secret; chmod 600 it"
        )));
    }
    if metadata.len() > CREDENTIALS_BYTES_MAX {
        return Err(refuse("it is too long for what it should hold"));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(CREDENTIALS_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(failed)?;
    parse(&text).map_err(|why| refuse(&why))
}

/// Parses either format. The error does not quote the text.
pub(super) fn parse(text: &str) -> std::result::Result<Credentials, String> {
    let lines = || {
        text.lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', ';']))
    };
    let with_sections = lines().any(|(_, line)| is_section(line));
    let mut found = Found::default();
    // Before the first section of an ini file nothing counts.
    let mut counts = !with_sections;
    for (number, line) in lines() {
        if is_section(line) {
            counts = line[1..line.len() - 1].trim() == "default";
        } else if counts {
            let known = found.take(number, line)?;
            if !known && !with_sections {
                return Err(format!(
                    "line {number} is none of access_key=..., secret_key=..., session_token=..."
                ));
            }
        }
    }
    found.finish(with_sections)
}

fn is_section(line: &str) -> bool {
    line.len() >= 2 && line.starts_with('[') && line.ends_with(']')
}

#[derive(Default)]
struct Found<'a> {
    access_key: Option<&'a str>,
    secret_key: Option<&'a str>,
    session_token: Option<&'a str>,
}

impl<'a> Found<'a> {
    /// Takes a line's value where its name is known.
    fn take(&mut self, number: usize, line: &'a str) -> std::result::Result<bool, String> {
        let Some((name, value)) = line.split_once('=') else {
            return Ok(false);
        };
        let place = match name.trim() {
            "access_key" | "aws_access_key_id" => &mut self.access_key,
            "secret_key" | "aws_secret_access_key" => &mut self.secret_key,
            "session_token" | "aws_session_token" => &mut self.session_token,
            _ => return Ok(false),
        };
        let value = value.trim();
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!(
                "line {number} has no value, or one with blanks in it"
            ));
        }
        if place.replace(value).is_some() {
            return Err(format!("line {number} gives a second value"));
        }
        Ok(true)
    }

    fn finish(self, with_sections: bool) -> std::result::Result<Credentials, String> {
        let missing = |name: &str, ini_name: &str| match with_sections {
            true => format!("{ini_name} is missing in [default]"),
            false => format!("{name} is missing"),
        };
        let access_key = self
            .access_key
            .ok_or_else(|| missing("access_key", "aws_access_key_id"))?;
        let secret_key = self
            .secret_key
            .ok_or_else(|| missing("secret_key", "aws_secret_access_key"))?;
        let credentials = Credentials::new(access_key, secret_key);
        Ok(match self.session_token {
            Some(token) => credentials.with_session_token(token),
            None => credentials,
        })
    }
}
