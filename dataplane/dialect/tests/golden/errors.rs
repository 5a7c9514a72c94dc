//! What becomes of errors: the bodies that the vendors document for each status, and the gateway's own
//! faults, in the words of each dialect.

use std::{fs, path::PathBuf};

use llm_dialect::{Dialect, Fault, FaultKind};

use super::{
    cases::{CALLERS, folder},
    expected::Expected,
    text::pretty,
};

#[test]
fn every_error_is_told_in_every_dialect() {
    let mut expected = Expected::default();
    for provider in Dialect::ALL {
        let mut shown = String::new();
        for (name, body) in bodies(provider) {
            let status: u16 = name[..3].parse().unwrap();
            let fault = provider.read_error(status, &body);
            let Fault { kind, code, param, retry_after, .. } = &fault;
            shown.push_str(&format!(
                "# {name}\n\n{kind:?}, code {code:?}, field {param:?}, again after {retry_after:?}\n\n"
            ));
            shown.push_str(&told(&fault, Some((provider, &body))));
        }
        expected.is(&format!("errors/{}.txt", provider.as_str()), &shown);
    }
    expected.is("errors/gateway.txt", &own());
    expected.done();
}

fn bodies(provider: Dialect) -> Vec<(String, Vec<u8>)> {
    let folder = folder().join("replies/errors").join(provider.as_str());
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|file| (file.file_stem().unwrap().to_string_lossy().into_owned(), fs::read(&file).unwrap()))
        .collect()
}

/// The gateway's own, of each kind.
fn own() -> String {
    let kinds = [
        FaultKind::InvalidRequest,
        FaultKind::Authentication,
        FaultKind::Billing,
        FaultKind::Permission,
        FaultKind::NotFound,
        FaultKind::TooLarge,
        FaultKind::RateLimit,
        FaultKind::Timeout,
        FaultKind::Overloaded,
        FaultKind::Server,
    ];
    let mut shown = String::new();
    for kind in kinds {
        let fault = Fault {
            kind,
            status: kind.status(),
            message: "What is wrong.".to_owned(),
            code: None,
            param: (kind == FaultKind::InvalidRequest).then(|| "n".to_owned()),
            retry_after: (kind == FaultKind::RateLimit).then_some(7),
        };
        shown.push_str(&format!("# {kind:?}\n\n"));
        shown.push_str(&told(&fault, None));
        shown.push_str("As the last of a stream:\n\n");
        for caller in CALLERS {
            let event = caller.caller().error_event(&fault);
            shown.push_str(&format!("{}\n{}\n", caller.name, String::from_utf8(event.to_vec()).unwrap()));
        }
    }
    shown
}

/// In each dialect; in its own the bytes pass where they are what its SDKs can read.
fn told(fault: &Fault, from: Option<(Dialect, &[u8])>) -> String {
    let mut shown = String::new();
    for dialect in Dialect::ALL {
        let own = from.filter(|(provider, _)| *provider == dialect);
        if own.is_some_and(|(_, body)| dialect.is_error_body(body)) {
            shown.push_str(&format!("To {}: as it came\n", dialect.as_str()));
            continue;
        }
        let status = if own.is_some() { fault.status } else { fault.common_status() };
        let body = dialect.error_body(fault);
        assert!(dialect.is_error_body(&body), "its own SDKs can read it");
        shown.push_str(&format!("To {}: {status}\n{}", dialect.as_str(), pretty(&body)));
    }
    shown.push('\n');
    shown
}
