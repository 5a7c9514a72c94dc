//! A small HTTP/1.1 client that shows what arrives as it arrives: each request has a connection of its own, so that
//! dropping a stream hangs up, and nothing is retried, pooled or decoded.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

pub async fn get(url: &str) -> Answer {
    send(Request::get(url).body(Bytes::new()).unwrap()).await.unwrap()
}

pub async fn post_json(url: &str, body: &Value) -> Answer {
    send(json_request(url, body)).await.unwrap()
}

/// As `post_json`, but answers as soon as the head is here.
pub async fn post_stream(url: &str, body: &Value) -> Stream {
    open(json_request(url, body)).await.unwrap()
}

/// A POST to send or open, for a test that adds headers.
pub fn json_request(url: &str, body: &Value) -> Request<Bytes> {
    let body = Bytes::from(body.to_string());
    Request::post(url).header(header::CONTENT_TYPE, "application/json").body(body).unwrap()
}

/// A request with a key, as SDKs of OpenAI send it.
pub fn with_key(mut request: Request<Bytes>, key: &str) -> Request<Bytes> {
    let value = HeaderValue::try_from(format!("Bearer {key}")).unwrap();
    request.headers_mut().insert(header::AUTHORIZATION, value);
    request
}

/// Sends any request; the error tells why no whole answer came.
pub async fn send(request: Request<Bytes>) -> Result<Answer, String> {
    open(request).await?.whole().await
}

/// Sends any request and answers when the head is here.
pub async fn open(request: Request<Bytes>) -> Result<Stream, String> {
    let url = request.uri().clone();
    let failed = |error: &dyn std::error::Error| format!("{url}: {}", with_causes(error));
    let authority = url.authority().expect("an absolute URL").clone();
    let address = (authority.host(), authority.port_u16().unwrap_or(80));
    let socket = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(|error| failed(&error))?;
    let connection = tokio::spawn(connection).abort_handle();

    let (mut head, body) = request.into_parts();
    head.headers.entry(header::HOST).or_insert(authority.as_str().parse().unwrap());
    head.uri = url.path_and_query().map_or("/", |path| path.as_str()).parse().unwrap();
    let sent = sender.send_request(Request::from_parts(head, Full::new(body))).await;
    Ok(Stream::of(sent.map_err(|error| failed(&error))?, Some(connection)))
}

/// An answer whose body is still coming. Dropping it hangs up.
pub struct Stream {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    unread: BytesMut,
    /// `None` where others share it.
    connection: Option<AbortHandle>,
}

impl Stream {
    pub(crate) fn of(response: Response<Incoming>, connection: Option<AbortHandle>) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status, headers: head.headers, body, unread: BytesMut::new(), connection }
    }

    /// The answer to the proper end.
    pub async fn whole(mut self) -> Result<Answer, String> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status: self.status, headers: std::mem::take(&mut self.headers), body: body.freeze() })
    }

    /// The next bytes as they arrive; `None` at the proper end, an error when the body was cut off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(with_causes(&error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    Err(_trailers) => {}
                },
            }
        }
    }

    /// The `data:` of the next server-sent event, `[DONE]` included; ends as `chunk` does.
    pub async fn event(&mut self) -> Result<Option<String>, String> {
        loop {
            while let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
                let event = self.unread.split_to(end + 2);
                let event = std::str::from_utf8(&event).unwrap();
                let data = event.lines().filter_map(|line| line.strip_prefix("data:"));
                let data: Vec<&str> = data.map(|data| data.strip_prefix(' ').unwrap_or(data)).collect();
                if !data.is_empty() {
                    return Ok(Some(data.join("\n")));
                }
            }
            match self.chunk().await? {
                Some(chunk) => self.unread.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }

    /// Every event from here to the proper end.
    pub async fn events(&mut self) -> Result<Vec<String>, String> {
        let mut events = Vec::new();
        while let Some(event) = self.event().await? {
            events.push(event);
        }
        Ok(events)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.abort();
        }
    }
}

/// hyper says only "connection error" by itself; what a test needs to read is below it.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
