//! What there is, as far as who asks may see it. Each part is seen or not by itself.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        coordination::v1::Lease,
        core::v1::{ConfigMap, Pod, Secret},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, Client, ResourceExt as _, api::ListParams, core::PartialObjectMeta};
use llm_crds::{Budget, LLMRoute, ProviderPool};

use super::{
    Seen,
    installation::{self, Installation},
    proxies::Listing,
    reach::{Admin, Asker},
    rights, told,
    webhooks::{self, Webhook},
};
use crate::{
    certificates::{BUNDLE, CONFIG_MAP},
    lease,
    observe::{ObjectName, Observed},
    sidecars::missing,
};

/// Where a replica lists its proxies.
const PROXIES: &str = "/debug/proxies";
/// Who runs the operator unless its pods say otherwise.
const ACCOUNT: &str = "llm-operator";

/// What `status` and `doctor` both look at.
#[derive(Debug)]
pub struct Facts {
    /// By the API server's clock.
    pub now: Timestamp,
    pub namespace: String,
    pub operator: Seen<Operator>,
    pub lease: Seen<Option<Held>>,
    pub listing: Listing,
    pub routes: Seen<Vec<LLMRoute>>,
    pub pools: Seen<Vec<ProviderPool>>,
    pub budgets: Seen<Vec<Budget>>,
    /// Pods that asked for a sidecar and have none.
    pub without_sidecar: Seen<Vec<ObjectName>>,
}

/// What only `doctor` looks at.
#[derive(Debug)]
pub struct Depths {
    pub definitions: Seen<Vec<CustomResourceDefinition>>,
    pub webhooks: Seen<Vec<Webhook>>,
    /// PEM of whom proxies trust.
    pub bundle: Seen<Option<String>>,
    /// The operator's ServiceAccount, and which rights it has not.
    pub account: ObjectName,
    pub missing_rights: Seen<Vec<String>>,
    /// Of the Secrets that pools and budgets name, those that are not there.
    pub absent_secrets: Seen<BTreeSet<ObjectName>>,
    /// Whether a namespace asks for sidecars.
    pub asked_for_sidecars: Seen<bool>,
    /// Whether the ledger is the chart's own Redis.
    pub trial_ledger: Seen<bool>,
}

/// The operator's pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operator {
    /// As its Deployment says; none where it has none.
    pub wanted: Option<i32>,
    pub ready: usize,
    pub pods: Vec<String>,
    pub account: Option<String>,
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Empty when it has been given back.
    pub holder: String,
    pub renewed: Option<Timestamp>,
    pub seconds: i32,
}

/// Who the operator's replicas are, and what they tell of proxies.
///
/// # Errors
/// Where it can't be known which pods to ask.
pub async fn listing(installation: Option<&Installation>, asker: &Asker, given: &[String]) -> Seen<Listing> {
    let admins: Vec<Admin> = match installation {
        Some(installation) if given.is_empty() => {
            installation.operators().await?.iter().filter_map(installation::admin).collect()
        }
        _ => given.iter().cloned().map(Admin::Url).collect(),
    };
    let told = asker.all(&admins, PROXIES).await;
    Ok(Listing::of(told.into_iter().map(|(admin, answer)| (admin.to_string(), answer))))
}

/// Looks.
pub async fn gather(installation: &Installation, asker: &Asker, operator_admins: &[String]) -> Facts {
    let Installation { client, namespace } = installation;
    let everything = ListParams::default();
    let leases = Api::<Lease>::namespaced(client.clone(), namespace);
    let routes = Api::<LLMRoute>::all(client.clone());
    let pools = Api::<ProviderPool>::all(client.clone());
    let budgets = Api::<Budget>::all(client.clone());
    let (now, operator, held, listing, routes, pools, budgets, without) = tokio::join!(
        now(client),
        operator(installation),
        leases.get_opt(lease::NAME),
        self::listing(Some(installation), asker, operator_admins),
        routes.list(&everything),
        pools.list(&everything),
        budgets.list(&everything),
        missing::look_once(client, namespace),
    );
    Facts {
        now,
        namespace: namespace.clone(),
        operator,
        lease: held.map(|lease| lease.and_then(held_by)).map_err(|error| told(&error)),
        // That its pods can't be listed is told of the operator.
        listing: listing.unwrap_or_default(),
        routes: routes.map(|list| list.items).map_err(|error| told(&error)),
        pools: pools.map(|list| list.items).map_err(|error| told(&error)),
        budgets: budgets.map(|list| list.items).map_err(|error| told(&error)),
        without_sidecar: without
            .map(|pods| pods.iter().map(ObjectName::of).collect())
            .map_err(|error| told(&error)),
    }
}

