//! A Budget to the limits that proxies hold calls to.
//!
//! What can't be resolved never sets calls free: a budget whose routes or pools are not there is in force without them.

use std::{collections::BTreeMap, sync::Arc};

use jiff::SignedDuration;
use llm_config::{
    self as config,
    budget::{self as compiled, Unit, Window},
};
use llm_crds::{
    AlertWebhook, Budget, BudgetEnforcement, BudgetLimit, BudgetScope, BudgetSpec, BudgetWindow, Dimension,
    Downgrade, ExceededAction, OnLedgerUnavailable, Reason, nano_usd, unit_interval_ppm,
};
use llm_ledger::window::{Calendar, CalendarError, Period};

use super::{
    BudgetOutcome, RouteOutcome, accepted,
    backend::{Findings, Pools, Referrer},
    fleet::Fleet,
    resolved,
    secret::Secrets,
    webhook,
};
use crate::observe::{LedgerSettings, ObjectName, Observed};

/// All that there are.
type Routes = BTreeMap<ObjectName, Arc<RouteOutcome>>;

/// Values of `per` that have limits of their own, where a manifest does not say.
const VALUES: u32 = 1_000;

pub fn compile(
    name: &ObjectName,
    budget: &Budget,
    observed: &Observed,
    pools: &Pools,
    routes: &Routes,
) -> (BudgetOutcome, Option<compiled::Budget>) {
    let spec = &budget.spec;
    let mut found = Findings::default();
    let referrer =
        Referrer { kind: "budgets", namespace: &name.namespace, namespaces: &observed.namespaces, pools };
    let within = within(name, observed);
    let made = compiled::Budget {
        uid: budget.metadata.uid.clone().unwrap_or_else(|| name.to_string()),
        scope: scope(name, spec.scope.as_ref(), within, routes, &mut found),
        per: spec.per.iter().copied().map(dimension).collect(),
        max_values: if spec.per.is_empty() { 0 } else { max_values(spec) },
        limits: limits(spec, &mut found),
        time_zone: spec.time_zone.clone(),
        enforcement: match spec.enforcement {
            BudgetEnforcement::Strict => compiled::Enforcement::Strict,
            BudgetEnforcement::Estimated => compiled::Enforcement::Estimated,
            BudgetEnforcement::Audit => compiled::Enforcement::Audit,
        },
        on_exceeded: on_exceeded(spec, &referrer, &mut found),
        on_ledger_unavailable: on_ledger_unavailable(spec),
    };
    if let Some(webhook) = &spec.alerts.webhook {
        check_webhook(webhook, &Secrets { namespace: &name.namespace, observed }, &mut found);
    }
    // Whatever the schema let through and the proxies would refuse is said here, to the one budget.
    found.invalid.extend(refused(name, &made, pools));
    let no_ledger = match observed.ledger {
        LedgerSettings::Absent => vec![
            "there is no ledger in which proxies could count together: give the operator one by --ledger (the chart's value `ledger`)"
                .to_owned(),
        ],
        LedgerSettings::Embedded | LedgerSettings::Shared(_) => Vec::new(),
    };
    let reason = if found.invalid.is_empty() { Reason::NoLedger } else { Reason::Invalid };
    let problems = [std::mem::take(&mut found.invalid), no_ledger].concat();
    let outcome = BudgetOutcome {
        verdicts: vec![
            accepted(reason, &problems),
            resolved(found.reason.unwrap_or(Reason::ResolvedRefs), &found.problems),
        ],
        ..BudgetOutcome::default()
    };
    (outcome, problems.is_empty().then_some(made))
}

/// The namespace whose calls alone it may count: who may write budgets there shall not refuse the calls of others.
fn within(name: &ObjectName, observed: &Observed) -> Option<String> {
    let home = observed.home.as_ref()?;
    (*home != name.namespace).then(|| name.namespace.clone())
}

/// Whether calls that it counts may come to these proxies.
pub fn counts_on(budget: &compiled::Budget, fleet: &Fleet) -> bool {
    let compiled::Scope { within, namespaces, .. } = &budget.scope;
    match fleet {
        Fleet::Gateway(_) => true,
        // Who calls at a sidecar is of its namespace, and so are its routes.
        Fleet::Sidecars { namespace, .. } => {
            within.as_ref().is_none_or(|within| within == namespace)
                && (namespaces.is_empty() || namespaces.contains(namespace))
        }
    }
}

