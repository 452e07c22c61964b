//! A server for tests that answers what it is told to, and remembers what it was asked.
//!
//! Owns: one request after the other on each connection. Does not own: any protocol above.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is answered to a request: its line and header, in lower case.
type Answers = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// A running server, ended when this is dropped.
pub(crate) struct Stub {
    /// `http://127.0.0.1:PORT`
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Stub {
    pub(crate) async fn start(answers: impl Fn(&str) -> String + Send + Sync + 'static) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answers, log): (Answers, _) = (Arc::new(answers), asked.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, answers.clone(), log.clone()));
            }
        });
        Stub { url, asked, task }
    }

    /// How many requests began so.
    pub(crate) fn count(&self, begin: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|one| one.starts_with(begin)).count()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer with header lines (each ending in CR LF) and a body.
pub(crate) fn answer(status: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{fields}\r\n{body}")
}

async fn serve(mut stream: TcpStream, answers: Answers, log: Arc<Mutex<Vec<String>>>) {
    let mut seen = Vec::new();
    loop {
        let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") else {
            match stream.read_buf(&mut seen).await {
                Ok(0) | Err(_) => return,
                Ok(_) => continue,
            }
        };
        let header = String::from_utf8_lossy(&seen[..end]).to_lowercase();
        let length = header
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
            .unwrap_or(0);
        while seen.len() < end + 4 + length {
            if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
                return;
            }
        }
        seen.drain(..end + 4 + length);
        log.lock().unwrap().push(header.clone());
        // Late enough for others to come meanwhile.
        tokio::task::yield_now().await;
        let answer = answers(&header);
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
