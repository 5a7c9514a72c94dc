//! From settings to servers: what is wrong with settings is said before anything is connected to.

use std::sync::Arc;

use llm_config::budget::{Redis, RedisMode};
use tokio::{runtime::Handle, sync::broadcast};

use crate::{
    cluster::Cluster,
    dial::{Dialer, Login},
    endpoint::Endpoint,
    node::Node,
    remote::Servers,
    source::{Source, Target},
    unanswered::SENTINEL,
};

pub(crate) fn servers(settings: &Redis, recalls: broadcast::Sender<Arc<str>>) -> Result<Servers, String> {
    let Redis { endpoints, mode, username, password, database, tls } = settings;
    let runtime = Handle::try_current().map_err(|_none| "a ledger connects within a Tokio runtime")?;
    let endpoints = endpoints
        .iter()
        .map(|endpoint| endpoint.parse())
        .collect::<Result<Vec<Endpoint>, _>>()
        .map_err(|error| format!("ledger.redis.endpoints: {error}"))?;
    let login = Login {
        username: username.clone(),
        password: password.clone(),
        database: *database,
        fields: "ledger.redis",
    };
    login.check()?;
    let dialer = Dialer::new(tls.as_ref(), recalls)?;
    let one = |target| {
        Servers::One(Arc::new(Node::keep(
            &runtime,
            Source { target, dialer: dialer.clone(), login: login.clone() },
        )))
    };
    match (mode, endpoints.as_slice()) {
        (_, []) => Err("ledger.redis.endpoints: must not be empty".to_owned()),
        (RedisMode::Single, [endpoint]) => Ok(one(Target::Server(endpoint.clone()))),
        (RedisMode::Single, _) => Err(
            "ledger.redis.endpoints: several are sentinels or members of a cluster: set ledger.redis.mode"
                .to_owned(),
        ),
        (RedisMode::Sentinel { master, username, password }, _) => {
            let login = Login {
                username: username.clone(),
                password: password.clone(),
                database: 0,
                fields: SENTINEL,
            };
            login.check()?;
            Ok(one(Target::sentinels(endpoints, master.clone(), login)))
        }
        (RedisMode::Cluster, _) if *database != 0 => {
            Err("ledger.redis.database: a cluster has database 0 alone".to_owned())
        }
        (RedisMode::Cluster, _) => {
            Ok(Servers::Cluster(Cluster::keep(&runtime, dialer.clone(), login.clone(), endpoints)))
        }
    }
}

impl Login {
    fn check(&self) -> Result<(), String> {
        let fields = self.fields;
        match (&self.username, &self.password) {
            (Some(_), None) => Err(format!("{fields}.username: set {fields}.password too")),
            _ => Ok(()),
        }
    }
}
