//! `vpool disk import` and `vpool disk export`.
//!
//! ```text
//! import   file, stdin, NBD ─ header ─▶ qemu-img ─ NBD ─▶ draft disk ─▶ compare, checksum, sync ─▶ rename
//! export   disk ─ NBD ─▶ qemu-img ─▶ draft file ─▶ compare, checksum ─▶ rename
//! ```
//!
//! Owns: the order of it, and that nothing half-done ever has the name that was asked for. Does
//! not own: formats (`qemu-img`, run by `qemu.rs`), the disk's data (NBD, `nbd.rs`).
//!
//! Images come from strangers: a header may name any file of this host as a part of the image.
//! `header.rs` looks at it before QEMU does, and QEMU is told the format, never asked for it.

mod checksum;
mod draft;
mod export;
mod header;
mod import;
pub(crate) mod nbd;
mod place;
mod qemu;
mod stream;

use crate::failure::{Failure, say};

pub(crate) use draft::is_draft;
pub(crate) use export::export;
pub(crate) use import::import;

/// What was taken in or given out.
#[derive(Debug, serde::Serialize)]
struct Image {
    /// The disk, `POOL:NAME`.
    disk: String,
    /// Its size in bytes.
    size_bytes: u64,
    /// The image's format.
    format: &'static str,
    /// BLAKE3 of the disk's content, read over NBD; the same for the same content in any format.
    #[serde(skip_serializing_if = "Option::is_none")]
    blake3: Option<String>,
    /// Whether the image was compared with the disk, and is equal.
    compared: bool,
}

impl Image {
    fn text(&self, what: &str) -> String {
        let size = vpool_api::size::format(self.size_bytes);
        let mut text = format!("disk {} {what} ({}, {size})\n", self.disk, self.format);
        if self.compared {
            text.push_str("compared: equal\n");
        }
        if let Some(blake3) = &self.blake3 {
            text.push_str(&format!("blake3:   {blake3}\n"));
        }
        text
    }
}

fn note(text: &str) {
    say(&format!("note: {text}"));
}

fn io(what: &str, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind;
    let exit = match error.kind() {
        ErrorKind::NotFound => crate::failure::Exit::NotFound,
        ErrorKind::PermissionDenied => crate::failure::Exit::Permission,
        _ => crate::failure::Exit::Failed,
    };
    Failure::new(exit, format!("{what}: {error}"))
}
