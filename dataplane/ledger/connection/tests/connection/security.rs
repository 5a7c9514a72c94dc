//! TLS by an authority of one's own, and a user who may do what the ledger needs and nothing else.

use std::fs;
use std::time::Duration;

use llm_config::{
    Credential,
    budget::{Redis, RedisTls},
};
use llm_ledger::Epoch;
use llm_ledger::account::{Answer, Beginning, Left, Short, Values};
use llm_ledger_connection::{Connection, Kind, RIGHTS};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::account::{EPOCH, KEPT, LIMIT, begin, fails, granted, place, refuses, says};
use crate::ports::free_port;
use crate::server::{Server, WITHIN, folder};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(parameters, key), pem }
    }

    /// A server that shows a certificate of this authority for `name`.
    fn server(&self, name: &str) -> Server {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let folder = folder();
        let written = |file: &str, text: String| {
            fs::write(folder.join(file), text).unwrap();
            file.to_owned()
        };
        let (certificate, key) =
            (written("tls.crt", certificate.pem()), written("tls.key", key.serialize_pem()));
        let port = free_port();
        Server::within(
            folder.clone(),
            port,
            &[
                "--port",
                "0",
                "--bind",
                "127.0.0.1",
                "--tls-port",
                &port.to_string(),
                "--tls-cert-file",
                &certificate,
                "--tls-key-file",
                &key,
                "--tls-auth-clients",
                "no",
            ],
        )
    }
}

fn by_tls(server: &Server, ca: Option<String>) -> Redis {
    Redis { tls: Some(RedisTls { ca }), ..server.settings() }
}

#[tokio::test]
async fn a_server_is_believed_by_the_authority_that_is_named_and_by_its_name() {
    let (ours, another) = (Authority::new("ours"), Authority::new("another"));
    let server = ours.server("127.0.0.1");
    let ledger = Connection::redis(&by_tls(&server, Some(ours.pem.clone()))).unwrap();
    begin(&ledger, &place("a"), LIMIT).await;
    let answer = ledger.with_timeout(WITHIN).state(&place("a"), &says(1, 1, (0, 0), 10)).await;
    assert_eq!(granted(&answer), 10);

    let wrong_name = ours.server("redis.example");
    for (settings, asked) in [
        (by_tls(&server, Some(another.pem)), "TLS: invalid peer certificate: UnknownIssuer"),
        (by_tls(&server, None), "TLS: invalid peer certificate: UnknownIssuer"),
        (
            by_tls(&wrong_name, Some(ours.pem.clone())),
            "TLS: invalid peer certificate: certificate not valid for name",
        ),
    ] {
        let ledger = Connection::redis(&settings).unwrap();
        let why = refuses(&ledger, &place("a"), "TLS").await;
        assert!(why.to_string().contains(asked), "{why}");
    }
    // Without TLS to a server that has nothing else, and by TLS to one that has none.
    let ledger = Connection::redis(&server.settings()).unwrap();
    fails(&ledger, &place("a"), Kind::Disconnected).await;
    let plain = Server::start(&[]);
    let ledger = Connection::redis(&by_tls(&plain, Some(ours.pem))).unwrap();
    refuses(
        &ledger,
        &place("a"),
        "did not finish the TLS handshake within 1000 ms: does it speak TLS there?",
    )
    .await;
}

fn user(server: &Server, rights: &[&str]) -> Redis {
    let rule = [&["ACL", "SETUSER", "llm", "reset", "on", ">secret"], rights].concat();
    server.ask::<()>(&rule);
    Redis {
        username: Some("llm".to_owned()),
        password: Some(Credential::new("secret".to_owned())),
        ..server.settings()
    }
}

