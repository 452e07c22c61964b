//! The text of a credentials file.
//!
//! Owns: its format. No error of it shows any of the text, since a line that makes no sense
//! may be the secret itself. Does not own: reading the file (`vpool-http`).

use zeroize::Zeroizing;

use super::{Credentials, DOMAIN};
use crate::location::AuthVersion;

/// Every name that a line may have, and of which auth.
const V1_NAMES: [&str; 2] = ["user", "key"];
const V3_NAMES: [&str; 5] = [
    "user",
    "password",
    "user_domain",
    "project",
    "project_domain",
];

pub(super) fn parse(text: &str, auth: AuthVersion) -> Result<Credentials, String> {
    let names: &[&str] = match auth {
        AuthVersion::V1 => &V1_NAMES,
        AuthVersion::V3 => &V3_NAMES,
    };
    let mut values: Vec<Option<&str>> = vec![None; names.len()];
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let (name, value) = line.split_once('=').unwrap_or_default();
        let at = names.iter().position(|known| *known == name.trim());
        let Some(at) = at else {
            let forms: Vec<String> = names.iter().map(|name| format!("{name}=...")).collect();
            let forms = forms.join(", ");
            return Err(format!("line {number} is none of {forms} (auth {auth})"));
        };
        let value = value.trim();
        if value.is_empty() || value.chars().any(char::is_control) {
            return Err(format!("line {number} has no value, or an odd one"));
        }
        // Header fields carry nothing else.
        if auth == AuthVersion::V1 && !value.is_ascii() {
            return Err(format!("line {number} holds other than ASCII"));
        }
        if values[at].replace(value).is_some() {
            return Err(format!("line {number} gives a second value"));
        }
    }
    let value = |name: &str| {
        let at = names.iter().position(|known| *known == name);
        at.and_then(|at| values[at])
            .ok_or_else(|| format!("{name} is missing (auth {auth})"))
    };
    Ok(match auth {
        AuthVersion::V1 => Credentials::V1 {
            user: value("user")?.to_owned(),
            key: Zeroizing::new(value("key")?.to_owned()),
        },
        AuthVersion::V3 => Credentials::V3 {
            user: value("user")?.to_owned(),
            user_domain: value("user_domain").unwrap_or(DOMAIN).to_owned(),
            password: Zeroizing::new(value("password")?.to_owned()),
            project: value("project")?.to_owned(),
            project_domain: value("project_domain").unwrap_or(DOMAIN).to_owned(),
        },
    })
}
