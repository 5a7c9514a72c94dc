//! A proxy that is made by hand: on a config stream like any other, it says what a test wants said.

use crate::installation::{Installation, NAMESPACE, WITHIN};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use llm_config::section::Update;
use llm_config::stream::{AUDIENCE, FromProxy, Line, Lines, PATH};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

pub struct HandMade {
    says: mpsc::UnboundedSender<Bytes>,
    hears: Incoming,
    lines: Lines,
    _connection: JoinSet<()>,
}

struct Said(mpsc::UnboundedReceiver<Bytes>);

impl Body for Said {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.get_mut().0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

impl HandMade {
    /// One of gateway `default` that says it is of this version, and has heard its first update.
    pub async fn attach(installation: &Installation, name: &str, version: &str) -> Self {
        let mut roots = RootCertStore::empty();
        let bundle = installation.mount_bundle().await;
        roots
            .add_parsable_certificates(CertificateDer::pem_slice_iter(bundle.as_bytes()).map(Result::unwrap));
        let mut tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let tcp = TcpStream::connect(("127.0.0.1", installation.port)).await.unwrap();
        let host = ServerName::try_from("localhost").unwrap();
        let tls = TlsConnector::from(Arc::new(tls)).connect(host, tcp).await.unwrap();
        let (mut requests, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await.unwrap();
        let mut running = JoinSet::new();
        running.spawn(async move { drop(connection.await) });

        let (says, said) = mpsc::unbounded_channel();
        let token = installation.cluster.token(NAMESPACE, "llm-gateway", AUDIENCE).await;
        let request = hyper::Request::post(format!("https://localhost{PATH}"))
            .header("authorization", format!("Bearer {token}"))
            .body(Said(said))
            .unwrap();
        let hello = FromProxy::Hello {
            proxy: name.to_owned(),
            gateway: Some("default".to_owned()),
            version: version.to_owned(),
            holds: BTreeMap::new(),
            open: Vec::new(),
        };
        says.send(line(&hello)).unwrap();
        let answer = requests.send_request(request).await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        Self { says, hears: answer.into_body(), lines: Lines::new(1 << 20), _connection: running }
    }

    pub fn say(&self, message: &FromProxy) {
        self.says.send(line(message)).unwrap();
    }

    /// The generation of the next update.
    pub async fn hear(&mut self) -> u64 {
        timeout(WITHIN, async {
            loop {
                if let Some(Line::Whole(line)) = self.lines.next_line() {
                    return serde_json::from_slice::<Update>(&line).unwrap().generation;
                }
                let frame = self.hears.frame().await.unwrap().unwrap();
                self.lines.push(&frame.into_data().unwrap());
            }
        })
        .await
        .unwrap()
    }

    /// Takes the next update.
    pub async fn take(&mut self) {
        let generation = self.hear().await;
        self.say(&FromProxy::Ack { generation });
    }

    /// Refuses the next update.
    pub async fn refuse(&mut self, problem: &str) {
        let generation = self.hear().await;
        self.say(&FromProxy::Refuse { generation, problems: vec![problem.to_owned()] });
    }
}

fn line(message: &FromProxy) -> Bytes {
    let mut line = serde_json::to_vec(message).unwrap();
    line.push(b'\n');
    line.into()
}
