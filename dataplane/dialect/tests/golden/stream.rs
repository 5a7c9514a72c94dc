//! A stream on its way from a provider to a caller, in pieces of any size.

use bytes::Bytes;
use llm_dialect::{
    Fault,
    frame::Framing,
    gather::Gather,
    reply::Usage,
    surface::{Api, CallerSide, ProviderSide},
    tap::Tap,
    translation::{Broken, Through, Translation},
};

use super::cases::context;

/// What became of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Relayed {
    pub bytes: String,
    pub ended: bool,
    pub usage: Option<Usage>,
    pub broken: Option<Broken>,
}

/// Whether bytes pass or are translated, as the proxy decides it.
pub fn through(from: Api, to: Api, hide_usage: bool) -> Through {
    let tap = || Tap::new(from.marks().unwrap(), hide_usage);
    if from == to {
        return Through::same(tap());
    }
    if (to, from) == (Api::StreamGenerateArray, Api::StreamGenerateContent) {
        return Through::array(tap());
    }
    translated(from, to)
}

/// Always translated, as a stream is whose call held another vendor's proofs.
pub fn translated(from: Api, to: Api) -> Through {
    let (Some(ProviderSide::Chat(provider)), CallerSide::Chat(caller)) = (from.provider(), to.caller())
    else {
        panic!("no way from {from:?} to {to:?}");
    };
    let writer = caller.stream_writer(context());
    Through::other(Translation::new(provider.framing(), provider.stream_reader(), writer))
}

/// Sends the pieces through; a stream that breaks ends with the caller's own word for the fault.
pub fn relayed<'a>(mut through: Through, to: Api, pieces: impl Iterator<Item = &'a [u8]>) -> Relayed {
    let mut out = Gather::default();
    let mut broken = None;
    for piece in pieces {
        if let Err(error) = through.push(Bytes::copy_from_slice(piece), &mut out) {
            broken = Some(error);
            break;
        }
    }
    let mut ended = false;
    if broken.is_none() {
        match through.end(&mut out) {
            Ok(end) => ended = end,
            Err(error) => broken = Some(error),
        }
    }
    if let Some(error) = &broken {
        let CallerSide::Chat(caller) = to.caller() else { panic!("{to:?} has no streams") };
        let fault = match error {
            Broken::Failed(fault) => fault.clone(),
            other => Fault::of_status(502, format!("{other:?}")),
        };
        through.fail(caller, &fault, &mut out);
    }
    let bytes = String::from_utf8(out.take().to_vec()).unwrap();
    Relayed { bytes, ended, usage: through.usage(), broken }
}

/// Every frame is what its framing says: no client can do anything with half of one.
pub fn assert_frames(framing: Framing, text: &str) {
    let json = |text: &str| {
        serde_json::from_str::<serde::de::IgnoredAny>(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    };
    match framing {
        Framing::Array => json(text),
        Framing::Lines => {
            assert!(text.is_empty() || text.ends_with('\n'));
            text.lines().for_each(json);
        }
        Framing::Sse => {
            let text = text.replace('\r', "");
            assert!(text.is_empty() || text.ends_with("\n\n"), "{text}");
            for event in text.split("\n\n").filter(|event| !event.trim().is_empty()) {
                let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                match data {
                    Some("[DONE]") => {}
                    Some(data) => json(data),
                    None => panic!("no data in {event}"),
                }
            }
        }
    }
}