fn scope(
    name: &ObjectName,
    given: Option<&BudgetScope>,
    within: Option<String>,
    known: &Routes,
    found: &mut Findings,
) -> compiled::Scope {
    let Some(given) = given else { return compiled::Scope { within, ..compiled::Scope::default() } };
    let BudgetScope { namespaces, service_accounts, routes, models, providers, metadata } = given;
    // It may count calls of its own namespace only, and none of those is meant.
    let own_routes_only = within.is_some() && !namespaces.is_empty() && !namespaces.contains(&name.namespace);
    let mut keys = Vec::new();
    for (i, route) in routes.iter().enumerate() {
        let namespace = route.namespace.as_ref().unwrap_or(&name.namespace);
        let route = ObjectName::new(namespace.clone(), route.name.clone());
        let path = format!("spec.scope.routes[{i}]");
        if own_routes_only && route.namespace != name.namespace {
            found.unresolved(
                Reason::RefNotPermitted,
                format!(
                    "{path}: of the calls through LLMRoute {route} this Budget may count those of namespace `{}` only, which is not in spec.scope.namespaces",
                    name.namespace
                ),
            );
        } else if !known.contains_key(&route) {
            found.unresolved(Reason::RouteNotFound, format!("{path}: there is no LLMRoute {route}"));
        }
        keys.push(route.to_string());
    }
    let said = metadata.iter().flat_map(|metadata| {
        [
            (compiled::Dimension::User, &metadata.user),
            (compiled::Dimension::Project, &metadata.project),
            (compiled::Dimension::Feature, &metadata.feature),
        ]
    });
    compiled::Scope {
        within,
        namespaces: namespaces.clone(),
        service_accounts: service_accounts.clone(),
        routes: keys,
        models: models.clone(),
        providers: providers.iter().map(|provider| full_provider(provider, &name.namespace)).collect(),
        metadata: said.filter_map(|(what, value)| Some((what, value.clone()?))).collect(),
    }
}

/// As `namespace/pool/provider`.
fn full_provider(pattern: &str, namespace: &str) -> String {
    match pattern.matches('/').count() {
        0 => format!("*/*/{pattern}"),
        1 => format!("{namespace}/{pattern}"),
        _ => pattern.to_owned(),
    }
}

fn dimension(dimension: Dimension) -> compiled::Dimension {
    match dimension {
        Dimension::User => compiled::Dimension::User,
        Dimension::Project => compiled::Dimension::Project,
        Dimension::Feature => compiled::Dimension::Feature,
        Dimension::Namespace => compiled::Dimension::Namespace,
        Dimension::ServiceAccount => compiled::Dimension::ServiceAccount,
        Dimension::Route => compiled::Dimension::Route,
    }
}

fn max_values(spec: &BudgetSpec) -> u32 {
    spec.max_values.and_then(|most| most.try_into().ok()).unwrap_or(VALUES)
}

/// Each unit of a limit is one of the proxies'.
fn limits(spec: &BudgetSpec, found: &mut Findings) -> Vec<compiled::Limit> {
    let mut limits = Vec::new();
    if let Err(CalendarError::UnknownZone(zone)) = Calendar::new(Period::Total, &spec.time_zone) {
        found.invalid(format!(
            "spec.timeZone: there is no time zone `{zone}`: give a name of the IANA database, such as Europe/Berlin"
        ));
    }
    for (i, limit) in spec.limits.iter().enumerate() {
        let BudgetLimit { window, duration, usd, tokens, requests } = limit;
        let path = format!("spec.limits[{i}]");
        let window = match (window, duration) {
            (BudgetWindow::Hourly, _) => Window::Hourly,
            (BudgetWindow::Daily, _) => Window::Daily,
            (BudgetWindow::Weekly, _) => Window::Weekly,
            (BudgetWindow::Monthly, _) => Window::Monthly,
            (BudgetWindow::Total, _) => Window::Total,
            (BudgetWindow::Custom, Some(duration)) => Window::Every(seconds(*duration)),
            (BudgetWindow::Rolling, Some(duration)) => Window::Rolling(seconds(*duration)),
            (BudgetWindow::Custom | BudgetWindow::Rolling, None) => {
                found.invalid(format!("{path}.duration: is needed with window {window:?}"));
                continue;
            }
        };
        let mut add = |unit, amount| limits.push(compiled::Limit { window, unit, amount });
        match usd.as_deref().map(nano_usd) {
            Some(Ok(amount)) => add(Unit::Usd, amount),
            Some(Err(error)) => found.invalid(format!("{path}.usd: {error}")),
            None => {}
        }
        for (unit, amount) in [(Unit::Tokens, tokens), (Unit::Requests, requests)] {
            if let Some(amount) = amount {
                add(unit, u64::try_from(*amount).unwrap_or_default());
            }
        }
    }
    limits
}

fn seconds(duration: kube::core::Duration) -> u64 {
    std::time::Duration::from(duration).as_secs()
}

