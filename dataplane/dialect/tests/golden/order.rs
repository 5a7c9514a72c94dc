//! The order of events, as writers rely on it.

use std::collections::BTreeSet;

use bytes::Bytes;
use llm_dialect::{
    event::Event,
    frame::{self, Frame},
};

use super::cases::{Named, PROVIDERS, streams};

/// What has been seen of a stream.
#[derive(Default)]
struct Order {
    started: bool,
    failed: bool,
    calls: BTreeSet<(u32, u32)>,
    finished: BTreeSet<u32>,
}

#[test]
fn events_come_in_order() {
    for provider in PROVIDERS {
        for (name, stream) in streams(provider) {
            let mut order = Order::default();
            read(provider, &stream, &mut |event| {
                order
                    .follows(event)
                    .unwrap_or_else(|why| panic!("{name} of {}: {why}: {event:?}", provider.name));
            });
            assert!(order.started, "{name} of {}", provider.name);
            assert_ne!(order.failed, order.finished.contains(&0), "{name} of {}", provider.name);
        }
    }
}

fn read(provider: Named, stream: &[u8], see: &mut dyn FnMut(&Event<'_>)) {
    let mut reader = provider.provider().stream_reader();
    let framing = provider.provider().framing();
    let mut whole = Bytes::copy_from_slice(stream);
    while let Some(bytes) = frame::next(framing, &mut whole) {
        if let Some(frame) = Frame::parse(framing, &bytes) {
            reader.read(&frame, &mut |event| see(&event)).unwrap();
        }
    }
}

impl Order {
    fn follows(&mut self, event: &Event<'_>) -> Result<(), &'static str> {
        if self.failed {
            return Err("nothing comes behind a failure");
        }
        if let Event::Start { .. } = event {
            return if std::mem::replace(&mut self.started, true) { Err("two starts") } else { Ok(()) };
        }
        if !self.started && !matches!(event, Event::Failed(_)) {
            return Err("before the start");
        }
        if choice(event).is_some_and(|choice| self.finished.contains(&choice)) {
            return Err("behind the choice's end");
        }
        match event {
            Event::ToolCall { choice, index, id, name, .. } => {
                let next = self.calls.iter().filter(|(of, _)| of == choice).count();
                if !self.calls.insert((*choice, *index)) || *index as usize != next {
                    return Err("calls are counted from 0");
                }
                if id.is_empty() || name.is_empty() {
                    return Err("a call has an id and a name");
                }
            }
            Event::Arguments { choice, index, .. } if !self.calls.contains(&(*choice, *index)) => {
                return Err("arguments without a call");
            }
            Event::Finish { choice, .. } => {
                self.finished.insert(*choice);
            }
            Event::Failed(_) => self.failed = true,
            _ => {}
        }
        Ok(())
    }
}

fn choice(event: &Event<'_>) -> Option<u32> {
    match event {
        Event::Text { choice, .. }
        | Event::Refusal { choice, .. }
        | Event::Reasoning { choice, .. }
        | Event::Sealed { choice, .. }
        | Event::ToolCall { choice, .. }
        | Event::Arguments { choice, .. }
        | Event::Logprobs { choice, .. }
        | Event::Finish { choice, .. } => Some(*choice),
        Event::Start { .. } | Event::Usage(_) | Event::Failed(_) => None,
    }
}
