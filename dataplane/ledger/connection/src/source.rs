//! Where the server that counts is: the one that is named, the master that sentinels name, or a member of a cluster.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use redis::{RedisResult, cmd};

use crate::{
    Kind, Unanswered,
    dial::{Dialer, Login, RECALLS, Wire, step},
    endpoint::Endpoint,
};

pub(crate) enum Target {
    /// A master.
    Server(Endpoint),
    Sentinels {
        sentinels: Vec<Endpoint>,
        master: String,
        login: Login,
        /// The one that knew last time is asked first.
        first: AtomicUsize,
    },
    /// Of a cluster; a replica says who the master is.
    Member(Endpoint),
}

impl Target {
    pub(crate) fn sentinels(sentinels: Vec<Endpoint>, master: String, login: Login) -> Self {
        Self::Sentinels { sentinels, master, login, first: AtomicUsize::new(0) }
    }
}

/// A server, and how to reach it.
pub(crate) struct Source {
    pub target: Target,
    pub dialer: Dialer,
    pub login: Login,
}

impl Source {
    /// What to call it as long as it has not been found.
    pub(crate) fn name(&self) -> Arc<str> {
        match &self.target {
            Target::Server(endpoint) | Target::Member(endpoint) => endpoint.to_string().into(),
            Target::Sentinels { sentinels, master, .. } => {
                let sentinels: Vec<_> = sentinels.iter().map(ToString::to_string).collect();
                format!("{master} of {}", sentinels.join(",")).into()
            }
        }
    }

    /// Connects, and listens for recalls.
    pub(crate) async fn reach(&self) -> Result<(Endpoint, Wire), Unanswered> {
        match &self.target {
            Target::Server(endpoint) | Target::Member(endpoint) => {
                Ok((endpoint.clone(), self.open(endpoint).await?))
            }
            Target::Sentinels { sentinels, master, login, first } => {
                let mut whys = Vec::new();
                let begin = first.load(Relaxed);
                for index in (begin..begin + sentinels.len()).map(|index| index % sentinels.len()) {
                    let reached = async {
                        let endpoint = self.master(&sentinels[index], master, login).await?;
                        let wire = self.open(&endpoint).await?;
                        Ok((endpoint, wire))
                    };
                    match reached.await {
                        Ok(reached) => {
                            first.store(index, Relaxed);
                            return Ok(reached);
                        }
                        Err(why) => whys.push(why),
                    }
                }
                Err(Unanswered::all(&self.name(), &whys))
            }
        }
    }

    async fn master(&self, sentinel: &Endpoint, name: &str, login: &Login) -> Result<Endpoint, Unanswered> {
        let mut wire = self.dialer.dial(sentinel, login).await?;
        let mut asked = cmd("SENTINEL");
        asked.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let mut connection = wire.connection.clone();
        let address: Option<(String, u16)> =
            wire.asked(sentinel, login.fields, asked.query_async(&mut connection)).await?;
        let unknown = || {
            let why =
                format!("it knows no master {name:?}: set ledger.redis.mode.sentinel.master to one it has");
            Unanswered::of(Kind::Refused, &sentinel.to_string(), &why)
        };
        address.map(|(host, port)| Endpoint { host, port }).ok_or_else(unknown)
    }

    async fn open(&self, endpoint: &Endpoint) -> Result<Wire, Unanswered> {
        let mut wire = self.dialer.dial(endpoint, &self.login).await?;
        let mut connection = wire.connection.clone();
        wire.asked(endpoint, self.login.fields, self.check(endpoint, &mut connection)).await??;
        let heard = wire.asked(endpoint, self.login.fields, connection.psubscribe(RECALLS)).await;
        match heard {
            // Without, idle money goes back when its time has come, and not at once.
            Err(why) if why.kind == Kind::Refused => tracing::warn!("{why}"),
            heard => heard?,
        }
        Ok(wire)
    }

    /// Whether it still is the server that counts: one that has become a replica says so to nobody who only reads.
    pub(crate) async fn check(
        &self,
        endpoint: &Endpoint,
        connection: &mut redis::aio::MultiplexedConnection,
    ) -> RedisResult<Result<(), Unanswered>> {
        let info: String = cmd("INFO").arg("replication").query_async(connection).await?;
        let field = |name: &str| {
            info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default()
        };
        if matches!(self.target, Target::Member(_)) || field("role") != "slave" {
            return Ok(Ok(()));
        }
        let why = format!(
            "it is a replica of {}:{}, and grants nothing: name the master, or the sentinels that know it",
            field("master_host"),
            field("master_port")
        );
        Ok(Err(Unanswered::of(Kind::Refused, &endpoint.to_string(), &why)))
    }
}

impl Wire {
    /// What comes of an operation while nobody else moves the bytes.
    async fn asked<T>(
        &mut self,
        endpoint: &Endpoint,
        fields: &str,
        operation: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, Unanswered> {
        tokio::select! {
            answer = step(endpoint, "answer", operation) => {
                answer?.map_err(|error| Unanswered::from_redis(&endpoint.to_string(), &error, fields))
            }
            () = &mut self.driver => {
                Err(Unanswered::did(Kind::Disconnected, &endpoint.to_string(), "closed the connection"))
            }
        }
    }
}
