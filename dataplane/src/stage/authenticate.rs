//! Who calls. A credential is looked for where the four vendors' SDKs put their API keys, so that an application
//! shows it by the variable that it sets anyway.

use std::sync::Arc;

use http::{HeaderMap, header, request::Parts};

use crate::{
    error::Error,
    snapshot::callers::{Callers, Identity, presented::Presented},
};

/// Tells who calls, before the body is read; `None` is nobody known, where such may call.
///
/// # Errors
/// When the caller must be known and is not.
pub fn authenticate(
    callers: &Callers,
    worker: usize,
    parts: &Parts,
    certificate: Option<&Presented>,
) -> Result<Option<Arc<Identity>>, Error> {
    callers.identify(worker, || credential(parts), certificate)
}

fn credential(parts: &Parts) -> Option<&str> {
    bearer(&parts.headers)
        .or_else(|| text(&parts.headers, "x-api-key"))
        .or_else(|| text(&parts.headers, "x-goog-api-key"))
        .or_else(|| text(&parts.headers, "api-key"))
        .or_else(|| parts.uri.query()?.split('&').find_map(|part| part.strip_prefix("key=")))
        .filter(|credential| !credential.is_empty())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, credential) = text(headers, header::AUTHORIZATION.as_str())?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credential.trim())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
