//! A terminal that is drawn anew again and again.
//!
//! Owns: the terminal's modes while it is used, and giving it back as it was. Does not own: what
//! is drawn.

use std::io::{IsTerminal, Read};
use std::time::Duration;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc::{Receiver, channel};

use crate::failure::Failure;
use crate::output::print;

/// The other screen, without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";

/// Back to the one with the shell.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// To the first place, and to the end of what was there.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_REST: &str = "\x1b[J";

/// Rows of a terminal that does not say how many it has.
const ROWS: usize = 24;

/// The terminal.
#[derive(Debug)]
pub(super) struct Screen {
    before: Termios,
    keys: Receiver<u8>,
}

impl Screen {
    /// Takes the terminal; its old state comes back when this is dropped.
    pub(super) fn open() -> Result<Screen, Failure> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() || !std::io::stdout().is_terminal() {
            return Err(Failure::usage("this is no terminal")
                .with_hint("vpool top --once prints one sample"));
        }
        let failed = |error| Failure::failed(format!("cannot set the terminal up: {error}"));
        let before = tcgetattr(&stdin).map_err(failed)?;
        let mut modes = before.clone();
        // Keys come one by one and are not shown; Control-C stays a signal.
        modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
        tcsetattr(&stdin, OptionalActions::Now, &modes).map_err(failed)?;
        let (sender, keys) = channel(16);
        std::thread::spawn(move || {
            for key in std::io::stdin().lock().bytes().map_while(Result::ok) {
                if sender.blocking_send(key).is_err() {
                    return;
                }
            }
        });
        let screen = Screen { before, keys };
        print(ENTER)?;
        Ok(screen)
    }

    /// Shows a line and as much of a table as there is room for.
    pub(super) fn draw(&self, head: &str, table: &str) -> Result<(), Failure> {
        let size = tcgetwinsize(std::io::stdout()).ok();
        let size = size.filter(|size| size.ws_row > 0 && size.ws_col > 0);
        let rows = size.map_or(ROWS, |size| usize::from(size.ws_row));
        let columns = size.map_or(usize::MAX, |size| usize::from(size.ws_col));
        let mut text = HOME.to_owned();
        let lines = [head, ""].into_iter().chain(table.lines());
        for (number, line) in lines.take(rows).enumerate() {
            if number > 0 {
                text.push_str("\r\n");
            }
            text.extend(line.chars().take(columns));
            text.push_str(CLEAR_LINE);
        }
        text.push_str(CLEAR_REST);
        print(&text)
    }

    /// Whether `q` is pressed, or the input ends, within this time.
    pub(super) async fn quits_within(&mut self, time: Duration) -> bool {
        let pressed = async {
            loop {
                match self.keys.recv().await {
                    Some(b'q' | b'Q') | None => return,
                    Some(_) => {}
                }
            }
        };
        tokio::time::timeout(time, pressed).await.is_ok()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _gone = print(LEAVE);
        let _gone = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}
