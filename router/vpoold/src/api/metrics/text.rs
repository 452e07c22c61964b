//! The text format of Prometheus, version 0.0.4.
//!
//! Owns: its lines, and escaping. Does not own: what is in it.

use std::fmt::{Display, Write};

/// What all names begin with.
const PREFIX: &str = "vpool_";

/// What a family of samples is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The text so far.
#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
    family: String,
}

impl Text {
    /// Begins the samples of one name.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind_name = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        debug_assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
        self.family = format!("{PREFIX}{name}");
        let family = &self.family;
        self.text.push_str(&format!(
            "# HELP {family} {help}.\n# TYPE {family} {kind_name}\n"
        ));
    }

    /// One value of the family.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.line("", labels, None, value);
    }

    /// A histogram of the family: counts of buckets with their upper bounds, the last without one.
    pub(super) fn histogram(
        &mut self,
        labels: &[(&str, &str)],
        buckets: impl Iterator<Item = (Option<f64>, u64)>,
        sum: f64,
    ) {
        let mut count = 0;
        let mut has_last = false;
        for (bound, more) in buckets {
            count += more;
            has_last |= bound.is_none();
            let bound = bound.map_or("+Inf".to_owned(), |bound| bound.to_string());
            self.line("_bucket", labels, Some(&bound), count);
        }
        if !has_last {
            self.line("_bucket", labels, Some("+Inf"), count);
        }
        self.line("_sum", labels, None, sum);
        self.line("_count", labels, None, count);
    }

    fn line(
        &mut self,
        suffix: &str,
        labels: &[(&str, &str)],
        bound: Option<&str>,
        value: impl Display,
    ) {
        let bound = bound.map(|bound| ("le", bound));
        let mut pairs = labels.iter().copied().chain(bound).peekable();
        self.text.push_str(&self.family);
        self.text.push_str(suffix);
        if pairs.peek().is_some() {
            let written: Vec<String> = pairs
                .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
                .collect();
            self.text.push_str(&format!("{{{}}}", written.join(",")));
        }
        writeln!(self.text, " {value}").expect("a text takes everything");
    }

    /// The whole text.
    pub(super) fn end(self) -> String {
        self.text
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    //! The text, letter by letter.

    use super::{Kind, Text};

    #[test]
    fn families_samples_and_histograms() {
        let mut text = Text::default();
        text.family("disks", Kind::Gauge, "Disks");
        text.sample(&[], 3);
        text.family("reads_total", Kind::Counter, "Reads");
        text.sample(&[("disk", "a\"b\\c\nd"), ("pool", "p")], 7_u64);
        text.family("time_seconds", Kind::Histogram, "Times");
        let buckets = [(Some(0.5), 2), (Some(1.0), 1), (None, 4)];
        text.histogram(&[("pool", "p")], buckets.into_iter(), 12.5);
        text.histogram(&[], std::iter::empty(), 0.0);
        let expected = r#"# HELP vpool_disks Disks.
# TYPE vpool_disks gauge
vpool_disks 3
# HELP vpool_reads_total Reads.
# TYPE vpool_reads_total counter
vpool_reads_total{disk="a\"b\\c\nd",pool="p"} 7
# HELP vpool_time_seconds Times.
# TYPE vpool_time_seconds histogram
vpool_time_seconds_bucket{pool="p",le="0.5"} 2
vpool_time_seconds_bucket{pool="p",le="1"} 3
vpool_time_seconds_bucket{pool="p",le="+Inf"} 7
vpool_time_seconds_sum{pool="p"} 12.5
vpool_time_seconds_count{pool="p"} 7
vpool_time_seconds_bucket{le="+Inf"} 0
vpool_time_seconds_sum 0
vpool_time_seconds_count 0
"#;
        assert_eq!(text.end(), expected);
    }
}
