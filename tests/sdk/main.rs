//! The vendors' own SDKs, unmodified, against one proxy with every kind of provider behind it. Each cell of the
//! matrix SDK × kind × feature passes, or carries what forbids it; what the gateway refuses is refused in the test.
//! The table in the README is made here.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod expected;
mod hang_up;
mod injected;
mod matrix;
mod scene;
mod subjects;
mod table;
mod wishes;
mod witness;
