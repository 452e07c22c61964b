//! A TCP proxy on loopback that breaks, in a chosen way, what passes through it.
//!
//! Owns: the listener, the way in force, its exchange at run time.
//! Does not own: what is done to one connection (`connection`), the store behind it.

mod connection;
mod exchange;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

/// What the proxy does with connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Passes everything.
    Pass,
    /// Does not listen: connections are refused.
    Refuse,
    /// Takes requests, forwards and answers nothing.
    Hang,
    /// Passes the answer's header and so many bytes of its body, then resets.
    ResetAnswer {
        /// Bytes of the body that pass.
        after_bytes: usize,
    },
    /// Passes the answer's header and so many bytes of its body, then ends in good order.
    ShortAnswer {
        /// Bytes of the body that pass.
        after_bytes: usize,
    },
    /// Passes the request's header and so many bytes of its body, then resets both sides.
    ResetRequest {
        /// Bytes of the body that pass.
        after_bytes: usize,
    },
    /// Passes the request, and resets in place of the answer: it is done, nobody knows.
    LoseAnswer,
    /// Passes everything, each connection after this time.
    Delay(Duration),
    /// Passes everything, at this rate in each direction of each connection.
    Rate {
        /// Bytes per second.
        bytes_per_second: u32,
    },
    /// Reads each request whole and answers these bytes; the store hears nothing of it.
    Answer(Vec<u8>),
    /// Answers these bytes to some requests, of which the store hears nothing; passes the
    /// others. Each request has a connection of its own.
    Sometimes {
        /// How many of a hundred are answered so.
        percent: u8,
        /// What they are answered.
        answer: Vec<u8>,
    },
    /// Passes each request, and answers these bytes in place of the store: it is done, and
    /// told otherwise.
    DoneButAnswer(Vec<u8>),
    /// Passes each request twice, one after the other; the second answer passes.
    Twice,
    /// Passes everything, but for another ETag in each answer that has one.
    OtherEtag,
    /// Passes everything, but answers 404 to who asks for an object that was put less than so long
    /// ago.
    NotYet(Duration),
}

/// When each object was put, by path, since the mode that asks for it began.
type Puts = Arc<Mutex<HashMap<String, Instant>>>;

impl Mode {
    /// A 5xx answer of S3 to so many of a hundred requests.
    pub fn failing(percent: u8) -> Mode {
        let code = "InternalError";
        match Mode::s3_error("500 Internal Server Error", code) {
            Mode::Answer(answer) => Mode::Sometimes { percent, answer },
            other => other,
        }
    }

    /// A 5xx answer of S3 to requests that are done all the same.
    pub fn done_but_failing() -> Mode {
        match Mode::s3_error("500 Internal Server Error", "InternalError") {
            Mode::Answer(answer) => Mode::DoneButAnswer(answer),
            other => other,
        }
    }

    /// An HTTP answer with the given extra header lines (each ending in CR LF) and body.
    pub fn answer(status: &str, fields: &str, body: &[u8]) -> Mode {
        let length = body.len();
        let header = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{fields}\r\n");
        Mode::Answer([header.as_bytes(), body].concat())
    }

    /// An S3 error document under any status, also under 200.
    pub fn s3_error(status: &str, code: &str) -> Mode {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <Error><Code>{code}</Code><Message>made up by a test</Message></Error>"
        );
        Mode::answer(status, "Content-Type: application/xml\r\n", body.as_bytes())
    }

    /// Bytes that are no HTTP.
    pub fn garbage() -> Mode {
        Mode::Answer(b"\x16\x03\x01\x02\0 this is no web server \0\r\n\r\n".to_vec())
    }
}

/// A running proxy. It ends, and all its connections with it, when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    accepted: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Order {
    mode: Mode,
    done: oneshot::Sender<std::io::Result<()>>,
}

impl Proxy {
    /// Starts a proxy before `127.0.0.1:upstream_port`, on a free port, passing everything.
    /// It runs on the current runtime.
    pub async fn start(upstream_port: u16) -> anyhow::Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let accepted = Arc::new(AtomicU64::new(0));
        let answered = Arc::new(AtomicU64::new(0));
        let (orders, inbox) = mpsc::channel(1);
        let worker = Worker {
            address,
            upstream: (Ipv4Addr::LOCALHOST, upstream_port).into(),
            mode: Mode::Pass,
            listener: Some(listener),
            connections: JoinSet::new(),
            accepted: accepted.clone(),
            answered: answered.clone(),
            puts: Puts::default(),
        };
        let task = tokio::spawn(worker.run(inbox));
        Ok(Proxy {
            address,
            accepted,
            answered,
            orders,
            task,
        })
    }

    /// `http://127.0.0.1:PORT` of the proxy.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections were accepted so far.
    pub fn connections_accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// How many requests [`Mode::Sometimes`] has answered in place of the store.
    pub fn requests_answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Cuts all connections; when it returns, new ones are treated by `mode`.
    pub async fn set_mode(&self, mode: Mode) -> anyhow::Result<()> {
        let (done, applied) = oneshot::channel();
        let order = Order { mode, done };
        self.orders
            .send(order)
            .await
            .context("the proxy has ended")?;
        applied
            .await
            .context("the proxy has ended")?
            .context("listening again")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task that owns the listener; it handles one event at a time.
struct Worker {
    address: SocketAddr,
    upstream: SocketAddr,
    mode: Mode,
    listener: Option<TcpListener>,
    connections: JoinSet<()>,
    accepted: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
    puts: Puts,
}

impl Worker {
    async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        loop {
            tokio::select! {
                biased;
                order = inbox.recv() => match order {
                    Some(order) => self.obey(order).await,
                    None => return,
                },
                Some(_ended) = self.connections.join_next() => {}
                stream = accept(self.listener.as_ref()) => self.serve(stream),
            }
        }
    }

    async fn obey(&mut self, order: Order) {
        self.connections.shutdown().await;
        self.mode = order.mode;
        self.puts.lock().expect("nobody panics with it").clear();
        let result = self.listen().await;
        // Nobody waits for it any more: the test has ended.
        let _ = order.done.send(result);
    }

    async fn listen(&mut self) -> std::io::Result<()> {
        if self.mode == Mode::Refuse {
            self.listener = None;
        } else if self.listener.is_none() {
            self.listener = Some(TcpListener::bind(self.address).await?);
        }
        Ok(())
    }

    fn serve(&mut self, stream: TcpStream) {
        let number = self.accepted.fetch_add(1, Ordering::Relaxed);
        let (mode, upstream, puts) = (self.mode.clone(), self.upstream, self.puts.clone());
        let answered = self.answered.clone();
        self.connections.spawn(async move {
            // An error is the end of the connection: both sides see it.
            let _ = connection::serve(stream, upstream, mode, number, &puts, &answered).await;
        });
    }
}

/// The next connection; never, while nothing listens.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            return stream;
        }
    }
}

#[cfg(test)]
mod tests;
