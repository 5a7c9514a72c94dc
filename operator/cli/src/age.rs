//! How long ago something was, as kubectl shows it.

use std::time::{Duration, SystemTime};

/// From then to `now`; a clock of another machine may be ahead of ours.
pub fn since(then: jiff::Timestamp, now: SystemTime) -> String {
    rounded(now.duration_since(then.into()).unwrap_or_default())
}

fn rounded(age: Duration) -> String {
    match age.as_secs() {
        seconds @ ..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        let ages = [0, 119, 120, 7199, 7200, 172_799, 172_800].map(|age| rounded(Duration::from_secs(age)));
        assert_eq!(ages, ["0s", "119s", "2m", "119m", "2h", "47h", "2d"]);
    }
}
