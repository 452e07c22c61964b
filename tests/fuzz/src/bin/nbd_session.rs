//! NBD: a whole connection to the server, from the client's flags to its last request.
//!
//! The server must neither panic nor hang, whatever comes, and hold nothing of a client that has
//! gone.
#![no_main]

use std::cell::OnceCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use vpool_block::{Attached, BlockError, ExportName, Exports, MemoryDisk};
use vpool_nbd::{Limits, Server};
use vpool_nbd_wire::{BASE_ALLOCATION, ClientFlags, ClientOption, InfoQuery, MetaQuery, greeting};

/// A client that has sent all it has is served within this time.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct OneDisk;

#[async_trait]
impl Exports for OneDisk {
    async fn list(&self) -> Vec<ExportName> {
        vec![ExportName {
            name: "disk".into(),
            description: String::new(),
        }]
    }

    async fn attach(&self, _name: &str, _remote: Option<&str>) -> Result<Attached, BlockError> {
        Ok(Arc::new(MemoryDisk::new(64 << 10)))
    }
}

/// The server, on the fuzzer's own thread: it runs while its client waits.
struct Bench {
    runtime: Runtime,
    server: Server,
    socket: PathBuf,
}

impl Bench {
    fn new() -> io::Result<Bench> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let name = format!("vpool-fuzz-{}.sock", std::process::id());
        let socket = std::env::temp_dir().join(name);
        let server = Server::new(Arc::new(OneDisk), Limits::default());
        let listening = runtime.block_on(async { server.listen_unix(&socket) });
        listening.map_err(io::Error::other)?;
        Ok(Bench {
            runtime,
            server,
            socket,
        })
    }
}

thread_local! {
    static BENCH: OnceCell<Bench> = const { OnceCell::new() };
}

/// What a client sends before the fuzzer's bytes: nothing, its flags, or a whole negotiation in
/// one of the three modes, so that the bytes are requests.
fn opening(choice: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut options = Vec::new();
    match choice % 5 {
        0 => return bytes,
        1 => {}
        2 => options.push(go()),
        3 => options.extend([ClientOption::StructuredReply, allocation(), go()]),
        _ => options.extend([
            ClientOption::StructuredReply,
            ClientOption::ExtendedHeaders,
            allocation(),
            go(),
        ]),
    }
    let flags = ClientFlags {
        fixed_newstyle: true,
        no_zeroes: true,
    };
    bytes.extend_from_slice(&flags.encode());
    for option in options {
        option.encode(&mut bytes);
    }
    bytes
}

fn go() -> ClientOption<'static> {
    ClientOption::Go(InfoQuery {
        name: "disk",
        requests: Vec::new(),
    })
}

fn allocation() -> ClientOption<'static> {
    ClientOption::SetMetaContext(MetaQuery {
        name: "disk",
        queries: vec![BASE_ALLOCATION],
    })
}

/// Sends all of `bytes` and takes what comes, until the server closes.
async fn talk(socket: &Path, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let (mut reader, mut writer) = UnixStream::connect(socket).await?.into_split();
    let send = async {
        // The server may have heard enough before the end.
        if writer.write_all(bytes).await.is_ok() {
            drop(writer.shutdown().await);
        }
        drop(writer);
    };
    let mut answers = Vec::new();
    let ((), read) = tokio::join!(send, reader.read_to_end(&mut answers));
    // What was not read of a client that is cut off resets its connection.
    match read {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
        _ => Ok(answers),
    }
}

async fn all_gone(server: &Server) {
    while server.connections() > 0 || server.in_flight_bytes() > 0 {
        tokio::task::yield_now().await;
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    BENCH.with(|bench| {
        let bench = bench.get_or_init(|| Bench::new().expect("a server in a temporary directory"));
        let sent = [opening(*choice), bytes.to_vec()].concat();
        bench.runtime.block_on(async {
            let answers = timeout(PATIENCE, talk(&bench.socket, &sent))
                .await
                .expect("the server closes behind the last request")
                .expect("a socket that works");
            assert!(answers.starts_with(&greeting()), "the server speaks first");
            timeout(PATIENCE, all_gone(&bench.server))
                .await
                .expect("nothing is kept of a client that has gone");
        });
    });
});
