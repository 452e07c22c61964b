//! `api.token`: what a request over TCP must bring.
//!
//! Owns: the file, made at the first start, and comparing. Does not own: who has to bring it
//! (`api/guard.rs`).
//!
//! One line of visible ASCII. Whoever replaces the file has a new token after the next start.

use std::fmt;
use std::fs;
use std::io::ErrorKind;

use anyhow::{Context, bail};
use vpool_host::Host;

use crate::data_dir::DataDir;

/// The file's name in the data directory.
const NAME: &str = "api.token";

/// Random bytes of a new token, written in hex.
const BYTES: usize = 32;

/// A shorter one might be guessed.
const CHARS_MIN: usize = 32;

/// A longer one is another file.
const CHARS_MAX: usize = 1024;

/// The token, as a hash: comparing takes the same time whatever was sent, and no copy of it is left
/// to be shown.
#[derive(Clone)]
pub(crate) struct Token(blake3::Hash);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// Reads it; makes it where there is none.
    pub(crate) fn read_or_create(dir: &DataDir, host: &Host) -> anyhow::Result<Token> {
        let path = dir.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let bytes: [u8; BYTES] = host.entropy.array();
                let mut text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                text.push('\n');
                dir.create_file(NAME, &text, host)
                    .with_context(|| format!("cannot make the token {}", path.display()))?;
                text
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        Token::parse(&text).with_context(|| {
            format!(
                "cannot use {}: remove it, then a new one is made",
                path.display()
            )
        })
    }

    /// Of the text of the file.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Token> {
        let token = text.trim_end();
        if !(CHARS_MIN..=CHARS_MAX).contains(&token.len()) {
            bail!("a token has {CHARS_MIN} to {CHARS_MAX} characters");
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            bail!("a token is one line of visible ASCII, without spaces");
        }
        Ok(Token(blake3::hash(token.as_bytes())))
    }

    /// Whether this is it. Hashes are compared in constant time.
    pub(crate) fn is(&self, sent: &str) -> bool {
        self.0 == blake3::hash(sent.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    //! Made once and private; what is no token is named.

    use super::{NAME, Token};
    use crate::data_dir::DataDir;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use vpool_host::Host;

    #[test]
    fn it_is_made_once_and_private() {
        let dir = tempfile::tempdir().expect("a directory");
        let host = Host::real();
        let data_dir = DataDir::open(dir.path(), &host).expect("a new directory");
        let token = Token::read_or_create(&data_dir, &host).expect("a new token");
        let path = data_dir.join(NAME);
        let mode = fs::metadata(&path).expect("it is there").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).expect("text");
        assert_eq!(text.len(), 65);
        let again = Token::read_or_create(&data_dir, &host).expect("the same");
        for token in [token, again] {
            assert!(token.is(text.trim()));
            assert!(!token.is(&text) && !token.is("") && !token.is(&text[1..64]));
            assert!(!format!("{token:?}").contains(&text[..8]));
        }
        for bad in [
            "",
            "short",
            &"x".repeat(2000),
            &format!("{} {}", "x".repeat(32), "y"),
        ] {
            fs::write(&path, bad).expect("it is writable");
            let error = Token::read_or_create(&data_dir, &host).expect_err(bad);
            assert!(format!("{error:#}").contains(NAME), "{error:#}");
        }
    }
}
