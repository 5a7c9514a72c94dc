//! A call and the snapshot to a plan. Pure: chance is passed in.

use std::{cell::OnceCell, sync::Arc};

use llm_dialect::surface::{Kind, Task};

use crate::{
    error::Error,
    snapshot::{ServedModel, Snapshot, Target},
    stage::{decode::Call, identify::excerpt},
    upstream::balance,
    wire,
};

/// Near names that an unknown model is answered with, at most.
const NEAR_NAMES: usize = 5;

/// Where a call goes, and where it goes next when that fails.
#[derive(Debug)]
pub struct Plan<'a> {
    pub model: &'a ServedModel,
    pub first: &'a Arc<Target>,
    /// Another target where there is one, else the same again.
    pub second: &'a Arc<Target>,
}

/// Plans a call; `draw` is a random number that decides among weights. A target that can't be told of
/// all that the call wishes is left out.
pub fn route<'a>(snapshot: &'a Snapshot, call: &Call, draw: u64) -> Result<Plan<'a>, Error> {
    let model = snapshot.models.get(&call.model).ok_or_else(|| unknown(snapshot, &call.model))?;
    let fitness = Fitness { call, by_kind: Default::default() };
    let (first, second) = balance::pick_two(&model.backends, draw, |target| fitness.fits(target))
        .ok_or_else(|| fitness.refusal(model))?;
    Ok(Plan { model, first, second })
}

/// What may be told to which kind of provider, found out when it is first asked. A pool's servers of
/// kind OpenAI may have the Responses API or not, and it can say other things: it has a place of its own,
/// the last.
struct Fitness<'c> {
    call: &'c Call,
    by_kind: [OnceCell<Result<(), Error>>; Kind::ALL.len() + 1],
}

impl Fitness<'_> {
    fn fits(&self, target: &Target) -> bool {
        self.does(target) && self.expresses(target).is_ok()
    }

    fn does(&self, target: &Target) -> bool {
        if self.call.api.task() == Task::Embed { target.embeddings } else { target.chat }
    }

    fn expresses(&self, target: &Target) -> Result<(), &Error> {
        // Servers of one kind differ only in whether they have the Responses API.
        let place = if target.provider.responses { Kind::ALL.len() } else { target.kind() as usize };
        let found = self.by_kind[place].get_or_init(|| wire::way(self.call, target).map(drop));
        found.as_ref().copied()
    }

    /// Why none of the targets fits.
    fn refusal(self, model: &ServedModel) -> Error {
        let targets = || model.backends.iter().flat_map(|backend| backend.tiers.iter().flatten());
        if targets().next().is_some() && !targets().any(|target| self.does(target)) {
            let wanted = if self.call.api.task() == Task::Embed { "embeddings" } else { "chat" };
            return Error::WrongOperation { model: excerpt(&self.call.model), wanted };
        }
        let refused = self.by_kind.into_iter().filter_map(OnceCell::into_inner).find_map(Result::err);
        refused.unwrap_or_else(|| Error::NoProvider {
            model: excerpt(&self.call.model),
            route: model.route.to_string(),
        })
    }
}

/// The refusal of a model that is not served, with the names that it may have been meant for.
pub fn unknown(snapshot: &Snapshot, model: &str) -> Error {
    let asked = excerpt(model);
    if snapshot.models.is_empty() {
        return Error::NoRoutes { model: asked };
    }
    let lower = asked.to_lowercase();
    let mut near: Vec<(f64, &str)> = snapshot
        .models
        .keys()
        .map(|name| (strsim::jaro_winkler(&lower, &name.to_lowercase()), name.as_ref()))
        .filter(|(likeness, _)| *likeness > 0.75)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    let near = near.into_iter().take(NEAR_NAMES).map(|(_, name)| name.to_owned()).collect();
    Error::UnknownModel { model: asked, near }
}

#[cfg(test)]
mod tests;
