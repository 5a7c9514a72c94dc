//! What the operator has to be allowed: the chart's roles, right by right, to ask the API server about each.
//! A test holds the two together.

use futures::future::join_all;
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::{Api, Client, api::PostParams};

use super::{Seen, told};
use crate::{observe::ObjectName, webhook::registration};

/// Where a right is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// In all namespaces.
    Cluster,
    /// In the operator's own.
    Own,
    /// The same as `Cluster`, and only where the API server asks for reviews.
    Reviews,
    /// A path of the API server.
    Path,
}

/// A verb on a kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    pub scope: Scope,
    pub verb: &'static str,
    pub group: &'static str,
    /// With its subresource; of a path, that.
    pub resource: &'static str,
    /// The only object that it is needed for.
    pub name: Option<&'static str>,
}

const fn right(
    scope: Scope,
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    name: Option<&'static str>,
) -> Right {
    Right { scope, verb, group, resource, name }
}

const CA: Option<&str> = Some("llm-operator-ca");
const LEASE: Option<&str> = Some("llm-operator");
const INJECTOR: Option<&str> = Some(registration::INJECTOR);
const VALIDATOR: Option<&str> = Some(registration::VALIDATOR);
const ROUTES: Option<&str> = Some("llmroutes.llmgateway.dev");
const POOLS: Option<&str> = Some("providerpools.llmgateway.dev");
const BUDGETS: Option<&str> = Some("budgets.llmgateway.dev");
const DEFINITIONS: &str = "apiextensions.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

/// All but those for the Secrets that pools, budgets and gateways name.
pub const RIGHTS: &[Right] = &[
    right(Scope::Cluster, "list", "llmgateway.dev", "llmroutes", None),
    right(Scope::Cluster, "watch", "llmgateway.dev", "llmroutes", None),
    right(Scope::Cluster, "list", "llmgateway.dev", "providerpools", None),
    right(Scope::Cluster, "watch", "llmgateway.dev", "providerpools", None),
    right(Scope::Cluster, "get", "llmgateway.dev", "budgets", None),
    right(Scope::Cluster, "list", "llmgateway.dev", "budgets", None),
    right(Scope::Cluster, "watch", "llmgateway.dev", "budgets", None),
    right(Scope::Cluster, "patch", "llmgateway.dev", "llmroutes/status", None),
    right(Scope::Cluster, "patch", "llmgateway.dev", "providerpools/status", None),
    right(Scope::Cluster, "patch", "llmgateway.dev", "budgets/status", None),
    right(Scope::Cluster, "list", "", "namespaces", None),
    right(Scope::Cluster, "watch", "", "namespaces", None),
    right(Scope::Cluster, "list", DEFINITIONS, "customresourcedefinitions", ROUTES),
    right(Scope::Cluster, "watch", DEFINITIONS, "customresourcedefinitions", ROUTES),
    right(Scope::Cluster, "list", DEFINITIONS, "customresourcedefinitions", POOLS),
    right(Scope::Cluster, "watch", DEFINITIONS, "customresourcedefinitions", POOLS),
    right(Scope::Cluster, "list", DEFINITIONS, "customresourcedefinitions", BUDGETS),
    right(Scope::Cluster, "watch", DEFINITIONS, "customresourcedefinitions", BUDGETS),
    right(Scope::Cluster, "list", "", "pods", None),
    right(Scope::Cluster, "watch", "", "pods", None),
    right(Scope::Cluster, "create", "authentication.k8s.io", "tokenreviews", None),
    right(Scope::Cluster, "create", "events.k8s.io", "events", None),
    right(Scope::Cluster, "patch", "events.k8s.io", "events", None),
    right(Scope::Path, "get", "", "/.well-known/openid-configuration", None),
    right(Scope::Path, "get", "", "/openid/v1/jwks", None),
    right(Scope::Cluster, "list", "", "configmaps", CA),
    right(Scope::Cluster, "watch", "", "configmaps", CA),
    right(Scope::Cluster, "create", "", "configmaps", CA),
    right(Scope::Cluster, "patch", "", "configmaps", CA),
    right(Scope::Reviews, "list", ADMISSION, "mutatingwebhookconfigurations", INJECTOR),
    right(Scope::Reviews, "watch", ADMISSION, "mutatingwebhookconfigurations", INJECTOR),
    right(Scope::Reviews, "patch", ADMISSION, "mutatingwebhookconfigurations", INJECTOR),
    right(Scope::Reviews, "list", ADMISSION, "validatingwebhookconfigurations", VALIDATOR),
    right(Scope::Reviews, "watch", ADMISSION, "validatingwebhookconfigurations", VALIDATOR),
    right(Scope::Reviews, "patch", ADMISSION, "validatingwebhookconfigurations", VALIDATOR),
    right(Scope::Own, "create", "coordination.k8s.io", "leases", None),
    right(Scope::Own, "get", "coordination.k8s.io", "leases", LEASE),
    right(Scope::Own, "update", "coordination.k8s.io", "leases", LEASE),
    right(Scope::Own, "create", "", "secrets", None),
    right(Scope::Own, "list", "", "secrets", CA),
    right(Scope::Own, "watch", "", "secrets", CA),
    right(Scope::Own, "update", "", "secrets", CA),
    right(Scope::Own, "list", "", "configmaps", None),
    right(Scope::Own, "watch", "", "configmaps", None),
    right(Scope::Own, "create", "", "configmaps", None),
    right(Scope::Own, "patch", "", "configmaps", None),
    right(Scope::Own, "delete", "", "configmaps", None),
];

