//! The operator's replicas, who leads them, and the proxies that hang on them.

use super::{Check, Findings, number};
use crate::{
    publish::attached::{listing::State, versions::Kind},
    survey::{
        facts::{Facts, Held, Operator},
        proxies::Listed,
    },
};

/// A proxy that has not answered for so long is behind; updates take milliseconds.
const LAGGING_SECONDS: i64 = 10;
/// The clock of the API server has seconds, and a Lease is renewed several times while it lasts.
const LEASE_SLACK_SECONDS: i64 = 5;

pub fn operator(facts: &Facts) -> Check {
    let mut found = Findings::of("operator");
    let namespace = &facts.namespace;
    let replicas = facts.listing.replicas.len();
    let pods = found.seen("the operator's pods", &facts.operator).cloned();
    let logs = format!("kubectl -n {namespace} logs deployment/llm-operator --all-pods");
    match &pods {
        // One that runs elsewhere, beside a kubeconfig, has no pods and leads all the same.
        Some(Operator { wanted: None, pods, .. }) if pods.is_empty() && replicas == 0 && is_led(facts) => {
            found.warning(
                format!("an operator leads, but none has a pod in namespace {namespace}: its proxies are not known"),
                "say where its admin port is, by --operator-admin URL",
            );
        }
        Some(Operator { wanted: None, pods, .. }) if pods.is_empty() && replicas == 0 => found.error(
            format!("there is no operator in namespace {namespace}"),
            format!("helm install llm-gateway charts/llm-gateway -n {namespace} --create-namespace, or say by -n where it is"),
        ),
        Some(Operator { wanted: Some(wanted), ready, .. }) if *ready == 0 && *wanted > 0 => {
            found.error("no replica of the operator is ready: nothing that is applied comes into force", &logs);
        }
        Some(Operator { wanted: Some(0), .. }) => found.error(
            "the operator is scaled to 0: nothing that is applied comes into force",
            format!("kubectl -n {namespace} scale deployment/llm-operator --replicas=2"),
        ),
        Some(Operator { wanted: Some(wanted), ready, .. })
            if i64::try_from(*ready).unwrap_or(i64::MAX) < i64::from(*wanted) =>
        {
            found.warning(format!("{ready} of {wanted} replicas of the operator are ready"), &logs);
        }
        _ => {}
    }
    for unreachable in &facts.listing.unreachable {
        found.warning(
            format!("operator {} can't be asked for its proxies: {}", unreachable.admin, unreachable.reason),
            format!("kubectl -n {namespace} get pods -l app.kubernetes.io/component=operator -o wide"),
        );
    }
    match found.seen("the Lease", &facts.lease).map(Option::as_ref) {
        Some(Some(held)) => lease(held, facts, &logs, &mut found),
        Some(None) => {
            found.error("nobody leads: there is no Lease llm-operator, and status is not written", &logs);
        }
        None => {}
    }
    found.done(|| {
        let shown = pods.as_ref().map_or(replicas, |pods| pods.ready.max(replicas));
        let leader = facts.lease.as_ref().ok().and_then(|lease| Some(lease.as_ref()?.holder.clone()));
        format!("{}, led by {}", number(shown, "replica", "replicas"), leader.unwrap_or_default())
    })
}

/// For how many seconds the Lease has not been renewed though it should have been.
fn overdue(held: &Held, facts: &Facts) -> Option<i64> {
    let age = held.renewed.map(|renewed| facts.now.duration_since(renewed).as_secs());
    age.filter(|age| *age > i64::from(held.seconds) + LEASE_SLACK_SECONDS)
}

fn is_led(facts: &Facts) -> bool {
    let held = facts.lease.as_ref().ok().and_then(Option::as_ref);
    held.is_some_and(|held| !held.holder.is_empty() && overdue(held, facts).is_none())
}

fn lease(held: &Held, facts: &Facts, logs: &str, found: &mut Findings) {
    if held.holder.is_empty() {
        found.error("nobody leads: status is not written and certificates are not rotated", logs);
        return;
    }
    if let Some(age) = overdue(held, facts) {
        found.error(
            format!("{} has not renewed the Lease for {age} s: status is not written", held.holder),
            logs,
        );
    }
}

pub fn proxies(facts: &Facts) -> Check {
    let mut found = Findings::of("proxies");
    let counts = facts.listing.counts();
    for Listed { proxy, operator_version, .. } in &facts.listing.proxies {
        let who = format!("{} {}", proxy.kind.as_str(), proxy.name);
        match &proxy.state {
            State::InForce => {}
            State::Refused { problems } => found.error(
                format!("{who} refuses its configuration and keeps the last: {}", problems.join("; ")),
                format!("mend what it names; see what it runs on by `kubectl llm config {}`", proxy.name),
            ),
            State::Lagging { since } => {
                let lag = facts.now.duration_since(since.0).as_secs();
                if lag >= LAGGING_SECONDS {
                    found.warning(
                        format!(
                            "{who} has not taken what is published since {lag} s, and holds {} of {} sections",
                            proxy.sections.held, proxy.sections.wanted
                        ),
                        anew(proxy.kind, &proxy.name, &facts.namespace),
                    );
                }
            }
        }
        if let Some(operator) = operator_version {
            found.warning(
                format!("{who} is version {}, and its operator {operator}", proxy.version),
                anew(proxy.kind, &proxy.name, &facts.namespace),
            );
        }
    }
    if counts.proxies == 0 && !facts.listing.replicas.is_empty() {
        found.warning(
            "no proxy is attached: nobody serves what is applied",
            format!("kubectl -n {} get pods -l app.kubernetes.io/component=gateway", facts.namespace),
        );
    }
    if facts.listing.replicas.is_empty() {
        found.warning("not looked at, for no operator answers", "mend the operator first, as said above");
    }
    found.done(|| {
        let attached = number(counts.proxies, "proxy is attached", "proxies are attached");
        format!("{attached}, version {}", counts.shown_versions())
    })
}

/// How a pod is made anew.
fn anew(kind: Kind, name: &str, namespace: &str) -> String {
    let (namespace, pod) = name.split_once('/').unwrap_or((namespace, name));
    match kind {
        Kind::Gateway => {
            format!(
                "kubectl -n {namespace} rollout restart deployment -l app.kubernetes.io/component=gateway"
            )
        }
        Kind::Sidecar => format!("kubectl -n {namespace} delete pod {pod}   # its controller makes it anew"),
    }
}
