//! Scripts run in Redis: sent at once however many they are, each to the server that holds its key.

use std::sync::Arc;

use futures::future::join_all;
use redis::{Pipeline, Script, ServerErrorKind, Value};

use crate::{
    Kind, Unanswered,
    cluster::Cluster,
    node::{Deadline, Node},
};

/// To the one who is thought to hold the key, to those who are named instead, and the script in full.
const ROUNDS: usize = 5;

pub(crate) enum Servers {
    One(Arc<Node>),
    Cluster(Cluster),
}

pub(crate) struct Remote {
    servers: Servers,
    script: Script,
}

/// One run of the script. All its keys are a budget's, and one server holds them.
pub(crate) struct Run {
    pub keys: Vec<String>,
    pub arguments: Vec<String>,
}

/// A run on its way.
struct Sent {
    index: usize,
    node: Arc<Node>,
    /// The server does not know the script by its hash.
    whole: bool,
    /// The key is on its way to this server, which takes who asks for it.
    asking: bool,
}

impl Remote {
    pub(crate) fn new(servers: Servers) -> Self {
        Self { servers, script: Script::new(llm_ledger::script::SCRIPT) }
    }

    pub(crate) fn is_reachable(&self) -> bool {
        match &self.servers {
            Servers::One(node) => node.is_reachable(),
            Servers::Cluster(cluster) => cluster.is_reachable(),
        }
    }

    /// What came of each run. One without an answer may have been applied, and is not sent again.
    pub(crate) async fn run(&self, runs: &[Run], deadline: Deadline) -> Vec<Result<Value, Unanswered>> {
        let mut answers: Vec<Result<Value, Unanswered>> = Vec::with_capacity(runs.len());
        let mut sent = Vec::with_capacity(runs.len());
        for (index, run) in runs.iter().enumerate() {
            match self.holder(&run.keys[0], deadline).await {
                Ok(node) => {
                    answers.push(Err(Unanswered::did(Kind::Refused, &node.name(), "sent it to and fro")));
                    sent.push(Sent { index, node, whole: false, asking: false });
                }
                Err(why) => answers.push(Err(why)),
            }
        }
        for _round in 0..ROUNDS {
            let mut again = Vec::new();
            for (sent, answer) in self.round(runs, sent, deadline).await {
                match self.judged(sent, answer) {
                    Ok((index, answer)) => answers[index] = answer,
                    Err(sent) => again.push(sent),
                }
            }
            if again.is_empty() {
                break;
            }
            sent = again;
        }
        answers
    }

    async fn holder(&self, key: &str, deadline: Deadline) -> Result<Arc<Node>, Unanswered> {
        match &self.servers {
            Servers::One(node) => Ok(node.clone()),
            Servers::Cluster(cluster) => cluster.holder(key, deadline).await,
        }
    }

    /// Sends each server all that is for it.
    async fn round(
        &self,
        runs: &[Run],
        sent: Vec<Sent>,
        deadline: Deadline,
    ) -> Vec<(Sent, Result<Value, Unanswered>)> {
        let mut groups: Vec<Vec<Sent>> = Vec::new();
        for sent in sent {
            match groups.iter_mut().find(|group| Arc::ptr_eq(&group[0].node, &sent.node)) {
                Some(group) => group.push(sent),
                None => groups.push(vec![sent]),
            }
        }
        let answers = groups.into_iter().map(|group| async {
            let node = group[0].node.clone();
            let mut operations = redis::pipe();
            for sent in &group {
                self.add(&mut operations, &runs[sent.index], sent);
            }
            match node.send(&operations, deadline).await {
                Ok(values) => {
                    let mut values = values.into_iter();
                    let answer = |sent: Sent| {
                        // What ASKING itself answers comes before.
                        let value = values.nth(usize::from(sent.asking)).unwrap_or(Value::Nil);
                        (sent, Ok(value))
                    };
                    group.into_iter().map(answer).collect::<Vec<_>>()
                }
                Err(why) => group.into_iter().map(|sent| (sent, Err(why.clone()))).collect(),
            }
        });
        join_all(answers).await.into_iter().flatten().collect()
    }

    fn add(&self, operations: &mut Pipeline, run: &Run, sent: &Sent) {
        if sent.asking {
            operations.cmd("ASKING");
        }
        if sent.whole {
            operations.cmd("EVAL").arg(llm_ledger::script::SCRIPT);
        } else {
            operations.cmd("EVALSHA").arg(self.script.get_hash());
        }
        operations.arg(run.keys.len()).arg(&run.keys).arg(&run.arguments);
    }

    /// The answer, or what to send again: what a server did not run, for it holds another's key or does not know the
    /// script.
    fn judged(
        &self,
        sent: Sent,
        answer: Result<Value, Unanswered>,
    ) -> Result<(usize, Result<Value, Unanswered>), Sent> {
        let error = match answer {
            Ok(Value::ServerError(error)) => error,
            Ok(value) => {
                // A server that has been made a replica answers so too.
                if is_closed(&value) {
                    sent.node.doubt();
                }
                return Ok((sent.index, Ok(value)));
            }
            Err(why) => {
                self.doubt();
                return Ok((sent.index, Err(why)));
            }
        };
        let details = error.details().unwrap_or_default();
        match (error.kind(), &self.servers) {
            (Some(ServerErrorKind::NoScript), _) if !sent.whole => return Err(Sent { whole: true, ..sent }),
            (Some(kind @ (ServerErrorKind::Moved | ServerErrorKind::Ask)), Servers::Cluster(cluster)) => {
                let asking = kind == ServerErrorKind::Ask;
                if let Some(node) = cluster.named(details, &sent.node.name(), !asking) {
                    return Err(Sent { node, asking, ..sent });
                }
            }
            _ => {}
        }
        sent.node.doubt();
        self.doubt();
        Ok((sent.index, Err(sent.node.refused(&error))))
    }

    /// Who holds what may have changed.
    fn doubt(&self) {
        if let Servers::Cluster(cluster) = &self.servers {
            cluster.doubt();
        }
    }
}

fn is_closed(value: &Value) -> bool {
    matches!(value, Value::Array(words) if matches!(words.as_slice(), [Value::BulkString(word)] if word == b"closed"))
}
