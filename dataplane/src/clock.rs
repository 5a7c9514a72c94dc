//! The time by which decisions are made: since the proxy began, so that it fits the small numbers in
//! which breakers and averages keep theirs.

use std::{sync::LazyLock, time::Duration};

use tokio::time::Instant;

static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Now.
pub fn now() -> Duration {
    at(Instant::now())
}

/// That moment.
pub fn at(instant: Instant) -> Duration {
    instant.saturating_duration_since(*BEGIN)
}