/// Does all that there is to do. Gives the first refusal.
async fn does_all(ledger: &Connection, budget: &str, recalled: Duration) -> Result<(), String> {
    let (mut place, said) = (place(budget), |why: llm_ledger_connection::Unanswered| why.to_string());
    // A rolling limit needs all that others do, and more.
    (place.limit, place.start) = ("rolling60-usd".parse().unwrap(), 0);
    let value = place.of(&"ann".into());
    let opened_at = ledger.open(&place, EPOCH, KEPT).await.map_err(said)?.unwrap();
    let own = crate::account::beginning(opened_at, LIMIT);
    let values = Some(Values { ceiling: 0, gone: 0, most: 1 });
    let beginning = Beginning { values, ..own };
    ledger.begin(&value, &own, KEPT).await.map_err(said)?;
    ledger.begin(&place, &beginning, KEPT).await.map_err(said)?;
    ledger.secure(&place, &crate::account::checkpoint(LIMIT)).await.map_err(said)?;
    ledger.state(&place, &says(1, 1, (0, 0), LIMIT)).await.map_err(said)?;
    let mut heard = ledger.recalls();
    // Recalled, and recalled no more; and a value short of its ceiling, and not.
    let answer = ledger.state(&place, &says(2, 1, (0, 0), 10)).await.map_err(said)?;
    let short = |answer: &Answer, asked| matches!(answer, Answer::Granted { left: Left { short: Some(short), .. }, .. } if *short == asked);
    assert!(short(&answer, Short::Held), "{answer:?}");
    tokio::time::timeout(recalled, heard.recv()).await.map_err(|_| "no recall")?.unwrap();
    ledger.state(&place, &says(1, 2, (0, 0), 0)).await.map_err(said)?;
    ledger.state(&place, &says(2, 2, (0, 0), 0)).await.map_err(said)?;
    let another = place.of(&"bob".into());
    let answer = ledger.state(&another, &says(1, 1, (0, 0), 10)).await.map_err(said)?;
    assert!(answer == Answer::Full, "{answer:?}");
    let answer = ledger.state(&value, &says(1, 1, (0, 0), 10)).await.map_err(said)?;
    assert!(short(&answer, Short::Ceiling), "{answer:?}");
    ledger.secure(&value, &crate::account::checkpoint(LIMIT)).await.map_err(said)?;
    let answer = ledger.state(&value, &says(1, 2, (0, 5), 10)).await.map_err(said)?;
    assert!(matches!(answer, Answer::Granted { amount: 10, .. }), "{answer:?}");
    ledger.totals(std::slice::from_ref(&place)).await.remove(0).map_err(said)?;
    ledger.values(&place, 1).await.map_err(said)?;
    // Begun anew, with what is gone already.
    let epoch = Epoch(EPOCH.0 + 1);
    let opened_at = ledger.open(&place, epoch, KEPT).await.map_err(said)?.unwrap();
    ledger.begin(&place, &Beginning { epoch, opened_at, ..beginning }, KEPT).await.map_err(said)?;
    Ok(())
}

#[tokio::test]
async fn a_user_with_the_rights_that_are_named_can_do_all_and_none_of_them_is_too_many() {
    let server = Server::start(&[]);
    let rights: Vec<&str> = RIGHTS.split(' ').collect();
    let ledger = Connection::redis(&user(&server, &rights)).unwrap().with_timeout(WITHIN);
    assert_eq!(does_all(&ledger, "a", WITHIN).await, Ok(()));
    drop(ledger);

    for (number, missing) in rights.iter().enumerate().filter(|(_, right)| right.starts_with('+')) {
        let fewer: Vec<_> = rights.iter().filter(|right| *right != missing).copied().collect();
        server.ask::<()>(&["SCRIPT", "FLUSH"]);
        let ledger = Connection::redis(&user(&server, &fewer)).unwrap().with_timeout(WITHIN / 10);
        let refused = does_all(&ledger, &format!("b{number}"), WITHIN / 10).await.unwrap_err();
        if *missing == "+psubscribe" || *missing == "+publish" {
            assert_eq!(refused, "no recall");
            continue;
        }
        assert!(refused.ends_with(&format!("ACL SETUSER NAME {RIGHTS}")), "{missing}: {refused}");
    }
}

#[test]
fn the_rights_that_are_tested_are_those_that_people_read_of() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../");
    for file in ["README.md", "dataplane/ledger/connection/src/lib.rs"] {
        let text = fs::read_to_string(format!("{root}{file}")).unwrap();
        assert!(text.contains(&format!("ACL SETUSER llm on >PASSWORD {RIGHTS}\n")), "{file}: {RIGHTS}");
    }
}

#[tokio::test]
async fn who_has_too_few_rights_is_told_those_that_are_needed() {
    let server = Server::start(&[]);
    let ledger = Connection::redis(&user(&server, &["~*", "+@connection"])).unwrap();
    let why = refuses(&ledger, &place("a"), "NOPERM").await.to_string();
    let advice = format!(": give the user of ledger.redis.username its rights: ACL SETUSER NAME {RIGHTS}");
    assert!(why.ends_with(&advice), "{why}");
}
