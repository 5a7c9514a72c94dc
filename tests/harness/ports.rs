//! Loopback ports for programs that must be told one.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Below those that the kernel gives to connections and to listeners that name none: one of these would be taken before
/// the program that it was meant for has bound it.
const FIRST: u32 = 10_000;
const COUNT: u32 = 20_000;

/// A port of 127.0.0.1 on which nothing listens, and that this process has not handed out before.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Two processes at once begin far from each other.
    let begin = std::process::id().wrapping_mul(977);
    loop {
        let offset = begin.wrapping_add(NEXT.fetch_add(1, Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + offset).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
