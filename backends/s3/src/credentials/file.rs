//! The text of a credentials file.
//!
//! Owns: its two formats. No error of it shows any of the text, since a line that makes no
//! sense may be the secret itself. Does not own: reading the file (`vpool-http`).

use super::Credentials;

/// Parses either format. The error does not quote the text.
pub(super) fn parse(text: &str) -> Result<Credentials, String> {
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
    fn take(&mut self, number: usize, line: &'a str) -> Result<bool, String> {
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

    fn finish(self, with_sections: bool) -> Result<Credentials, String> {
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
