//! A rotation on a clock that is passed in: at every moment the certificate that serves is signed by
//! an authority that the bundle of a while ago already held.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use super::*;

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
    let mut now = Timestamp::from_second(1_800_000_000).unwrap();
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
