//! All proxies: started together, asked how far they are, and what they cost on the wire.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use llm_bench::Outcome;
use tokio::task::JoinSet;

use crate::proxy::{Identity, Progress, Proxy, Shared};

const LOOK: Duration = Duration::from_millis(5);

pub struct Fleet {
    pub proxies: Vec<Arc<Proxy>>,
    shared: Arc<Shared>,
    following: JoinSet<Infallible>,
}

/// What each proxy has moved: the medians of the gateway's, in bytes, from the operator and to it.
#[derive(Clone, Copy, Debug)]
pub struct Moved {
    pub received: u64,
    pub sent: u64,
}

/// Bytes at one moment, to tell what comes after it.
pub struct Mark(Vec<[u64; 2]>);

impl Fleet {
    pub fn new(identities: Vec<Identity>, shared: Shared) -> Self {
        let shared = Arc::new(shared);
        let proxies =
            identities.into_iter().map(|identity| Arc::new(Proxy::new(identity, shared.clone()))).collect();
        Self { proxies, shared, following: JoinSet::new() }
    }

    /// Lets all of them connect.
    pub fn start(&mut self) {
        self.start_some(|_| true);
    }

    /// Lets the first of the gateway connect, and then all others, who hold from the beginning what it was sent.
    pub async fn start_holding(&mut self, within: Duration) -> Outcome<()> {
        let first = self.proxies.iter().find(|proxy| !proxy.is_sidecar()).ok_or("there is no proxy")?.clone();
        let is_first = |proxy: &Arc<Proxy>| Arc::ptr_eq(proxy, &first);
        self.start_some(is_first);
        let when = |_: usize, progress: &Progress| progress.attached_at;
        self.reached(|proxy| std::ptr::eq(proxy, first.as_ref()), when, within).await?;
        let holds = first.progress().holds.clone();
        for proxy in self.proxies.iter().filter(|proxy| !proxy.is_sidecar()) {
            proxy.progress().holds = holds.clone();
        }
        self.start_some(|proxy| !is_first(proxy));
        Ok(())
    }

    fn start_some(&mut self, which: impl Fn(&Arc<Proxy>) -> bool) {
        for proxy in self.proxies.iter().filter(|proxy| which(proxy)) {
            self.following.spawn(proxy.clone().follow());
        }
    }

    /// Takes from all what they hold, as if they were new.
    pub fn forget(&self) {
        for proxy in &self.proxies {
            proxy.progress().holds = self.shared.steps.nothing.clone();
        }
        self.shared.steps.forget();
    }

    /// Connections that each has had, to wait for one more.
    pub fn attached(&self) -> Vec<u64> {
        self.proxies.iter().map(|proxy| proxy.progress().attached).collect()
    }

    /// Connections that were tried, by all.
    pub fn attempts(&self) -> u64 {
        self.proxies.iter().map(|proxy| proxy.progress().attempts).sum()
    }

    /// Waits until each has acknowledged on a connection after those of `before`, and tells when each did.
    pub async fn attached_after(&self, before: &[u64], within: Duration) -> Outcome<Vec<Instant>> {
        let when = |i: usize, progress: &Progress| {
            progress.attached_at.filter(|_| before.get(i).is_some_and(|old| progress.attached > *old))
        };
        self.reached(|_| true, when, within).await
    }

    /// Waits until all of the gateway's proxies run on a revision of the route, and tells when each did.
    pub async fn revised(&self, revision: u64, within: Duration) -> Outcome<Vec<Instant>> {
        let when = |_: usize, progress: &Progress| {
            progress.revised_at.filter(|_| progress.revision == Some(revision))
        };
        self.reached(|proxy| !proxy.is_sidecar(), when, within).await
    }

    async fn reached(
        &self,
        of: impl Fn(&Proxy) -> bool,
        when: impl Fn(usize, &Progress) -> Option<Instant>,
        within: Duration,
    ) -> Outcome<Vec<Instant>> {
        let begun = Instant::now();
        loop {
            let mut late = None;
            let mut reached = Vec::new();
            let mut missing = 0;
            for (i, proxy) in self.proxies.iter().enumerate().filter(|(_, proxy)| of(proxy)) {
                let progress = proxy.progress();
                match when(i, &progress) {
                    Some(at) => reached.push(at),
                    None => {
                        missing += 1;
                        late = late.or_else(|| progress.trouble.clone());
                    }
                }
            }
            if missing == 0 {
                return Ok(reached);
            }
            if begun.elapsed() > within {
                let trouble = late.unwrap_or_else(|| "no connection broke".to_owned());
                return Err(format!("{missing} proxies are not there within {within:?}: {trouble}").into());
            }
            // The times are the proxies' own: how often they are looked at adds nothing.
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What the gateway's proxies have moved until now.
    pub fn mark(&self) -> Mark {
        Mark(self.proxies.iter().filter(|proxy| !proxy.is_sidecar()).map(|proxy| proxy.moved()).collect())
    }

    /// The medians of what each has moved since.
    pub fn moved_since(&self, mark: &Mark) -> Moved {
        let since = |which: usize| {
            let now = self.mark().0;
            let moved = now.iter().zip(&mark.0).map(|(now, then)| now[which] - then[which]);
            quantile(&mut moved.collect::<Vec<u64>>(), 0.5)
        };
        Moved { received: since(0), sent: since(1) }
    }
}

/// A quantile of figures that may be far apart: one of them.
pub fn quantile<T: Copy + PartialOrd + Default>(figures: &mut [T], share: f64) -> T {
    figures.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a list"
    )]
    let place = (share * (figures.len().saturating_sub(1)) as f64).ceil() as usize;
    figures.get(place).copied().unwrap_or_default()
}
