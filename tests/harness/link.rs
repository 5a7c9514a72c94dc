//! A link to a server, which can be cut as a network is: nothing is closed, and nothing comes through.

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Up until it is cut.
#[derive(Debug)]
pub struct Link {
    address: String,
    up: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Link {
    pub async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (up, state) = watch::channel(true);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, state) = (server.clone(), state.clone());
                tokio::spawn(async move {
                    let mut connecting = state.clone();
                    if connecting.wait_for(|up| *up).await.is_err() {
                        return;
                    }
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, mut to_server) = server.into_split();
                    let _either_ended = tokio::select! {
                        ended = pass(&mut from_client, &mut to_server, state.clone()) => ended,
                        ended = pass(&mut from_server, &mut to_client, state.clone()) => ended,
                    };
                });
            }
        });
        Self { address, up, accepting }
    }

    /// Where it is reached, as `host:port`.
    pub fn endpoint(&self) -> String {
        self.address.clone()
    }

    /// What is sent from now on waits for the link to be mended.
    pub fn cut(&self) {
        self.up.send_replace(false);
    }

    pub fn mend(&self) {
        self.up.send_replace(true);
    }
}

async fn pass(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    mut up: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut bytes).await?;
        if count == 0 || up.wait_for(|up| *up).await.is_err() {
            return Ok(());
        }
        to.write_all(&bytes[..count]).await?;
    }
}
