//! A word on limits that more proxies share than there is to share.

use llm_crds::{ConditionType, LimitScope, Limits, ProviderPool, Verdict};

/// The verdicts of a pool whose limits so many proxies share.
pub fn warned(verdicts: &[Verdict], pool: &ProviderPool, proxies: usize) -> Vec<Verdict> {
    let mut verdicts = verdicts.to_vec();
    let accepted = verdicts.iter_mut().find(|v| v.condition == ConditionType::Accepted && v.status);
    if let Some(accepted) = accepted {
        for (i, provider) in pool.spec.providers.iter().enumerate() {
            for (limit, value) in provider.limits.as_ref().map(too_small(proxies)).into_iter().flatten() {
                accepted.message += &format!(
                    "; spec.providers[{i}].limits.{limit}: {value} for {proxies} proxies leaves {} of them nothing",
                    proxies - value
                );
            }
        }
    }
    verdicts
}

/// The limits that do not reach for so many.
fn too_small(proxies: usize) -> impl Fn(&Limits) -> Vec<(&'static str, usize)> {
    move |limits| {
        if limits.scope != Some(LimitScope::Cluster) {
            return Vec::new();
        }
        let given = [
            ("concurrentRequests", limits.concurrent_requests.map(i64::from)),
            ("requestsPerMinute", limits.requests_per_minute),
            ("tokensPerMinute", limits.tokens_per_minute),
        ];
        let given = given.into_iter().filter_map(|(name, limit)| Some((name, usize::try_from(limit?).ok()?)));
        given.filter(|(_, limit)| *limit < proxies).collect()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use llm_crds::Reason;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_limit_that_is_less_than_the_proxies_is_told_where_it_is_shared() {
        let provider = |name: &str, limits| json!({"name": name, "kind": "Simulated", "models": [{"name": "m"}], "limits": limits});
        let few = json!({"scope": "Cluster", "concurrentRequests": 2, "requestsPerMinute": 3});
        let providers = json!([provider("p", json!({"concurrentRequests": 1})), provider("q", few)]);
        let pool = json!({
            "apiVersion": "llmgateway.dev/v1alpha1", "kind": "ProviderPool", "metadata": {"name": "p"},
            "spec": {"providers": providers},
        });
        let pool: ProviderPool = serde_json::from_value(pool).unwrap();
        let verdict = |status| Verdict {
            condition: ConditionType::Accepted,
            status,
            reason: Reason::Accepted,
            message: "the spec is valid".to_owned(),
        };
        let told = |status, proxies| warned(&[verdict(status)], &pool, proxies).remove(0).message;
        assert_eq!(told(true, 2), "the spec is valid");
        assert_eq!(
            told(true, 3),
            "the spec is valid; spec.providers[1].limits.concurrentRequests: 2 for 3 proxies leaves 1 of them nothing"
        );
        assert_eq!(told(true, 4).matches("for 4 proxies").count(), 2);
        assert_eq!(told(false, 4), "the spec is valid");
    }
}
