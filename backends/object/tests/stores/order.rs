//! The order of system calls that makes a put crash-safe, as the kernel saw it (strace).
//!
//! A killed process loses nothing that it wrote, so killing cannot show a missing sync;
//! the order of calls can.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use vpool_object::fs::{DirectoryOptions, DirectoryStore};
use vpool_object::{Key, ObjectStore};

/// Tells this test binary to be the process that is watched: where to put.
const WATCHED: &str = "VPOOL_TEST_WATCHED";
const CALLS: &str = "trace=openat,mkdirat,write,fdatasync,fsync,renameat2,linkat,unlinkat";

/// Not a test of its own: the child process of the one below.
#[test]
fn watched() {
    let Some(root) = std::env::var_os(WATCHED) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let options = DirectoryOptions::new("watched");
        let store = DirectoryStore::open(Path::new(&root), options)
            .await
            .unwrap();
        let body = Bytes::from_static(b"the body");
        store
            .put(&Key::new("dir-x/dir-y/object").unwrap(), body.clone())
            .await
            .unwrap();
        store
            .put(&Key::new("dir-x/dir-y/object").unwrap(), body)
            .await
            .unwrap();
        store
            .delete(&Key::new("dir-x/dir-y/object").unwrap())
            .await
            .unwrap();
    });
}

/// One traced call: its text, and the number that it returned.
struct Line {
    text: String,
    result: i64,
}

impl Line {
    /// `1234 openat(3, "x", O_RDONLY) = 7`, with blanks before the equals sign.
    fn parse(line: &str) -> Option<Line> {
        let (_, call) = line.split_once(' ')?;
        let (text, result) = call.rsplit_once(" = ")?;
        let result = result.split(' ').next()?.parse().ok()?;
        Some(Line {
            text: text.trim().to_owned(),
            result,
        })
    }
}

struct Trace {
    lines: Vec<Line>,
    at: usize,
}

impl Trace {
    /// Goes on to the next successful call that begins with and contains these.
    fn next(&mut self, begins: &str, contains: &str) -> i64 {
        for (i, line) in self.lines.iter().enumerate().skip(self.at) {
            if line.result >= 0 && line.text.starts_with(begins) && line.text.contains(contains) {
                self.at = i + 1;
                return line.result;
            }
        }
        let rest: Vec<&str> = self.lines[self.at..]
            .iter()
            .map(|line| &*line.text)
            .collect();
        panic!(
            "no {begins} ... {contains} after call {}: {rest:#?}",
            self.at
        );
    }
}

#[test]
fn a_put_syncs_everything_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("the-root");
    std::fs::create_dir(&root).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let options = DirectoryOptions::new("tests");
    runtime
        .block_on(DirectoryStore::create(&root, options))
        .unwrap();
    let log = directory.path().join("trace");
    let run = Command::new("strace")
        .args(["-f", "-qq", "-e", CALLS, "-e", "signal=none", "-o"])
        .arg(&log)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "order::watched"])
        .env(WATCHED, &root)
        .output();
    match run {
        Ok(output) if output.status.success() => {}
        other => {
            println!("skipped: strace does not run here: {other:?}");
            return;
        }
    }
    let text = std::fs::read_to_string(log).unwrap();
    let lines = text.lines().filter_map(Line::parse).collect();
    let mut trace = Trace { lines, at: 0 };

    // The directories, each durable in its parent before anything is put into it.
    let root = trace.next("openat(", "/the-root\"");
    trace.next(&format!("mkdirat({root}, "), "\"dir-x\"");
    let x = trace.next(&format!("openat({root}, "), "\"dir-x\"");
    trace.next(&format!("fsync({root})"), "");
    trace.next(&format!("mkdirat({x}, "), "\"dir-y\"");
    let y = trace.next(&format!("openat({x}, "), "\"dir-y\"");
    trace.next(&format!("fsync({x})"), "");
    // The body, durable before it has a name; then the name.
    let file = trace.next("openat(", "\"watched.");
    trace.next(&format!("write({file}, "), "the body");
    trace.next(&format!("fdatasync({file})"), "");
    trace.next("renameat2(", &format!("{y}, \"object+\", RENAME_NOREPLACE"));
    trace.next(&format!("fsync({y})"), "");
    // The repeat finds it, and is answered only when what it found is durable too.
    let found = trace.next(&format!("openat({y}, "), "\"object+\"");
    trace.next(&format!("fdatasync({found})"), "");
    trace.next(&format!("fsync({y})"), "");
    // The deletion.
    let y = trace.next(&format!("openat({root}, "), "\"dir-x/dir-y\"");
    trace.next(&format!("unlinkat({y}, "), "\"object+\"");
    trace.next(&format!("fsync({y})"), "");
}
