//! Serves one disk in memory, for measurements: `memory SOCKET MEBIBYTES [THREADS]`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use vpool_block::{Attached, BlockError, ExportName, Exports, MemoryDisk};
use vpool_nbd::{Limits, Server};

#[derive(Debug)]
struct OneDisk(Attached);

#[async_trait]
impl Exports for OneDisk {
    async fn list(&self) -> Vec<ExportName> {
        vec![ExportName {
            name: String::new(),
            description: "a disk in memory".into(),
        }]
    }

    async fn attach(&self, _name: &str, _remote: Option<&str>) -> Result<Attached, BlockError> {
        Ok(self.0.clone())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let usage = "usage: memory SOCKET MEBIBYTES [THREADS, 0: all on one]";
    let socket = arguments.get(1).ok_or(usage)?;
    let bytes = arguments.get(2).ok_or(usage)?.parse::<usize>()? << 20;
    let threads = arguments.get(3).map_or(Ok(0), |threads| threads.parse())?;
    let mut runtime = match threads {
        0 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            runtime.worker_threads(threads);
            runtime
        }
    };
    runtime.enable_all().build()?.block_on(async {
        let disk = OneDisk(Arc::new(MemoryDisk::new(bytes)));
        let server = Server::new(Arc::new(disk), Limits::default());
        server.listen_unix(Path::new(socket))?;
        tokio::signal::ctrl_c().await?;
        server.shutdown(Duration::from_secs(5)).await;
        Ok(())
    })
}
