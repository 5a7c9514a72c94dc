//! By real sockets: what arrives is what was written, whatever waits, blocks or ends.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::{JoinHandle, yield_now},
    time::timeout,
};

use super::*;

const SOON: Duration = Duration::from_secs(10);

async fn pair() -> (BurstStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (BurstStream::new(near.unwrap()), far.unwrap().0)
}

/// As a worker has it.
async fn flusher() -> JoinHandle<()> {
    let flusher = tokio::spawn(Flusher);
    while BURST.with_borrow(|burst| burst.flusher.is_none()) {
        yield_now().await;
    }
    flusher
}

fn waiting() -> usize {
    BURST.with_borrow(|burst| burst.waiting.len())
}

async fn read(from: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    timeout(SOON, from.read_exact(&mut bytes)).await.unwrap().unwrap();
    bytes
}

#[tokio::test]
async fn what_is_written_in_a_turn_goes_out_at_its_end() {
    drop(flusher().await);
    let ((mut one, mut other_end), (mut two, mut other)) = (pair().await, pair().await);
    one.write_all(b"a").await.unwrap();
    assert_eq!(one.write_vectored(&[IoSlice::new(b"b"), IoSlice::new(b"c")]).await.unwrap(), 2);
    two.write_all(b"d").await.unwrap();
    one.flush().await.unwrap();
    // No task but this one has had a turn.
    assert_eq!(waiting(), 2);
    assert_eq!(other_end.try_read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(read(&mut other_end, 3).await, b"abc");
    assert_eq!(read(&mut other, 1).await, b"d");
    assert_eq!(waiting(), 0);
}

#[tokio::test]
async fn without_a_flusher_it_goes_out_at_once() {
    let (mut near, mut far) = pair().await;
    near.write_all(b"a").await.unwrap();
    assert_eq!(waiting(), 0);
    assert_eq!(read(&mut far, 1).await, b"a");
    let flusher = flusher().await;
    near.write_all(b"b").await.unwrap();
    assert_eq!(waiting(), 1);
    // The worker ends: what waits goes out, and nothing waits any more.
    flusher.abort();
    assert!(flusher.await.unwrap_err().is_cancelled());
    near.write_all(b"c").await.unwrap();
    assert_eq!(waiting(), 0);
    assert_eq!(read(&mut far, 2).await, b"bc");
}

#[tokio::test]
async fn many_do_not_wait_for_the_end_of_a_long_turn() {
    drop(flusher().await);
    let mut pairs = Vec::new();
    for _ in 0..MOST_WAITING {
        pairs.push(pair().await);
    }
    for (near, _) in &mut pairs {
        near.write_all(b"a").await.unwrap();
    }
    assert_eq!(waiting(), 0);
    for (_, far) in &mut pairs {
        assert_eq!(read(far, 1).await, b"a");
    }
}

#[tokio::test]
async fn a_slow_reader_holds_its_writer_up_and_gets_every_byte() {
    drop(flusher().await);
    let (mut near, mut far) = pair().await;
    let sizes = [1, 900, MOST_HELD - 1, MOST_HELD, MOST_HELD + 1, 7, 300_000, 12, 40];
    let text: Vec<u8> = (0..16_000_000_u32).map(|i| (i % 251) as u8).collect();
    let expected = text.clone();
    let writes = tokio::spawn(async move {
        let (mut rest, mut i) = (&text[..], 0);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(sizes[i % sizes.len()].min(rest.len()));
            near.write_all(now).await.unwrap();
            (rest, i) = (later, i + 1);
            if i % 3 == 0 {
                near.flush().await.unwrap();
                yield_now().await;
            }
        }
        near.shutdown().await.unwrap();
    });
    // Far more turns than it has writes: the system takes no 16 MB for one who does not read.
    for _ in 0..1000 {
        yield_now().await;
    }
    assert!(!writes.is_finished());
    let mut came = Vec::new();
    timeout(SOON, far.read_to_end(&mut came)).await.unwrap().unwrap();
    assert!(came == expected);
    writes.await.unwrap();
}

/// A connection whose peer has not read so much that the system takes no more, and how much that is.
async fn full() -> (BurstStream, TcpStream, usize) {
    let (mut near, far) = pair().await;
    let (chunk, mut written) = (vec![b'x'; 64 * 1024], 0);
    loop {
        // The system may take more as soon as it has moved what it has.
        match timeout(Duration::from_millis(200), near.write(&chunk)).await {
            Ok(now) => written += now.unwrap(),
            Err(_) => return (near, far, written),
        }
    }
}

#[tokio::test]
async fn what_a_slow_peer_has_left_reaches_it_though_its_writer_does_not_come_back() {
    drop(flusher().await);
    let (mut near, mut far, before) = full().await;
    near.write_all(b"held").await.unwrap();
    near.flush().await.unwrap();
    while waiting() > 0 {
        yield_now().await;
    }
    let came = read(&mut far, before + 4).await;
    assert!(came.ends_with(b"xheld"));
    // And it can be written to as before.
    near.write_all(b"more").await.unwrap();
    assert_eq!(read(&mut far, 4).await, b"more");
}

#[tokio::test]
async fn a_connection_that_is_dropped_while_its_peer_does_not_read_is_closed() {
    drop(flusher().await);
    let (mut near, mut far, before) = full().await;
    near.write_all(b"held").await.unwrap();
    while waiting() > 0 {
        yield_now().await;
    }
    let outgoing = Arc::downgrade(&near.outgoing);
    drop(near);
    assert!(outgoing.upgrade().is_none());
    let mut came = Vec::new();
    timeout(SOON, far.read_to_end(&mut came)).await.unwrap().unwrap();
    assert_eq!(came.len(), before);
}

#[tokio::test]
async fn what_waits_is_written_before_the_end() {
    drop(flusher().await);
    let (mut near, mut far) = pair().await;
    near.write_all(b"the end").await.unwrap();
    near.shutdown().await.unwrap();
    drop(near);
    let mut came = Vec::new();
    far.read_to_end(&mut came).await.unwrap();
    assert_eq!(came, b"the end");

    let (mut near, mut far) = pair().await;
    near.write_all(b"dropped").await.unwrap();
    drop(near);
    far.read_to_end(&mut came).await.unwrap();
    assert_eq!(came, b"the enddropped");
}

#[tokio::test]
async fn a_peer_that_is_gone_is_told_to_the_writer() {
    drop(flusher().await);
    let (mut near, far) = pair().await;
    far.set_zero_linger().unwrap();
    drop(far);
    let told = async {
        loop {
            if let Err(error) = async {
                near.write_all(b"a").await?;
                near.flush().await
            }
            .await
            {
                return error;
            }
            yield_now().await;
        }
    };
    let error = timeout(SOON, told).await.unwrap();
    assert!(matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe), "{error}");
}
