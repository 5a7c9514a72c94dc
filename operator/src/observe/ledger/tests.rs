//! What the file may say, and what is told of one that says something else.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::PathBuf;

use super::*;

/// A folder with these files, of which the first is read.
fn read_of(test: &str, files: &[(&str, &str)]) -> Result<Ledger, String> {
    let folder: PathBuf = std::env::temp_dir().join(format!("ledger-{test}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
    let found = read(&folder.join(files[0].0));
    fs::remove_dir_all(&folder).unwrap();
    found.map_err(|error| error.replace(&format!("{}/", folder.display()), ""))
}

#[test]
fn a_file_names_the_servers_and_who_signs_in() {
    let ca =
        crate::certificates::make_authority(jiff::Timestamp::now(), jiff::SignedDuration::from_hours(48));
    let text = "redis: {endpoints: ['a:26379', '[::1]:26379'], mode: Sentinel, username: llm, passwordFile: key, \
                sentinel: {master: main, password: watch}, database: 3, tls: {caFile: ca.crt}}";
    let ca = ca.unwrap().certificate;
    let ledger = read_of("whole", &[("ledger.yaml", text), ("key", "s3cret\n"), ("ca.crt", &ca)]).unwrap();
    let secret = |text: &str| Some(Credential::new(text.to_owned()));
    let expected = Redis {
        endpoints: vec!["a:26379".to_owned(), "[::1]:26379".to_owned()],
        mode: RedisMode::Sentinel { master: "main".to_owned(), username: None, password: secret("watch") },
        username: Some("llm".to_owned()),
        password: secret("s3cret"),
        database: 3,
        tls: Some(RedisTls { ca: Some(ca) }),
    };
    assert_eq!(ledger, Ledger::Redis(expected));
    let least = read_of("least", &[("ledger.yaml", "redis: {endpoints: ['redis:6379'], tls: {}}")]).unwrap();
    let expected = Redis {
        endpoints: vec!["redis:6379".to_owned()],
        tls: Some(RedisTls::default()),
        ..Redis::default()
    };
    assert_eq!(least, Ledger::Redis(expected));
}

#[test]
fn what_is_wrong_is_told_by_file_and_field() {
    for (i, (settings, wanted)) in [
        ("redis: {}", "missing field `endpoints`"),
        ("valkey: {}", "unknown field `valkey`"),
        ("redis: {endpoints: []}", "redis.endpoints: at least one is needed, such as redis:6379"),
        ("redis: {endpoints: [redis]}", "redis.endpoints: `redis` is none: give host and port"),
        ("redis: {endpoints: ['redis://a:1']}", "redis.endpoints: `redis://a:1` is none"),
        ("redis: {endpoints: ['a:0']}", "redis.endpoints: `a:0` is none"),
        ("redis: {endpoints: ['a:1'], pasword: x}", "unknown field `pasword`"),
        ("redis: {endpoints: ['a:1'], mode: sentinel}", "unknown variant `sentinel`"),
        ("redis: {endpoints: ['a:1'], mode: Sentinel}", "redis.sentinel: is needed with mode Sentinel"),
        ("redis: {endpoints: ['a:1'], sentinel: {master: m}}", "redis.sentinel: is for mode Sentinel"),
        (
            "redis: {endpoints: ['a:1'], mode: Sentinel, sentinel: {master: ''}}",
            "redis.sentinel.master: must not be empty",
        ),
        ("redis: {endpoints: ['a:1'], mode: Cluster, database: 1}", "redis.database: a cluster has but 0"),
        (
            "redis: {endpoints: ['a:1'], password: a, passwordFile: b}",
            "redis.password: give it, or passwordFile, not both",
        ),
        ("redis: {endpoints: ['a:1'], passwordFile: gone}", "redis.passwordFile: gone: No such file"),
        ("redis: {endpoints: ['a:1'], passwordFile: empty}", "redis.password: is empty"),
        ("redis: {endpoints: ['a:1'], username: llm}", "redis.username: `llm` needs passwordFile"),
        (
            "redis: {endpoints: ['a:1'], tls: {caFile: empty}}",
            "redis.tls.caFile: empty: holds no PEM certificate",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let told = read_of(&format!("wrong-{i}"), &[("ledger.yaml", settings), ("empty", "\n")]).unwrap_err();
        assert!(told.starts_with("ledger.yaml: ") && told.contains(wanted), "{settings}: {told}");
    }
}
