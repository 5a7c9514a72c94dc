//! A scripted provider on a raw socket, for faults that no mock offers: a hung or cut answer at an exact byte, a
//! reset, and the exact bytes of the requests, credentials included.

use crate::eventually;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

/// What the upstream does next with a connection on which it has read a request.
#[derive(Clone, Debug)]
pub enum Step {
    Send(Vec<u8>),
    /// Sends byte by byte, with this pause between two.
    Drip(Vec<u8>, Duration),
    /// Takes its time, as a model that thinks does.
    Think(Duration),
    /// Waits until the test calls `release`.
    Hold,
    /// Sends nothing more, with the connection open.
    Stall,
    /// Ends the connection properly (FIN).
    Close,
    /// Breaks the connection (RST).
    Reset,
}

type Script = dyn Fn(&str) -> Vec<Step> + Send + Sync;

/// A listening upstream; it ends with its connections when it is dropped.
pub struct RawUpstream {
    url: String,
    address: SocketAddr,
    seen: Arc<Seen>,
    accepting: JoinHandle<()>,
}

struct Seen {
    /// The script for a request, head and body.
    script: Box<Script>,
    gate: Semaphore,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    requests: Vec<Vec<u8>>,
    arrivals: Vec<Instant>,
    connections: usize,
    hung_up: usize,
}

impl RawUpstream {
    /// Plays one script for each request, and the last one for all later requests. A script without `Stall`, `Close`
    /// or `Reset` leaves the connection open for the peer's next request. For an upstream that refuses connections,
    /// point the peer at a `free_port`.
    pub async fn start(scripts: impl IntoIterator<Item = Vec<Step>>) -> Self {
        let scripts: VecDeque<_> = scripts.into_iter().collect();
        assert!(!scripts.is_empty(), "an upstream needs a script");
        let scripts = Mutex::new(scripts);
        Self::answering(move |_| {
            let mut scripts = scripts.lock().unwrap();
            if scripts.len() > 1 { scripts.pop_front().unwrap() } else { scripts[0].clone() }
        })
        .await
    }

    /// Plays for each request the script that `script` makes of it, head and body.
    pub async fn answering(script: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::answering_at("127.0.0.1", script).await
    }

    /// The same at another address of this host: that by which the pods of a `Machine` call it.
    pub async fn answering_at(
        host: &str,
        script: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen =
            Arc::new(Seen { script: Box::new(script), gate: Semaphore::new(0), record: Mutex::default() });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&seen)));
        Self { url: format!("http://{address}"), address, seen, accepting }
    }

    /// Breaks every connection, and refuses others until `revive`.
    pub async fn die(&mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
    }

    /// Listens again where it did.
    pub async fn revive(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.accepting = tokio::spawn(accept(listener, Arc::clone(&self.seen)));
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets one `Hold`, waiting or to come, go on.
    pub fn release(&self) {
        self.seen.gate.add_permits(1);
    }

    /// The requests so far, head and body as they came.
    pub fn requests(&self) -> Vec<String> {
        let record = self.seen.record.lock().unwrap();
        record.requests.iter().map(|request| String::from_utf8_lossy(request).into_owned()).collect()
    }

    /// When each of them came.
    pub fn arrivals(&self) -> Vec<Instant> {
        self.seen.record.lock().unwrap().arrivals.clone()
    }

    /// How many connections it accepted so far.
    pub fn connections(&self) -> usize {
        self.seen.record.lock().unwrap().connections
    }

    /// Waits for the requests to be at least `count`, and answers them.
    pub async fn await_requests(&self, count: usize, within: Duration) -> Vec<String> {
        eventually(&format!("{count} requests upstream"), within, async || {
            let requests = self.requests();
            if requests.len() >= count { Ok(requests) } else { Err(format!("{} so far", requests.len())) }
        })
        .await
    }

    /// Waits until the peer has hung up in the middle of an answer; that it drops an idle connection does not count.
    pub async fn await_peer_closed(&self, within: Duration) {
        eventually("the peer hangs up on an answer", within, async || {
            match self.seen.record.lock().unwrap().hung_up {
                0 => Err("it did not".to_owned()),
                _ => Ok(()),
            }
        })
        .await;
    }
}

