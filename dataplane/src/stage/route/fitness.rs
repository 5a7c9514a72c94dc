//! Which targets can be told of a call at all, by what they are called for and by their kind.

use std::cell::OnceCell;

use llm_dialect::surface::{Kind, Task};

use crate::{
    error::Error,
    snapshot::{Target, served::Served},
    stage::{decode::Call, identify::excerpt},
    wire,
};

/// What may be told to which kind of provider, found out when it is first asked. A pool's servers of
/// kind OpenAI may have the Responses API or not, and it can say other things: it has a place of its own,
/// the last.
pub struct Fitness<'c> {
    call: &'c Call,
    by_kind: [OnceCell<Result<(), Box<Error>>>; Kind::ALL.len() + 1],
}

impl<'c> Fitness<'c> {
    pub fn new(call: &'c Call) -> Self {
        Self { call, by_kind: Default::default() }
    }

    pub fn fits(&self, target: &Target) -> bool {
        self.does(target) && self.expresses(target)
    }

    fn does(&self, target: &Target) -> bool {
        if self.call.api.task() == Task::Embed { target.embeddings } else { target.chat }
    }

    fn expresses(&self, target: &Target) -> bool {
        // Servers of one kind differ only in whether they have the Responses API.
        let place = if target.provider.responses { Kind::ALL.len() } else { target.kind() as usize };
        let found =
            self.by_kind[place].get_or_init(|| wire::way(self.call, target).map(drop).map_err(Box::new));
        found.is_ok()
    }

    /// Why none of the targets fits.
    pub fn refusal(self, served: &Served) -> Error {
        let targets = || served.candidates.iter().map(|candidate| &candidate.target);
        if targets().next().is_some() && !targets().any(|target| self.does(target)) {
            let wanted = if self.call.api.task() == Task::Embed { "embeddings" } else { "chat" };
            return Error::WrongOperation { model: excerpt(&self.call.model), wanted };
        }
        let refused = self.by_kind.into_iter().filter_map(OnceCell::into_inner).find_map(Result::err);
        refused.map(|refused| *refused).unwrap_or_else(|| Error::NoProvider {
            model: excerpt(&self.call.model),
            route: served.rule.route.to_string(),
        })
    }
}
