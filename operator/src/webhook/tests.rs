//! Connections to the webhook, without TLS, on a clock that runs as soon as all wait.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use http::{Response, StatusCode};
use kube::{Client, client::Body as ApiBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::*;

fn admitter() -> Arc<Admitter> {
    let api = tower::service_fn(async |_: Request<ApiBody>| {
        Response::builder().status(StatusCode::SERVICE_UNAVAILABLE).body(ApiBody::empty())
    });
    let (_, outcomes) = watch::channel(None);
    let objects = Objects::new(Client::new(api, "default"), outcomes);
    Arc::new(Admitter { injection: None, objects, metrics: Arc::default() })
}

/// A client of a webhook that has this place and so many more.
fn connected(more: usize) -> DuplexStream {
    let (client, server) = tokio::io::duplex(4096);
    tokio::spawn(async move {
        let (_stop, stopped) = watch::channel(false);
        connection(server, admitter(), &Semaphore::new(more), stopped).await;
    });
    client
}

/// How long it rests until it is closed.
async fn rests(client: &mut DuplexStream) -> Duration {
    let begun = Instant::now();
    let _closed = client.read_to_end(&mut Vec::new()).await;
    begun.elapsed()
}

async fn ask(client: &mut DuplexStream) {
    client.write_all(b"GET / HTTP/1.1\r\nhost: webhook\r\n\r\n").await.unwrap();
    let mut answer = [0; 4096];
    let read = client.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 404"), "{}", String::from_utf8_lossy(&answer[..read]));
}

#[tokio::test(start_paused = true)]
async fn what_rests_is_closed_sooner_where_no_place_is_left() {
    for (more, longest) in [(1, IDLE_TIMEOUT), (0, CROWDED_IDLE + LOOK)] {
        assert!(rests(&mut connected(more)).await <= longest, "nothing was asked; {more}");
        let mut client = connected(more);
        ask(&mut client).await;
        sleep(CROWDED_IDLE / 2).await;
        ask(&mut client).await;
        let rested = rests(&mut client).await;
        assert!(rested <= longest && rested >= longest - LOOK - LOOK, "{rested:?}; {more}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_only_begins_holds_no_place_that_others_want() {
    let mut client = connected(0);
    client.write_all(b"G").await.unwrap();
    assert!(rests(&mut client).await <= 2 * CROWDED_IDLE + LOOK);
}