impl Drop for RawUpstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, seen: Arc<Seen>) {
    // The set aborts its connections when this task is aborted.
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        seen.record.lock().unwrap().connections += 1;
        let seen = Arc::clone(&seen);
        connections.spawn(async move {
            if let Ended::ByPeer = serve(socket, &seen).await {
                seen.record.lock().unwrap().hung_up += 1;
            }
        });
    }
}

enum Ended {
    /// The peer hung up in the middle of an answer.
    ByPeer,
    ByScript,
    /// The peer hung up between two requests.
    Idle,
}

async fn serve(mut socket: TcpStream, seen: &Seen) -> Ended {
    socket.set_nodelay(true).unwrap();
    while let Ok(request) = read_request(&mut socket).await {
        let script = (seen.script)(&String::from_utf8_lossy(&request));
        {
            let mut record = seen.record.lock().unwrap();
            record.requests.push(request);
            record.arrivals.push(Instant::now());
        }
        for step in script {
            if let Some(ended) = play(step, &mut socket, &seen.gate).await {
                return ended;
            }
        }
    }
    Ended::Idle
}

/// Plays one step; answers how the connection ended, if it did.
async fn play(step: Step, socket: &mut TcpStream, gate: &Semaphore) -> Option<Ended> {
    match step {
        Step::Send(bytes) => socket.write_all(&bytes).await.err().map(|_| Ended::ByPeer),
        Step::Drip(bytes, pause) => {
            for byte in bytes {
                if socket.write_all(&[byte]).await.is_err() {
                    return Some(Ended::ByPeer);
                }
                if let Ok(()) = tokio::time::timeout(pause, hung_up(socket)).await {
                    return Some(Ended::ByPeer);
                }
            }
            None
        }
        Step::Think(how_long) => {
            let gone = tokio::time::timeout(how_long, hung_up(socket)).await;
            gone.ok().map(|()| Ended::ByPeer)
        }
        Step::Hold => tokio::select! {
            permit = gate.acquire() => { permit.unwrap().forget(); None }
            () = hung_up(socket) => Some(Ended::ByPeer),
        },
        Step::Stall => {
            hung_up(socket).await;
            Some(Ended::ByPeer)
        }
        Step::Close => {
            let _ = socket.shutdown().await;
            Some(Ended::ByScript)
        }
        Step::Reset => {
            socket.set_zero_linger().unwrap();
            Some(Ended::ByScript)
        }
    }
}

/// Ends when the peer does. It peeks: a next request that comes early must stay for `read_request`.
async fn hung_up(socket: &TcpStream) {
    if let Ok(1..) = socket.peek(&mut [0]).await {
        std::future::pending::<()>().await;
    }
}

/// Reads one request, head and body, as it is.
async fn read_request(socket: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while !is_whole(&bytes) {
        // Byte by byte would be exact, but slow; no client of ours sends two requests at once.
        if socket.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(bytes)
}

fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let body = &bytes[end + 4..];
    let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if value("transfer-encoding:") == Some("chunked") {
        return body.ends_with(b"0\r\n\r\n");
    }
    body.len() >= value("content-length:").map_or(0, |length| length.parse().unwrap())
}

/// A whole answer with a JSON body.
pub fn answer(status: u16, body: &serde_json::Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!("HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// The head of a stream of events, in chunked coding: without `sse_end` its peer sees that it was cut off.
pub fn sse_head() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()
}

/// One event, as one chunk.
pub fn sse_event(data: &str) -> Vec<u8> {
    let event = format!("data: {data}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}

/// The proper end of a stream of events.
pub fn sse_end() -> Vec<u8> {
    b"0\r\n\r\n".to_vec()
}
