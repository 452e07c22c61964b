//! Bars that show how far something is.
//!
//! Owns: their look; they are on the standard error, and only where that is a terminal. Does not
//! own: how far what is.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use vpool_api::Task;

/// How often a bar without an end moves.
const TICK: Duration = Duration::from_millis(200);

/// A bar; it goes away with this value.
#[derive(Debug)]
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// Of an amount of bytes.
    pub(crate) fn bytes(what: &str, total: u64) -> Bar {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        bar.set_style(style(
            "{msg} [{bar:30}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left",
        ));
        bar.set_message(what.to_owned());
        Bar(bar)
    }

    /// Of something whose end is not known.
    pub(crate) fn waiting(what: &str) -> Bar {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(style("{msg} {spinner} {elapsed}"));
        bar.set_message(what.to_owned());
        if !bar.is_hidden() {
            bar.enable_steady_tick(TICK);
        }
        Bar(bar)
    }

    /// It is so far.
    pub(crate) fn set(&self, position: u64) {
        self.0.set_position(position);
    }

    /// So much more is done.
    pub(crate) fn add(&self, more: u64) {
        self.0.inc(more);
    }

    /// How a task stands; its own rate and time left are what the daemon says.
    pub(crate) fn task(&self, task: &Task) {
        let mut words = format!("{} {}", task.kind.name(), task.object);
        if let Some(percent) = task.percent {
            words.push_str(&format!(", {percent:.0} %"));
        }
        if let Some(rate) = task.bytes_per_second {
            words.push_str(&format!(", {}/s", vpool_api::size::format(rate)));
        }
        if let Some(seconds) = task.eta_seconds {
            words.push_str(&format!(", {seconds} s left"));
        }
        self.0.set_message(words);
        self.0.tick();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates are constants, and are drawn by a test")
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    //! The templates are sound.

    use super::Bar;

    #[test]
    fn bars_can_be_drawn() {
        let bar = Bar::bytes("import", 100);
        bar.set(50);
        bar.add(5);
        drop(bar);
        drop(Bar::waiting("sync"));
    }
}
