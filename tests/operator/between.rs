//! Documents that a proxy does not take. Our operator sends none, so one that does is made of it: what it sends is
//! changed on the way, as an operator of a later version would have sent it. Operator and proxy are the real ones.

use crate::installation::{Installation, WITHIN, answers, completion, pool, route};
use bytes::Bytes;
use harness::{Authority, RawUpstream, Step, answer, eventually};
use http_body_util::BodyExt as _;
use http_body_util::combinators::MapFrame;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What is replaced in the updates, and by what.
type Change = Arc<Mutex<Option<(&'static str, &'static str)>>>;
type Changed = MapFrame<Incoming, Box<dyn FnMut(Frame<Bytes>) -> Frame<Bytes> + Send>>;

struct Between {
    port: u16,
    change: Change,
    _serving: JoinSet<()>,
}

impl Between {
    /// Serves as `authority` what the operator of the installation sends.
    async fn start(installation: &Installation, authority: &Authority) -> Self {
        let identity = authority.server(&["127.0.0.1"]);
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
        let mut config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (operator, bundle) = (installation.port, installation.mount_bundle().await);
        let change = Change::default();
        let mut serving = JoinSet::new();
        serving.spawn({
            let change = change.clone();
            async move {
                let mut connections = JoinSet::new();
                while let Ok((socket, _)) = listener.accept().await {
                    let (acceptor, bundle, change) = (acceptor.clone(), bundle.clone(), change.clone());
                    connections.spawn(async move {
                        let Ok(socket) = acceptor.accept(socket).await else { return };
                        let service =
                            service_fn(|request| pass(operator, bundle.clone(), change.clone(), request));
                        let server = server::conn::http2::Builder::new(TokioExecutor::new());
                        let _broken = server.serve_connection(TokioIo::new(socket), service).await;
                    });
                }
            }
        });
        Self { port, change, _serving: serving }
    }

    fn change(&self, change: Option<(&'static str, &'static str)>) {
        *self.change.lock().unwrap() = change;
    }
}

async fn pass(
    operator: u16,
    bundle: String,
    change: Change,
    mut request: Request<Incoming>,
) -> Result<Response<Changed>, hyper::Error> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let socket = TcpStream::connect(("127.0.0.1", operator)).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let socket = TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
    let (mut sender, connection) =
        client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    let path = request.uri().path().to_owned();
    *request.uri_mut() = format!("https://127.0.0.1:{operator}{path}").parse().unwrap();
    let response = sender.send_request(request).await?;
    Ok(response.map(|body| {
        // The updates of these tests are small: each is one frame.
        let changed: Box<dyn FnMut(Frame<Bytes>) -> Frame<Bytes> + Send> = Box::new(move |frame| {
            let change = *change.lock().unwrap();
            frame.map_data(|bytes| match change {
                Some((from, to)) => String::from_utf8(bytes.to_vec()).unwrap().replace(from, to).into(),
                None => bytes,
            })
        });
        body.map_frame(changed)
    }))
}

#[tokio::test]
async fn what_a_proxy_refuses_is_told_in_status_with_its_problems() {
    let installation = Installation::start().await;
    let _operator = installation.operator(&[]).await;
    let direct = installation.proxy("direct", &[]).await;
    installation.ready(&[&direct]).await;
    let authority = Authority::new();
    let between = Between::start(&installation, &authority).await;
    installation.scratch.write("ca.crt", authority.pem());
    let skewed = installation.proxy_at(between.port, "skewed", &[]).await;
    installation.ready(&[&skewed]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["large", "small"])).await;
    let mut chat = route("chat", "pool");
    chat["spec"]["rules"][0]["matches"] = serde_json::json!([{"models": ["large"]}]);
    installation.create_route(&chat).await;
    installation.route_condition("chat", "Programmed", "True", "Programmed").await;

    let mut later = route("later", "pool");
    later["spec"]["rules"][0]["matches"] = serde_json::json!([{"models": ["small"]}]);
    for (from, to, problem) in [
        (r#""requestMs":300000"#, r#""requestMs":300000,"hedgeMs":5"#, "skewed: unknown field `hedgeMs`"),
        (
            r#""requestMs":300000"#,
            r#""requestMs":0"#,
            "skewed: routes[ai/later].rules[0].timeouts: must be above 0 ms",
        ),
    ] {
        between.change(Some((from, to)));
        installation.create_route(&later).await;
        // It may have refused before the other one has answered; and what it refused before is told until it has taken
        // what has come since.
        eventually("status says what the one has refused", WITHIN, async || {
            let told = installation.route_condition("later", "Programmed", "False", "Refused").await;
            let is_whole = told.contains("in force on 1 of 2 proxies") && told.contains(problem);
            if is_whole { Ok(()) } else { Err(told) }
        })
        .await;
        installation.programmed_on("later", "1/2").await;
        // What was in force before goes on, here and there.
        answers(&skewed, "large", 200, WITHIN).await;
        answers(&skewed, "small", 404, WITHIN).await;
        answers(&direct, "small", 200, WITHIN).await;
        between.change(None);
        installation.delete_route("later").await;
        answers(&direct, "small", 404, WITHIN).await;
        installation.programmed_on("chat", "2/2").await;
    }
}
