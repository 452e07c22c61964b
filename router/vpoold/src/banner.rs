//! The greeting: where everything is, and what to type next.
//!
//! Owns: the text. Does not own: when it is printed.

use std::io::Write;

use vpool_api::attach;

use crate::daemon::Doors;
use crate::first_start::{DISK, POOL};

/// The greeting of a daemon that serves now.
pub(crate) fn text(doors: &Doors, demo: bool) -> String {
    let Doors {
        data_dir,
        nbd_socket,
        nbd_tcp,
        nbd_tls,
        api_socket,
        api_tcp,
        api_tls,
    } = doors;
    let and = |address: &Option<String>, how| {
        let address = address.as_ref();
        address.map_or(String::new(), |address| format!(" and {address}{how}"))
    };
    let tls = |has: bool| if has { " (TLS)" } else { "" };
    format!(
        "vPool {version} serves {data_dir} (pid {pid})\n\
         \n\
         \x20 NBD  {nbd_socket}{nbd_tcp}\n\
         \x20 API  {api_socket}{api_tcp}\n\
         {demo}\
         \n\
         Make disks and pools:\n\
         \x20 export VPOOL_API={api}\n\
         \x20 vpool disk create vm1 --size 40G\n\
         \x20 vpool disk attach vm1\n\
         \x20 vpool pool create cloud --s3 http://HOST:PORT/BUCKET/PREFIX --credentials-file FILE\n\
         \n\
         Control-C stops it; what was written stays. {data_dir}/grid.key is the key to it:\n\
         keep a copy of that file elsewhere.\n",
        nbd_tcp = and(nbd_tcp, tls(*nbd_tls)),
        api_tcp = and(api_tcp, tls(*api_tls)),
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        demo = if demo {
            demo_text(doors)
        } else {
            String::new()
        },
        api = attach::shell_word(&format!("unix:{api_socket}")),
    )
}

fn demo_text(doors: &Doors) -> String {
    let demo = doors.connection(POOL, DISK);
    format!(
        "\n\
         Look at the demo disk:\n\
         \x20 qemu-img info {uri}\n\
         Give it to a virtual machine (`vpool disk attach {DISK}` has libvirt's form too):\n\
         \x20 qemu-system-x86_64 -m 1G \\\n\
         \x20   {qemu}\n",
        uri = attach::uri(&demo),
        qemu = attach::qemu(&demo).replace('\n', "\n    "),
    )
}

/// Prints it; a standard output that nobody reads is no reason not to serve.
pub(crate) fn print(doors: &Doors, demo: bool) {
    let mut stdout = std::io::stdout();
    let text = text(doors, demo);
    if let Err(error) = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        tracing::debug!(%error, "the greeting was not printed");
    }
}