/// Those of [`RIGHTS`] that the ServiceAccount has not, and the Secrets that it may not watch, each in the
/// words of `kubectl auth can-i`.
pub async fn missing(
    client: &Client,
    account: &ObjectName,
    reviews: bool,
    secrets: &[ObjectName],
) -> Seen<Vec<String>> {
    // The Secrets first: a platform may have narrowed the right to them, and of many findings the last are only counted.
    let mut asked: Vec<(String, SubjectAccessReviewSpec)> = Vec::new();
    for secret in secrets {
        for verb in ["list", "watch"] {
            let attributes = attributes(verb, "", "secrets", Some(&secret.name), Some(&secret.namespace));
            asked.push((
                format!("{verb} secrets/{} -n {}", secret.name, secret.namespace),
                SubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() },
            ));
        }
    }
    let needed = RIGHTS.iter().filter(|right| reviews || right.scope != Scope::Reviews);
    asked.extend(needed.map(|right| right.of(&account.namespace)));
    let api = Api::<SubjectAccessReview>::all(client.clone());
    let reviews = asked.into_iter().map(async |(words, mut spec)| {
        spec.user = Some(format!("system:serviceaccount:{}:{}", account.namespace, account.name));
        spec.groups = Some(vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{}", account.namespace),
            "system:authenticated".to_owned(),
        ]);
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let reviewed = api.create(&PostParams::default(), &review).await?;
        Ok((words, reviewed.status.is_some_and(|status| status.allowed)))
    });
    let reviewed: Result<Vec<(String, bool)>, kube::Error> = join_all(reviews).await.into_iter().collect();
    let reviewed = reviewed.map_err(|error| told(&error))?;
    Ok(reviewed.into_iter().filter(|(_, allowed)| !allowed).map(|(words, _)| words).collect())
}

impl Right {
    fn of(&self, own: &str) -> (String, SubjectAccessReviewSpec) {
        let Self { scope, verb, group, resource, name } = *self;
        if scope == Scope::Path {
            let path = NonResourceAttributes { path: Some(resource.to_owned()), verb: Some(verb.to_owned()) };
            let spec = SubjectAccessReviewSpec { non_resource_attributes: Some(path), ..Default::default() };
            return (format!("{verb} {resource}"), spec);
        }
        let namespace = (scope == Scope::Own).then_some(own);
        let (kind, subresource) = resource.split_once('/').map_or((resource, None), |(k, s)| (k, Some(s)));
        let mut words = format!("{verb} {kind}");
        if !group.is_empty() {
            words += &format!(".{group}");
        }
        if let Some(name) = name {
            words += &format!("/{name}");
        }
        if let Some(subresource) = subresource {
            words += &format!(" --subresource {subresource}");
        }
        words += &namespace.map_or_else(|| " -A".to_owned(), |namespace| format!(" -n {namespace}"));
        let attributes = ResourceAttributes {
            subresource: subresource.map(str::to_owned),
            ..attributes(verb, group, kind, name, namespace)
        };
        (words, SubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() })
    }
}

fn attributes(
    verb: &str,
    group: &str,
    resource: &str,
    name: Option<&str>,
    namespace: Option<&str>,
) -> ResourceAttributes {
    ResourceAttributes {
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        name: name.map(str::to_owned),
        namespace: namespace.map(str::to_owned),
        ..ResourceAttributes::default()
    }
}