fn on_exceeded(spec: &BudgetSpec, referrer: &Referrer<'_>, found: &mut Findings) -> compiled::OnExceeded {
    let Some(given) = &spec.on_exceeded else { return compiled::OnExceeded::Block };
    match (given.action, &given.downgrade) {
        (ExceededAction::Block, _) => compiled::OnExceeded::Block,
        (ExceededAction::Warn, _) => compiled::OnExceeded::Warn,
        (ExceededAction::Downgrade, None) => {
            found.invalid("spec.onExceeded.downgrade: is needed with action Downgrade".to_owned());
            compiled::OnExceeded::Block
        }
        (ExceededAction::Downgrade, Some(downgrade)) => self::downgrade(downgrade, referrer, found),
    }
}

fn downgrade(given: &Downgrade, referrer: &Referrer<'_>, found: &mut Findings) -> compiled::OnExceeded {
    let path = "spec.onExceeded.downgrade";
    let from_ppm = unit_interval_ppm(&given.from).unwrap_or_else(|error| {
        found.invalid(format!("{path}.from: {error}"));
        0
    });
    let mut backends = Vec::new();
    for (i, backend) in given.backends.iter().enumerate() {
        let path = format!("{path}.backends[{i}]");
        let mut here = Findings::default();
        if let Some((pool, models)) = referrer.backend(&path, &backend.pool, &backend.models, &mut here)
            && !here.fatal
        {
            // That callers get another model is what it is for.
            backends.push(config::Backend { pool: pool.to_string(), models, weight: 1, stands_in: true });
        }
        found.reason = found.reason.or(here.reason);
        found.problems.append(&mut here.problems);
    }
    if backends.is_empty() {
        found.problems.push(format!(
            "{path}: none of its backends can answer: until one can, calls are refused at the limit"
        ));
        compiled::OnExceeded::Block
    } else {
        compiled::OnExceeded::Downgrade { from_ppm, backends }
    }
}

fn on_ledger_unavailable(spec: &BudgetSpec) -> compiled::OnLedgerUnavailable {
    let warns = spec.on_exceeded.as_ref().is_some_and(|given| given.action == ExceededAction::Warn);
    match spec.on_ledger_unavailable {
        Some(OnLedgerUnavailable::Deny) => compiled::OnLedgerUnavailable::Deny,
        Some(OnLedgerUnavailable::Allow) => compiled::OnLedgerUnavailable::Allow,
        None if warns || spec.enforcement == BudgetEnforcement::Audit => compiled::OnLedgerUnavailable::Allow,
        None => compiled::OnLedgerUnavailable::Deny,
    }
}

/// The pools that are shipped with it.
pub fn pools(budget: &compiled::Budget) -> impl Iterator<Item = &str> {
    let backends = match &budget.on_exceeded {
        compiled::OnExceeded::Downgrade { backends, .. } => backends.as_slice(),
        compiled::OnExceeded::Block | compiled::OnExceeded::Warn => &[],
    };
    backends.iter().map(|backend| backend.pool.as_str())
}

fn check_webhook(given: &AlertWebhook, secrets: &Secrets<'_>, found: &mut Findings) {
    let AlertWebhook { url_secret_ref, signing_secret_ref } = given;
    let path = "spec.alerts.webhook";
    let mut text = |field: &str, reference| {
        let text = secrets.text(&format!("{path}.{field}"), reference);
        text.map_err(|(reason, problem)| found.unresolved(reason, problem)).ok()
    };
    let url = text("urlSecretRef", url_secret_ref);
    text("signingSecretRef", signing_secret_ref);
    if let Some(Err(why)) = url.as_deref().map(webhook::url) {
        let problem = format!(
            "{path}.urlSecretRef: key `{}` of Secret `{}` {why}",
            url_secret_ref.key, url_secret_ref.name
        );
        found.unresolved(Reason::InvalidSecret, problem);
    }
}

/// What the proxies' own check says of it.
fn refused(name: &ObjectName, budget: &compiled::Budget, offered: &Pools) -> Vec<String> {
    let pools = pools(budget).filter_map(|key| {
        let (namespace, pool) = key.split_once('/')?;
        let pool = offered.get(&ObjectName::new(namespace, pool))?.compiled.clone()?;
        Some((key.to_owned(), pool))
    });
    let alone = config::Document {
        pools: pools.collect(),
        budgets: BTreeMap::from([(name.to_string(), budget.clone())]),
        ..config::Document::default()
    };
    let prefix = format!("budgets[{name}].");
    // Of the pools their own status tells.
    let own = alone.check().into_iter().filter_map(|problem| {
        Some(format!("spec.{}: {}", problem.path.strip_prefix(&prefix)?, problem.message))
    });
    let windows = budget.limits.iter().enumerate().filter_map(|(i, limit)| {
        let (Window::Every(seconds) | Window::Rolling(seconds)) = limit.window else { return None };
        let length = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
        // A zone that is unknown is told already.
        (Calendar::new(Period::Every(length), "UTC") == Err(CalendarError::Length))
            .then(|| format!("spec.limits[{i}].window: is too short or too long"))
    });
    own.chain(windows).collect()
}
