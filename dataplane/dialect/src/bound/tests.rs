//! What calls of every API are bounded by, and where they are not.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod inputs;
mod limits;
mod tokens;

use super::*;

fn envelope(api: Api, body: &str) -> Envelope {
    Envelope::read(api.shape(), body.as_bytes()).unwrap()
}

/// The most input tokens with a window and without.
fn most(api: Api, kind: Kind, model: &str, body: &str) -> (Result<u64, Unbounded>, Result<u64, Unbounded>) {
    let envelope = envelope(api, body);
    let input = input(api, &envelope, body.as_bytes(), kind, model);
    (input.most(None), input.most(Some(WINDOW)))
}

const WINDOW: u64 = 1_000_000;
