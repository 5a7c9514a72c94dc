//! Waiting for something to become true: the one place where a test sleeps, so that no test waits a guessed time.

use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

const PERIOD: Duration = Duration::from_millis(20);

/// Calls `probe` until it answers `Ok`; panics with its last error when that takes longer than `within`.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + within;
    let mut last = "no answer at all".to_owned();
    loop {
        // The deadline holds for a probe that hangs, too.
        match timeout_at(deadline, probe()).await {
            Ok(Ok(value)) => return value,
            Ok(Err(error)) => last = error,
            Err(_) => panic!("{what}: not within {within:?}; last: {last}; and the probe was still running"),
        }
        assert!(Instant::now() < deadline, "{what}: not within {within:?}; last: {last}");
        sleep(PERIOD).await;
    }
}
