//! A call and the snapshot to a plan. Pure: chance is passed in.

use std::sync::Arc;

use crate::{
    dialect::openai::ChatRequest,
    error::Error,
    snapshot::{ServedModel, Snapshot, Target},
    stage::identify::excerpt,
    upstream::balance,
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

/// Plans a call; `draw` is a random number that decides among weights.
pub fn route<'a>(snapshot: &'a Snapshot, request: &ChatRequest, draw: u64) -> Result<Plan<'a>, Error> {
    let model =
        snapshot.models.get(request.model.as_ref()).ok_or_else(|| unknown(snapshot, &request.model))?;
    let (first, second) = balance::pick_two(&model.backends, draw).ok_or_else(|| Error::NoProvider {
        model: request.model.to_string(),
        route: model.route.to_string(),
    })?;
    Ok(Plan { model, first, second })
}

fn unknown(snapshot: &Snapshot, model: &str) -> Error {
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
