//! Streams of providers. The first byte says how the rest is cut: however that is, every caller gets
//! the same whole frames.

use bytes::Bytes;
use llm_dialect::{
    Fault, Garbled,
    event::{Event, StreamReader, StreamWriter},
    frame::{Frame, Framing},
    gather::Gather,
    reply::Usage,
    surface::{Api, CallerSide, ProviderSide},
    tap::Tap,
    translation::{Broken, Through, Translation},
};
use std::collections::BTreeSet;

use crate::{
    CALLERS, context,
    frames::{framed, said},
};

/// What became of a stream.
#[derive(Debug, PartialEq)]
struct Relayed {
    bytes: Bytes,
    ended: bool,
    usage: Option<Usage>,
    broken: Option<Broken>,
}

/// A stream that is translated.
pub fn stream(from: Api, data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    let Some(ProviderSide::Chat(provider)) = from.provider() else { return };
    for to in CALLERS {
        let CallerSide::Chat(caller) = to.caller() else { continue };
        let through = || {
            let reader = Box::new(Ordered { inner: provider.stream_reader(), order: Order::default() });
            let writer: Box<dyn StreamWriter> = caller.stream_writer(context());
            Through::other(Translation::new(provider.framing(), reader, writer))
        };
        let whole = relayed(through(), to, data, data.len());
        assert_frames(caller.framing(), to, &whole);
        let cut = relayed(through(), to, data, usize::from(*cut).max(1));
        assert_eq!(cut, whole, "{to:?}");
    }
}

/// A stream that passes: its bytes are its own, and only its borders are found.
pub fn passed(api: Api, data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    let Some(marks) = api.marks() else { return };
    for hide_usage in [false, true] {
        let through = || Through::same(Tap::new(marks, hide_usage));
        let whole = relayed(through(), api, data, data.len());
        let cut = relayed(through(), api, data, usize::from(*cut).max(1));
        let marked = |relayed: &Relayed| (relayed.ended, relayed.usage, relayed.broken.clone());
        assert_eq!(marked(&cut), marked(&whole), "hide_usage {hide_usage}");
        // A blank line more between two frames says nothing.
        let frames = |relayed: &Relayed| framed(marks.framing, &relayed.bytes, usize::MAX);
        assert_eq!(said(marks.framing, &frames(&cut)), said(marks.framing, &frames(&whole)));
        if !hide_usage && whole.ended {
            let same = data.starts_with(&whole.bytes) || whole.bytes.starts_with(data);
            assert!(same, "{:?} of {:?}", whole.bytes, Bytes::copy_from_slice(data));
        }
    }
}

fn relayed(mut through: Through, to: Api, data: &[u8], cut: usize) -> Relayed {
    let mut out = Gather::default();
    let mut broken = None;
    for piece in data.chunks(cut.max(1)) {
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
    // The proxy ends a stream that has not ended with the caller's own word for it.
    if !ended {
        let CallerSide::Chat(caller) = to.caller() else { panic!("{to:?} has no streams") };
        let fault = match &broken {
            Some(Broken::Failed(fault)) => fault.clone(),
            _ => Fault::of_status(502, "the stream broke"),
        };
        through.fail(caller, &fault, &mut out);
    }
    Relayed { bytes: out.take(), ended, usage: through.usage(), broken }
}

/// Whole frames, each of them JSON or the mark of the end.
fn assert_frames(framing: Framing, to: Api, relayed: &Relayed) {
    let json = |bytes: &[u8]| {
        if let Err(error) = serde_json::from_slice::<serde_json::Value>(bytes) {
            panic!("{to:?}: {error}: {}", String::from_utf8_lossy(bytes));
        }
    };
    match framing {
        Framing::Array => json(&relayed.bytes),
        Framing::Lines => {
            assert!(relayed.bytes.ends_with(b"\n"), "{relayed:?}");
            relayed.bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).for_each(json);
        }
        Framing::Sse => {
            assert!(relayed.bytes.ends_with(b"\n\n"), "{relayed:?}");
            let mut rest = relayed.bytes.clone();
            while let Some(bytes) = llm_dialect::frame::next(framing, &mut rest) {
                match Frame::parse(framing, &bytes) {
                    Some(frame) if frame.data.as_ref() == b"[DONE]" => {}
                    Some(frame) => json(&frame.data),
                    None => panic!("{to:?}: a frame without data: {}", String::from_utf8_lossy(&bytes)),
                }
            }
        }
    }
}

/// A reader that is watched: writers rely on the order of its events.
struct Ordered {
    inner: Box<dyn StreamReader>,
    order: Order,
}

#[derive(Default)]
struct Order {
    started: bool,
    calls: BTreeSet<(u32, u32)>,
    finished: BTreeSet<u32>,
}

impl StreamReader for Ordered {
    fn read(&mut self, frame: &Frame<'_>, emit: &mut llm_dialect::event::Emit<'_>) -> Result<(), Garbled> {
        let Self { inner, order } = self;
        inner.read(frame, &mut |event| {
            order.see(&event);
            emit(event);
        })
    }
}

impl Order {
    fn see(&mut self, event: &Event<'_>) {
        match event {
            Event::Start { .. } => {
                assert!(!std::mem::replace(&mut self.started, true), "two starts");
                return;
            }
            Event::Failed(_) => return,
            _ => assert!(self.started, "before the start: {event:?}"),
        }
        match event {
            Event::ToolCall { choice, index, id, .. } => {
                assert!(self.calls.insert((*choice, *index)), "a call twice: {event:?}");
                assert!(!id.is_empty(), "a call without an id");
            }
            Event::Arguments { choice, index, .. } => {
                assert!(self.calls.contains(&(*choice, *index)), "arguments without a call: {event:?}");
            }
            Event::Finish { choice, .. } => {
                assert!(self.finished.insert(*choice), "two ends: {event:?}");
            }
            _ => {}
        }
    }
}
