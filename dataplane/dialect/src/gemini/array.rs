//! A stream as one JSON array, for callers who did not ask for events. Elements are written whole, a
//! line each, and never looked into.

use bytes::Bytes;

use super::error::error_body;
use crate::{
    Fault,
    frame::{self, Frame, Framing},
    gather::Gather,
};

/// Writes the brackets and the commas. One for each stream.
#[derive(Debug, Default)]
pub struct ArrayWriter {
    begun: bool,
}

impl ArrayWriter {
    /// Takes whole frames of events and gives their data as elements; an error's event too.
    pub fn push(&mut self, mut whole_sse_frames: Bytes, out: &mut Gather) {
        let mut written = Vec::with_capacity(whole_sse_frames.len());
        while let Some(bytes) = frame::next(Framing::Sse, &mut whole_sse_frames) {
            if let Some(frame) = Frame::parse(Framing::Sse, &bytes) {
                self.element(&mut written, |out| out.extend_from_slice(&frame.data));
            }
        }
        if !written.is_empty() {
            out.push(written.into());
        }
    }

    /// Closes the array.
    pub fn end(&mut self, out: &mut Gather) {
        let mut written = Vec::new();
        self.close(&mut written);
        out.push(written.into());
    }

    pub(super) fn element(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        out.push(if std::mem::replace(&mut self.begun, true) { b',' } else { b'[' });
        write(out);
        out.push(b'\n');
    }

    pub(super) fn close(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.begun { b"]\n" } else { b"[]\n" });
    }
}

/// The last element of an array that broke behind another.
pub fn last_error(fault: &Fault) -> Bytes {
    let mut array = ArrayWriter { begun: true };
    let mut written = Vec::new();
    array.element(&mut written, |out| out.extend_from_slice(&error_body(fault)));
    array.close(&mut written);
    written.into()
}
