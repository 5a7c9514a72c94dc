//! What `kubectl get llmroutes` shows of the route that is followed, by a watch of it.

use std::time::Duration;

use futures::StreamExt as _;
use kube::{Api, runtime::watcher::watch_object};
use llm_bench::Outcome;
use llm_crds::LLMRoute;
use tokio::{sync::watch, time::timeout};

pub struct Shown(watch::Receiver<Option<LLMRoute>>);

impl Shown {
    pub fn follow(routes: Api<LLMRoute>, name: &str) -> Self {
        let (sender, shown) = watch::channel(None);
        let name = name.to_owned();
        tokio::spawn(async move {
            let mut events = std::pin::pin!(watch_object(routes, &name));
            while let Some(event) = events.next().await {
                if let Ok(route) = event {
                    sender.send_replace(route);
                }
            }
        });
        Self(shown)
    }

    /// Waits until the status speaks of that generation, or the one that there is, and says that so many proxies run it.
    pub async fn programmed(
        &mut self,
        generation: Option<i64>,
        proxies: u64,
        within: Duration,
    ) -> Outcome<()> {
        let wanted = format!("{proxies}/{proxies}");
        let reached = |route: &Option<LLMRoute>| {
            let Some(route) = route else { return false };
            let Some(status) = &route.status else { return false };
            status.observed_generation == generation.or(route.metadata.generation)
                && status.summary.as_ref().is_some_and(|summary| summary.programmed == wanted)
        };
        let waited = timeout(within, self.0.wait_for(reached)).await.map(|reached| reached.map(drop));
        let Ok(reached) = waited else {
            let status = self.0.borrow().as_ref().and_then(|route| route.status.clone());
            return Err(format!("the status does not say {wanted} within {within:?}: {status:?}").into());
        };
        Ok(reached?)
    }
}
