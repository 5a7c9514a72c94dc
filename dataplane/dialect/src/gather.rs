//! Bytes that are ready together, to be written together.

use bytes::{Bytes, BytesMut};

/// One frame is passed as it is, more are copied into one.
#[derive(Debug, Default)]
pub struct Gather {
    first: Bytes,
    joined: BytesMut,
}

impl Gather {
    pub fn push(&mut self, bytes: Bytes) {
        if self.is_empty() {
            self.first = bytes;
        } else {
            if self.joined.is_empty() {
                self.joined.extend_from_slice(&std::mem::take(&mut self.first));
            }
            self.joined.extend_from_slice(&bytes);
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn take(&mut self) -> Bytes {
        if self.joined.is_empty() { std::mem::take(&mut self.first) } else { self.joined.split().freeze() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_are_ready_together_leave_together_and_in_order() {
        let mut out = Gather::default();
        for piece in ["a", "b", "c"] {
            out.push(Bytes::from_static(piece.as_bytes()));
        }
        assert_eq!((out.len(), out.take().as_ref()), (3, b"abc".as_slice()));
        assert!(out.is_empty());
        out.push(Bytes::from_static(b"d"));
        assert_eq!(out.take().as_ref(), b"d");
    }
}
