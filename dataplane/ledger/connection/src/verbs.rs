//! What is asked of accounts, as runs of their script in Redis.

use llm_ledger::{
    Amount, Epoch, Millis,
    account::{Answer, Beginning, Checkpoint, Statement, Totals},
    accounts::Spenders,
    place::Place,
    script,
};
use redis::{FromRedisValue as _, Value};

use crate::{
    Kind, Unanswered,
    node::Deadline,
    remote::{Remote, Run},
};

impl Remote {
    pub(crate) async fn state(
        &self,
        place: &Place,
        statement: &Statement,
        deadline: Deadline,
    ) -> Result<Answer, Unanswered> {
        self.one(place, Some(script::state(statement, None)), deadline, |words| {
            script::answer(words, statement.seq)
        })
        .await
    }

    pub(crate) async fn states(
        &self,
        statements: &[(Place, Statement)],
        deadline: Deadline,
    ) -> Vec<Result<Answer, Unanswered>> {
        let runs: Vec<_> = statements
            .iter()
            .map(|(place, statement)| Run { keys: place.keys(), arguments: script::state(statement, None) })
            .collect();
        let answers = self.run(&runs, deadline).await.into_iter().zip(statements);
        answers
            .map(|(answer, (place, statement))| {
                read(place, answer, |words| script::answer(words, statement.seq))
            })
            .collect()
    }

    pub(crate) async fn open(
        &self,
        root: &Place,
        epoch: Epoch,
        kept: Millis,
        deadline: Deadline,
    ) -> Result<Option<Millis>, Unanswered> {
        self.one(root, Some(script::open(epoch, kept, None)), deadline, script::opened).await
    }

    pub(crate) async fn begin(
        &self,
        place: &Place,
        beginning: &Beginning,
        kept: Millis,
        deadline: Deadline,
    ) -> Result<bool, Unanswered> {
        self.one(place, script::begin(beginning, kept, None), deadline, script::done).await
    }

    pub(crate) async fn secure(
        &self,
        place: &Place,
        checkpoint: &Checkpoint,
        deadline: Deadline,
    ) -> Result<Option<Amount>, Unanswered> {
        self.one(place, script::secure(checkpoint, None), deadline, script::secured).await
    }

    pub(crate) async fn totals(
        &self,
        places: &[Place],
        deadline: Deadline,
    ) -> Vec<Result<Option<Totals>, Unanswered>> {
        let runs: Vec<_> =
            places.iter().map(|place| Run { keys: place.keys(), arguments: script::totals(None) }).collect();
        let answers = self.run(&runs, deadline).await.into_iter().zip(places);
        answers.map(|(answer, place)| read(place, answer, script::standing)).collect()
    }

    pub(crate) async fn values(
        &self,
        root: &Place,
        most: usize,
        deadline: Deadline,
    ) -> Result<Spenders, Unanswered> {
        self.one(root, Some(script::values(most, None)), deadline, script::spenders).await
    }

    async fn one<T>(
        &self,
        place: &Place,
        arguments: Option<Vec<String>>,
        deadline: Deadline,
        words: impl FnOnce(&[&str]) -> Option<T>,
    ) -> Result<T, Unanswered> {
        let Some(arguments) = arguments else {
            let why =
                format!("an amount is above {}, the largest that Redis counts exactly", script::LARGEST);
            return Err(Unanswered::of(Kind::Refused, &place.key(), &why));
        };
        let run = Run { keys: place.keys(), arguments };
        match self.run(&[run], deadline).await.pop() {
            Some(answer) => read(place, answer, words),
            None => Err(deadline.passed(&place.key())),
        }
    }
}

fn read<T>(
    place: &Place,
    answer: Result<Value, Unanswered>,
    read: impl FnOnce(&[&str]) -> Option<T>,
) -> Result<T, Unanswered> {
    let words = Vec::<String>::from_redis_value(answer?).unwrap_or_default();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    read(&words).ok_or_else(|| {
        let why = format!("the script answered {words:?}, which is none of its answers");
        Unanswered::of(Kind::Refused, &place.key(), &why)
    })
}
