//! A rotation on a clock that is passed in: at every moment the certificate that serves is signed by
//! an authority that the bundle of a while ago already held.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::ring,
    pki_types::UnixTime,
};

use super::*;

const START: i64 = 1_800_000_000;
const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn authority(name: u32, now: Timestamp, lifetime: SignedDuration) -> Result<Authority, CertificateError> {
    Ok(Authority {
        certificate: format!("<{name}>"),
        key: String::new(),
        not_before: now - SKEW,
        not_after: now + lifetime,
    })
}

#[test]
fn no_certificate_is_served_before_its_authority_was_trusted_for_the_overlap() {
    let lifetimes = Lifetimes { authority: HOUR * 24 * 30, overlap: HOUR };
    let mut now = Timestamp::from_second(START).unwrap();
    let mut names = 0..;
    let mut made = || names.next().unwrap();
    let mut held = Authorities {
        active: authority(made(), now, lifetimes.authority).unwrap(),
        next: None,
        previous: None,
    };
    let mut bundles = vec![(now, held.bundle())];
    let mut activated = 0;
    for _ in 0..24 * 365 {
        now += HOUR / 2;
        if let Some(rotated) =
            held.rotated(now, lifetimes, || authority(made(), now, lifetimes.authority)).unwrap()
        {
            activated += u32::from(rotated.active != held.active);
            held = rotated;
        }
        bundles.push((now, held.bundle()));
        assert!(held.active.not_after > now, "the active authority never runs out");
        let before = bundles.iter().rev().find(|(at, _)| *at <= now - lifetimes.overlap);
        assert!(
            before.is_none_or(|(_, bundle)| bundle.contains(&held.active.certificate)),
            "served before trusted"
        );
    }
    assert!(activated >= 8, "half a year of 30-day authorities, renewed at 20 days: {activated}");
    let trusted = held.bundle().matches('<').count();
    assert!(trusted <= 3, "old authorities go: {}", held.bundle());
}

/// What is held when one made at `START` is looked at after so many hours of its 30.
fn after(hours: i32, next: Option<Authority>) -> (Authorities, Option<Authorities>) {
    let lifetimes = Lifetimes::new(HOUR * 30, HOUR).unwrap();
    let start = Timestamp::from_second(START).unwrap();
    let active = authority(0, start, lifetimes.authority).unwrap();
    let held = Authorities { active, next, previous: None };
    let now = start + HOUR * hours;
    let rotated = held.rotated(now, lifetimes, || authority(9, now, lifetimes.authority)).unwrap();
    (held, rotated)
}

#[test]
fn an_authority_that_ran_out_while_nobody_looked_is_replaced_in_one_step() {
    let (_, rotated) = after(31, None);
    let rotated = rotated.unwrap();
    assert_eq!((rotated.bundle().as_str(), rotated.active.certificate.as_str()), ("<9>", "<9>"));

    // One that was staged and is still good is known to proxies: it is the one to promote.
    let staged = |at: i32| {
        let made = Timestamp::from_second(START).unwrap() + HOUR * at;
        Some(authority(1, made, HOUR * 30).unwrap())
    };
    let (_, rotated) = after(31, staged(30));
    assert_eq!(rotated.unwrap().bundle(), "<1>");
    // After years it has run out too.
    let (_, rotated) = after(100, staged(20));
    assert_eq!(rotated.unwrap().bundle(), "<9>");
}

#[test]
fn a_staged_authority_signs_at_the_latest_when_the_one_before_runs_out() {
    let made = Timestamp::from_second(START).unwrap() + HOUR * 29 + HOUR / 2;
    let (held, rotated) = after(30, Some(authority(1, made, HOUR * 30).unwrap()));
    assert_eq!(held.active.not_after, Timestamp::from_second(START).unwrap() + HOUR * 30);
    assert_eq!(rotated.unwrap().active.certificate, "<1>");
}

#[test]
fn an_overlap_that_would_outlast_the_authority_before_is_refused_with_what_to_change() {
    for (overlap, good) in [(HOUR * 9, true), (HOUR * 10, false), (HOUR * 24, false), (-HOUR, false)] {
        let lifetimes = Lifetimes::new(HOUR * 30, overlap);
        assert_eq!(lifetimes.is_ok(), good, "{overlap}");
    }
    assert!(Lifetimes::new(SignedDuration::ZERO, SignedDuration::ZERO).is_err());
    assert!(Lifetimes::new(SignedDuration::MAX, HOUR).is_err());
    let told = Lifetimes::new(HOUR * 30, HOUR * 24).unwrap_err();
    assert!(told.starts_with("--ca-overlap 24h must be less than a third of --ca-lifetime"), "{told}");
    assert!(told.contains("less than 10h"), "{told}");
}

#[test]
fn a_real_authority_signs_for_names_and_addresses_and_says_its_validity() {
    let now = Timestamp::now();
    let authority = make_authority(now, HOUR).unwrap();
    let (not_before, not_after) = validity(&authority.certificate).unwrap();
    assert_eq!(not_before.as_second(), (now - SKEW).as_second());
    assert_eq!(not_after.as_second(), (now + HOUR).as_second());
    let serving = serving(&authority, &serving_names(&[], "ns"), now).unwrap();
    assert_eq!(serving.cert.len(), 1);
}

#[test]
fn a_certificate_just_made_is_good_by_clocks_that_are_minutes_off() {
    let now = Timestamp::now();
    let authority = make_authority(now, HOUR).unwrap();
    let serving = serving(&authority, &["localhost".to_owned()], now).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.certificate.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let good_at = |off: SignedDuration| {
        let seconds = u64::try_from((now + off).as_second()).unwrap();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let name = "localhost".try_into().unwrap();
        verifier.verify_server_cert(&serving.cert[0], &[], &name, &[], at).is_ok()
    };
    let minute = SignedDuration::from_mins(1);
    for (off, good) in
        [(-minute, true), (minute, true), (-SKEW, true), (-SKEW - minute, false), (HOUR * 2, false)]
    {
        assert_eq!(good_at(off), good, "{off}");
    }
}

/// A replica whose clock is ahead rotates first, and the other takes what it made; neither undoes it.
#[test]
fn replicas_whose_clocks_differ_by_a_minute_rotate_once() {
    let lifetimes = Lifetimes::new(HOUR * 30, HOUR).unwrap();
    let (skew, mut now) = (SignedDuration::from_mins(1), Timestamp::from_second(START).unwrap());
    let mut made = 0..;
    let mut make = |at| authority(made.next().unwrap(), at, lifetimes.authority);
    let mut held = Authorities { active: make(now).unwrap(), next: None, previous: None };
    let mut steps = 0;
    for _ in 0..50 * 60 {
        now += SignedDuration::from_secs(60);
        for clock in [now + skew, now] {
            if let Some(rotated) = held.rotated(clock, lifetimes, || make(clock)).unwrap() {
                steps += 1;
                held = rotated;
            }
            assert!(held.active.not_after > now + skew && held.active.not_before < now - skew);
        }
    }
    // After 20 hours the second is staged, after 40 the third; each signs an hour later, and the one before runs out.
    assert!((5..=6).contains(&steps), "{steps} steps");
    assert_eq!(make(now).unwrap().certificate, "<3>", "each was made once");
}
