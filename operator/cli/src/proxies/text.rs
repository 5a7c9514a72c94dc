//! Connected proxies for a person: one line each, the reason where one is not in force, and a sum.

use std::time::SystemTime;

use llm_operator::{
    publish::attached::{listing::State, versions::Kind},
    survey::proxies::{Listed, Listing},
};

use crate::{age::since, table::Table};

pub fn text(listing: &Listing, now: SystemTime) -> String {
    let mut table = Table::new(&[
        "NAME",
        "KIND",
        "FLEET",
        "VERSION",
        "STATE",
        "SECTIONS",
        "CONNECTED",
        "OPERATOR",
        "REASON",
    ]);
    for listed in &listing.proxies {
        table.row(row(listed, now));
    }
    format!("{}\n{}\n", table.text(), sum(listing))
}

fn row(listed: &Listed, now: SystemTime) -> Vec<String> {
    let Listed { proxy, replica, operator_version } = listed;
    let (state, reason) = match &proxy.state {
        State::InForce => ("in force".to_owned(), String::new()),
        State::Lagging { since: published } => {
            (format!("lagging {}", since(published.0, now)), String::new())
        }
        State::Refused { problems } => ("refused".to_owned(), problems.join("; ")),
    };
    vec![
        proxy.name.clone(),
        proxy.kind.as_str().to_owned(),
        proxy.fleet.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
        match operator_version {
            Some(operator) => format!("{} (operator {operator})", proxy.version),
            None => proxy.version.clone(),
        },
        state,
        format!("{}/{}", proxy.sections.held, proxy.sections.wanted),
        since(proxy.attached_since.0, now),
        replica.clone(),
        reason,
    ]
}

fn sum(listing: &Listing) -> String {
    let counts = listing.counts();
    let gateways = listing.proxies.iter().filter(|listed| listed.proxy.kind == Kind::Gateway).count();
    let sidecars = match counts.proxies - gateways {
        1 => "1 sidecar".to_owned(),
        sidecars => format!("{sidecars} sidecars"),
    };
    let mut sum = format!(
        "{} connected ({gateways} of gateways, {sidecars}): {} in force, {} lagging, {} refusing; ",
        counts.proxies, counts.in_force, counts.lagging, counts.refusing
    );
    sum += &match counts.other_versions {
        0 => "all of their operator's version".to_owned(),
        others => format!("{others} of another version than their operator: restart their pods"),
    };
    if listing.omitted > 0 {
        sum += &format!("; {} more are not listed", listing.omitted);
    }
    sum
}
