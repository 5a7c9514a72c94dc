//! Certificates of authorities that these tests make.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType, date_time_ymd,
};

use super::*;

/// 2026-01-01, in the middle of the life of what is made here.
const NOW: u64 = 1_767_225_600;
const DAY: u64 = 86_400;

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Issuer {
    let params = authority_params(name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn set(authority: &Issuer, trust_domain: Option<&str>) -> config::Authorities {
    config::Authorities {
        ca: authority.pem(),
        trust_domain: trust_domain.map(str::to_owned),
        ..config::Authorities::default()
    }
}

/// A client's certificate, good until 2026-02-01, with a URI or without.
fn client(authority: &Issuer, name: &str, uris: &[&str]) -> CertificateDer<'static> {
    changed(authority, name, uris, |_| {})
}

fn changed(
    authority: &Issuer,
    name: &str,
    uris: &[&str],
    change: impl FnOnce(&mut CertificateParams),
) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(vec!["dns.example".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if !name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    (params.not_before, params.not_after) = (date_time_ymd(2025, 12, 1), date_time_ymd(2026, 2, 1));
    change(&mut params);
    params.signed_by(&KeyPair::generate().unwrap(), authority).unwrap().der().clone()
}

fn subject(sets: &[config::Authorities], chain: &[CertificateDer<'_>]) -> Result<Subject, Refusal> {
    Authorities::new(sets).unwrap().subject(chain, NOW)
}

#[test]
fn a_certificate_names_its_holder_by_its_common_name() {
    let authority = authority("ours");
    let named = subject(&[set(&authority, None)], &[client(&authority, "partner", &[])]).unwrap();
    assert_eq!(named, Subject { name: Name::Other("partner".to_owned()), expires: NOW + 31 * DAY });
    // A DNS name alone is none: it may be one of several.
    for nameless in ["", "line\nbreak"] {
        let refused = subject(&[set(&authority, None)], &[client(&authority, nameless, &[])]);
        assert_eq!(refused.unwrap_err(), Refusal::Nameless, "{nameless:?}");
    }
}

#[test]
fn a_spiffe_id_is_a_service_account_where_its_authority_signs_for_the_domain() {
    let (mesh, partner) = (authority("mesh"), authority("partner"));
    let sets = [set(&partner, None), set(&mesh, Some("cluster.local"))];
    let web = "spiffe://cluster.local/ns/shop/sa/web";
    let named = subject(&sets, &[client(&mesh, "ignored", &[web])]).unwrap().name;
    assert_eq!(named, Name::ServiceAccount { namespace: "shop".to_owned(), name: "web".to_owned() });
    let named = subject(&sets, &[client(&mesh, "", &["spiffe://cluster.local/billing"])]).unwrap().name;
    assert_eq!(named, Name::Other("spiffe://cluster.local/billing".to_owned()));
    for path in ["ns/shop/sa/", "ns//sa/web", "ns/shop/sa/web/x", "ns/shop"] {
        let id = format!("spiffe://cluster.local/{path}");
        let named = subject(&sets, &[client(&mesh, "", &[&id])]).unwrap().name;
        assert_eq!(named, Name::Other(id));
    }

    // Another authority can't say who is of the domain, and this one not who is of another.
    let refused = subject(&sets, &[client(&partner, "partner", &[web])]).unwrap_err();
    assert!(refused.to_string().contains("set trustDomain beside the authority"), "{refused}");
    let refused = subject(&sets, &[client(&mesh, "", &["spiffe://other/ns/shop/sa/web"])]).unwrap_err();
    assert!(refused.to_string().contains("the trust domain 'cluster.local'"), "{refused}");
    let refused = subject(&sets, &[client(&mesh, "", &[web, "https://web"])]).unwrap_err();
    assert_eq!(refused, Refusal::ManyUris);
    // Nor does a common name that looks like one.
    for id in ["spiffe://cluster.local/billing", "SPIFFE://cluster.local/billing"] {
        for authority in [&partner, &mesh] {
            let refused = subject(&sets, &[client(authority, id, &[])]).unwrap_err();
            assert!(matches!(refused, Refusal::TrustDomain { .. }), "{refused}");
        }
    }
    // A URI that is no SPIFFE ID says nothing.
    let named = subject(&sets, &[client(&partner, "partner", &["https://partner"])]).unwrap().name;
    assert_eq!(named, Name::Other("partner".to_owned()));
}

#[test]
fn a_service_account_of_another_cluster_is_none_of_this_one_though_it_has_the_same_name() {
    let (mesh, theirs) = (authority("mesh"), authority("theirs"));
    let of_theirs = config::Authorities { foreign: true, ..set(&theirs, Some("their.cluster")) };
    let sets = [set(&mesh, Some("cluster.local")), of_theirs];
    let web = "spiffe://their.cluster/ns/shop/sa/web";
    let named = subject(&sets, &[client(&theirs, "", &[web])]).unwrap().name;
    assert_eq!(named, Name::Other(web.to_owned()));
    // What a connection has shown is looked at again when that changes.
    let local = [sets[0].clone(), set(&theirs, Some("their.cluster"))];
    assert_ne!(Authorities::new(&sets).unwrap().digest(), Authorities::new(&local).unwrap().digest());
}

#[test]
fn what_is_not_signed_not_in_time_or_not_for_clients_is_refused_with_the_reason() {
    let (ours, other, namesake) = (authority("ours"), authority("other"), authority("ours"));
    let sets = [set(&ours, None)];
    for (foreign, issuer) in [(&other, "CN=other"), (&namesake, "CN=ours")] {
        let refused = subject(&sets, &[client(foreign, "partner", &[])]).unwrap_err();
        assert_eq!(refused, Refusal::Foreign { issuer: issuer.to_owned() });
    }
    let ended = changed(&ours, "partner", &[], |params| params.not_after = date_time_ymd(2025, 12, 31));
    let refused = subject(&sets, &[ended]).unwrap_err();
    assert_eq!(refused.to_string(), "it has expired, at 2025-12-31T00:00:00Z");
    let early = changed(&ours, "partner", &[], |params| params.not_before = date_time_ymd(2026, 1, 2));
    let refused = subject(&sets, &[early]).unwrap_err();
    assert_eq!(refused.to_string(), "it is not valid before 2026-01-02T00:00:00Z");
    let server = changed(&ours, "partner", &[], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    assert_eq!(subject(&sets, &[server]).unwrap_err(), Refusal::Purpose);
    assert!(matches!(subject(&sets, &[CertificateDer::from(vec![0; 9])]), Err(Refusal::Other(_))));
}

#[test]
fn a_chain_ends_with_the_first_of_its_certificates() {
    let root = authority("root");
    let mut params = authority_params("between");
    (params.not_before, params.not_after) = (date_time_ymd(2025, 12, 1), date_time_ymd(2026, 1, 11));
    let between = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap();
    let chain = [client(&between, "partner", &[]), between.der().clone()];
    let sets = [set(&root, None)];
    assert_eq!(subject(&sets, &chain).unwrap().expires, NOW + 10 * DAY);
    let later = Authorities::new(&sets).unwrap().subject(&chain, NOW + 11 * DAY);
    assert_eq!(later.unwrap_err(), Refusal::ChainExpired);
    // Without it nobody leads to the root.
    assert!(matches!(subject(&sets, &chain[..1]), Err(Refusal::Foreign { .. })));
}

#[test]
fn authorities_are_told_from_others_by_what_they_sign() {
    let (ours, other) = (authority("ours"), authority("other"));
    let digest = |sets: &[config::Authorities]| *Authorities::new(sets).unwrap().digest();
    let first = digest(&[set(&ours, None)]);
    assert_eq!(first, digest(&[set(&ours, None)]));
    for changed in [
        vec![set(&other, None)],
        vec![set(&ours, Some("cluster.local"))],
        vec![set(&ours, None), set(&other, None)],
    ] {
        assert_ne!(first, digest(&changed));
    }
    let broken = config::Authorities { ca: "-----".to_owned(), ..config::Authorities::default() };
    assert!(Authorities::new(&[broken]).is_err());
}
