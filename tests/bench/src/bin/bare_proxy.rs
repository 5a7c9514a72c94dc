//! `bench-bare-proxy LISTEN UPSTREAM`: the least a reverse proxy on hyper can do. Request and reply
//! pass untouched and as they come; nothing is read, counted, logged or limited. Whatever a proxy costs
//! beyond this one, it costs for what it does.

use std::{error::Error, net::SocketAddr};

use hyper::{Request, Response, Uri, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::TcpListener;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(listen), Some(upstream)) = (args.next(), args.next()) else {
        return Err("use: bench-bare-proxy LISTEN UPSTREAM".into());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(listen.parse()?, upstream.parse()?))
}

async fn serve(listen: SocketAddr, upstream: Uri) -> Result<(), Box<dyn Error>> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build::<_, Incoming>(connector);
    let listener = TcpListener::bind(listen).await?;
    println!("ready {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (client, upstream) = (client.clone(), upstream.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| forward(request, &client, &upstream));
            let _broken = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The same request to the same path of the upstream; when that fails, the connection breaks off.
async fn forward(
    mut request: Request<Incoming>,
    client: &Client<HttpConnector, Incoming>,
    upstream: &Uri,
) -> Result<Response<Incoming>, Box<dyn Error + Send + Sync>> {
    let mut target = upstream.clone().into_parts();
    target.path_and_query = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from_parts(target)?;
    Ok(client.request(request).await?)
}
