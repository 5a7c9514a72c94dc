//! Where callers connect: a plain port, a port with TLS, or both. All workers share them.

use std::{
    future::pending,
    io,
    net::{SocketAddr, TcpListener as StdListener},
};

use tokio::net::{TcpListener, TcpStream};

use crate::tls::serving::{Handshake, Serving};

/// The ports, taken.
#[derive(Debug)]
pub struct Ports {
    pub plain: Option<StdListener>,
    pub tls: Option<(StdListener, Serving)>,
}

impl Ports {
    /// The same ports for another worker.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            plain: self.plain.as_ref().map(StdListener::try_clone).transpose()?,
            tls: match &self.tls {
                Some((listener, serving)) => Some((listener.try_clone()?, serving.clone())),
                None => None,
            },
        })
    }

    /// Ready to accept, in a runtime.
    pub fn listen(self) -> io::Result<Listeners> {
        Ok(Listeners {
            plain: self.plain.map(TcpListener::from_std).transpose()?,
            tls: match self.tls {
                Some((listener, serving)) => Some((TcpListener::from_std(listener)?, serving)),
                None => None,
            },
        })
    }
}

pub struct Listeners {
    plain: Option<TcpListener>,
    tls: Option<(TcpListener, Serving)>,
}

/// Who has connected.
pub struct Arrival {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    /// What comes first, at the port with TLS.
    pub handshake: Option<Handshake>,
}

impl Listeners {
    pub async fn accept(&self) -> io::Result<Arrival> {
        tokio::select! {
            arrival = accept_plain(self.plain.as_ref()) => arrival,
            arrival = accept_tls(self.tls.as_ref()) => arrival,
        }
    }
}

async fn accept_plain(listener: Option<&TcpListener>) -> io::Result<Arrival> {
    let Some(listener) = listener else { return pending().await };
    let (stream, peer) = listener.accept().await?;
    Ok(Arrival { stream, peer, handshake: None })
}

async fn accept_tls(door: Option<&(TcpListener, Serving)>) -> io::Result<Arrival> {
    let Some((listener, serving)) = door else { return pending().await };
    // With as many at it as may be, new ones wait in the listener's queue.
    let handshake = serving.turn().await?;
    let (stream, peer) = listener.accept().await?;
    Ok(Arrival { stream, peer, handshake: Some(handshake) })
}
