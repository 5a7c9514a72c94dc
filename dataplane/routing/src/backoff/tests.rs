//! Bounds of the pauses, and what a `Retry-After` may look like.

use proptest::prelude::*;

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn unix(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn after(value: &str, now: u64) -> Option<u64> {
    parse_retry_after(value, unix(now)).map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX))
}

#[test]
fn pauses_double_up_to_the_most() {
    let longest: Vec<_> = (1..=9).map(|attempt| delay(attempt, ms(250), None, u64::MAX)).collect();
    assert_eq!(longest, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000].map(ms));
    assert_eq!(delay(3, ms(250), None, 0), ms(500));
    assert_eq!(delay(0, ms(250), None, 0), delay(1, ms(250), None, 0));
}

#[test]
fn a_provider_is_not_asked_before_it_wants_to_be() {
    assert_eq!(delay(1, ms(250), Some(ms(60_000)), 0), ms(60_000));
    assert_eq!(delay(1, ms(250), Some(ms(20_000)), u64::MAX), ms(22_000));
    assert_eq!(delay(1, ms(250), Some(ms(60_000)), u64::MAX), ms(63_000));
    assert_eq!(delay(1, ms(250), Some(ms(1_000)), u64::MAX), ms(1_250));
    // What it asks for is no reason to come sooner.
    assert_eq!(delay(5, ms(250), Some(Duration::ZERO), 0), ms(2_000));
}

#[test]
fn seconds_and_dates_are_read() {
    assert_eq!(after("120", 0), Some(120_000));
    assert_eq!(after(" 1.5 ", 0), Some(1_500));
    assert_eq!(after("0", 0), Some(0));
    assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777 - 90), Some(90_000));
    assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_778), Some(0));
    assert_eq!(after("Thu, 29 Feb 2024 23:59:60 GMT", 1_709_251_199), Some(1_000));
    assert_eq!(after("Thu, 01 Jan 1970 00:00:10 GMT", 0), Some(10_000));
    assert_eq!(after("Wed, 31 Dec 1969 23:59:59 GMT", 0), Some(0));
}

#[test]
fn what_is_asked_for_is_bounded() {
    let day = Some(86_400_000);
    assert_eq!(after("86401", 0), day);
    assert_eq!(after(&"9".repeat(400), 0), day);
    assert_eq!(after("Fri, 31 Dec 9999 23:59:59 GMT", 0), day);
    assert_eq!(delay(u32::MAX, Duration::MAX, Some(Duration::MAX), u64::MAX), Duration::MAX);
}

#[test]
fn what_is_neither_is_as_if_not_there() {
    for value in [
        "",
        ".",
        "-1",
        "+1",
        "1e3",
        "1.2.3",
        "inf",
        "NaN",
        "1 2",
        "soon",
        "٣",
        "Sun, 06 Nov 1994 08:49:37",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Son, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:49:37:00 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov 1994 08:49:37 x GMT",
        "Wed, 29 Feb 2023 00:00:00 GMT",
        "Thu, 29 Feb 2100 00:00:00 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT",
    ] {
        assert_eq!(after(value, 0), None, "{value}");
    }
}

/// Every day of four centuries, counted one by one.
#[test]
fn days_are_counted_right() {
    let names = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (mut year, mut month, mut day) = (1970, 0, 1);
    for count in 0..146_100_u64 {
        let weekday = names[usize::try_from(count % 7).unwrap_or(0)];
        let text = format!("{weekday}, {day:02} {} {year} 00:00:01 GMT", months[month]);
        assert_eq!(date(&text), Some(Duration::from_secs(count * 86_400 + 1)), "{text}");
        let leap = if year % 400 == 0 {
            true
        } else if year % 100 == 0 {
            false
        } else {
            year % 4 == 0
        };
        let last = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month];
        (year, month, day) = match (month, day) {
            (11, 31) => (year + 1, 0, 1),
            (_, day) if day == last => (year, month + 1, 1),
            _ => (year, month, day + 1),
        };
    }
    assert_eq!((year, month), (2370, 0));
}

proptest! {
    #[test]
    fn a_pause_keeps_its_bounds(
        attempt in 0..100_u32,
        base in 0..100_000_u64,
        asked in prop::option::of(0..200_000_u64),
        draw in any::<u64>(),
    ) {
        let pause = delay(attempt, ms(base), asked.map(ms), draw);
        let full = f64::from(2_u32).powi(attempt.max(1).cast_signed() - 1) * ms(base).as_secs_f64();
        let full = full.min(30.0);
        let own = delay(attempt, ms(base), None, draw);
        prop_assert!(own.as_secs_f64() >= full / 2.0 - 1e-6 && own.as_secs_f64() <= full + 1e-6);
        prop_assert!(pause >= own);
        if let Some(asked) = asked.map(ms) {
            prop_assert!(pause >= asked);
            prop_assert!(pause <= own.max(asked + ms(3_000)));
        }
    }

    #[test]
    fn a_later_draw_waits_no_less(attempt in 0..40_u32, one in any::<u64>(), other in any::<u64>()) {
        let (less, more) = (one.min(other), one.max(other));
        prop_assert!(delay(attempt, ms(100), None, less) <= delay(attempt, ms(100), None, more));
    }

    #[test]
    fn no_text_is_too_strange(value in ".{0,40}", now in any::<u32>()) {
        prop_assert!(parse_retry_after(&value, unix(now.into())).is_none_or(|after| after <= RETRY_AFTER_MAX));
    }
}