/// Looks deeper.
pub async fn deepen(installation: &Installation, facts: &Facts) -> Depths {
    let Installation { client, namespace } = installation;
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    let config_maps = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let everything = ListParams::default();
    let account = facts.operator.as_ref().ok().and_then(|operator| operator.account.clone());
    let account = ObjectName::new(namespace, account.unwrap_or_else(|| ACCOUNT.to_owned()));
    let pools = facts.pools.as_deref().unwrap_or_default();
    let budgets = facts.budgets.as_deref().unwrap_or_default();
    let observed = Observed {
        pools: pools.iter().cloned().map(Into::into).collect(),
        budgets: budgets.iter().cloned().map(Into::into).collect(),
        ..Observed::default()
    };
    let wanted: Vec<ObjectName> = observed.wanted_secrets().into_iter().collect();
    let (definitions, webhooks, bundle, absent, asked, trial_ledger) = tokio::join!(
        definitions.list(&everything),
        webhooks::registered(client),
        config_maps.get_opt(CONFIG_MAP),
        absent(client, &wanted),
        missing::asking_namespaces(client),
        installation.trial_ledger(),
    );
    let reviews = webhooks.as_ref().is_ok_and(|webhooks| !webhooks.is_empty());
    Depths {
        definitions: definitions.map(|list| list.items).map_err(|error| told(&error)),
        webhooks,
        bundle: bundle.map(|found| found?.data?.remove(BUNDLE)).map_err(|error| told(&error)),
        missing_rights: rights::missing(client, &account, reviews, &wanted).await,
        account,
        absent_secrets: absent,
        trial_ledger,
        asked_for_sidecars: asked.map(|asked| !asked.is_empty()).map_err(|error| told(&error)),
    }
}

async fn operator(installation: &Installation) -> Seen<Operator> {
    let (deployment, pods) = tokio::join!(installation.deployment(), installation.operators());
    let (deployment, pods) = (deployment?, pods?);
    let account = pods.iter().find_map(|pod: &Pod| pod.spec.as_ref()?.service_account_name.clone());
    Ok(Operator {
        wanted: deployment.and_then(|deployment| deployment.spec?.replicas),
        ready: pods.iter().filter(|pod| installation::is_ready(pod)).count(),
        pods: pods.iter().map(|pod| pod.name_any()).collect(),
        account,
    })
}

fn held_by(lease: Lease) -> Option<Held> {
    let spec = lease.spec?;
    Some(Held {
        holder: spec.holder_identity.unwrap_or_default(),
        renewed: spec.renew_time.map(|renewed| renewed.0),
        seconds: spec.lease_duration_seconds.unwrap_or_default(),
    })
}

/// Which of them are not there; their values are not read.
async fn absent(client: &Client, wanted: &[ObjectName]) -> Seen<BTreeSet<ObjectName>> {
    let mut absent = BTreeSet::new();
    for secret in wanted {
        let api = Api::<Secret>::namespaced(client.clone(), &secret.namespace);
        let found: Option<PartialObjectMeta<Secret>> =
            api.get_metadata_opt(&secret.name).await.map_err(|error| told(&error))?;
        if found.is_none() {
            absent.insert(secret.clone());
        }
    }
    Ok(absent)
}

/// The API server's time: that of who asks may be off, and then everything would look old.
async fn now(client: &Client) -> Timestamp {
    let request = http::Request::get("/version").body(kube::client::Body::empty());
    let answer = match request {
        Ok(request) => client.send(request).await.ok(),
        Err(_) => None,
    };
    let date = answer.as_ref().and_then(|answer| answer.headers().get(http::header::DATE)?.to_str().ok());
    let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    date.map_or_else(Timestamp::now, |date| date.timestamp())
}
