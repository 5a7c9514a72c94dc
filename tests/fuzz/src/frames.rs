//! What every stage of the proxy reads of a body, and the borders of frames.

use bytes::Bytes;
use llm_dialect::{
    envelope::Envelope,
    frame::{self, Frame, Frames, Framing},
    surface::Api,
};

const APIS: [Api; 11] = [
    Api::ChatCompletions,
    Api::Responses,
    Api::Embeddings,
    Api::Messages,
    Api::MessagesCountTokens,
    Api::GenerateContent,
    Api::GeminiCountTokens,
    Api::BatchEmbedContents,
    Api::OllamaChat,
    Api::OllamaGenerate,
    Api::OllamaEmbed,
];

/// The outside of a body of any API: with another model in it, it says the same.
pub fn envelope(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    for api in APIS {
        let Ok(envelope) = Envelope::read(api.shape(), &body) else { continue };
        let sent = envelope.upstream_body(&body, "an\"other");
        match Envelope::read(api.shape(), &sent) {
            Ok(again) => {
                let model = again.model.strip_prefix("models/").unwrap_or(&again.model);
                assert!(model == "an\"other" || envelope.model.is_empty(), "{api:?}: {model}");
                assert_eq!(again.stream, envelope.stream, "{api:?}");
                assert!(!again.stream || again.wants_usage(), "{api:?}: a stream without usage");
            }
            Err(invalid) => panic!("{api:?}: {invalid}: {}", String::from_utf8_lossy(&sent)),
        }
    }
}

/// Frames of any framing: together they are all the bytes, and however these are cut, they say the same.
/// Only blank lines between them may go with the one or the other.
pub fn frames(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    for framing in [Framing::Sse, Framing::Lines] {
        let whole = framed(framing, data, data.len());
        let cut = framed(framing, data, usize::from(*cut).max(1));
        assert_eq!(said(framing, &cut), said(framing, &whole), "{framing:?}");
        assert_eq!((whole.concat().as_slice(), cut.concat().as_slice()), (data, data), "{framing:?}");
    }
}

/// What frames with data say.
pub fn said(framing: Framing, frames: &[Vec<u8>]) -> Vec<Frame<'_>> {
    frames.iter().filter_map(|frame| Frame::parse(framing, frame)).collect()
}

pub fn framed(framing: Framing, data: &[u8], cut: usize) -> Vec<Vec<u8>> {
    let mut frames = Frames::new(framing);
    let mut seen = Vec::new();
    let mut take = |mut whole: Bytes| {
        while let Some(frame) = frame::next(framing, &mut whole) {
            seen.push(frame.to_vec());
        }
    };
    for piece in data.chunks(cut.max(1)) {
        match frames.push(Bytes::copy_from_slice(piece)) {
            Ok(whole) => take(whole),
            Err(_) => return seen,
        }
    }
    take(frames.rest());
    seen
}
