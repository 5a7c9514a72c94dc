//! The end of a worker.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use super::*;
use crate::request_log::Format;

const GRACE: Duration = Duration::from_secs(20);

/// A worker that is told to end before it has begun, at that port.
fn ends_at(listener: TcpListener) {
    listener.set_nonblocking(true).unwrap();
    let (shared, writer) = Shared::new(1, Limits::default(), Format::Off, None);
    let connections = Arc::new(Semaphore::new(8));
    let (_stop, stopped) = watch::channel(true);
    let worker = Worker { index: 0, shared, connections };
    worker.run(Ports { plain: Some(listener), tls: None }, stopped, GRACE).unwrap();
    writer.finish();
}

#[test]
fn who_has_connected_before_the_end_is_answered() {
    // Whether it is accepted before or after the end is noticed is chance.
    for _ in 0..8 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"GET /v1/models HTTP/1.1\r\nhost: here\r\n\r\n").unwrap();
        let began = Instant::now();
        ends_at(listener);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        assert!(began.elapsed() < GRACE);
    }
}

#[test]
fn who_has_connected_and_says_nothing_does_not_hold_up_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let _silent = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let began = Instant::now();
    ends_at(listener);
    assert!(began.elapsed() < GRACE);
}
