//! What it takes to end a stream whose provider goes on past the output that a strict budget has reserved. Few calls have
//! such a budget, and hardly any comes to this: the others need not carry it.

use llm_dialect::{CallerApi, Context, MostOutput, gather::Gather, reply::Usage, translation::Through};

use crate::stage::{decode::Call, dispatch::context};

/// What the end of such a stream says.
#[derive(Debug)]
pub struct Excess {
    most: u64,
    context: Context,
}

impl Excess {
    /// Has a stream watched, before any of it has passed.
    pub fn watch(most: u64, through: &mut Through, call: &Call) -> Box<Self> {
        through.limit(MostOutput::of(most));
        Box::new(Self { most, context: context(call) })
    }

    /// Ends it as its model would have at its limit of tokens.
    pub fn stop(&self, api: &dyn CallerApi, through: &mut Through, out: &mut Gather) {
        let usage = through.usage().unwrap_or(Usage { output: self.most, ..Usage::default() });
        through.stop_by_length(api, usage, &self.context, out);
    }
}
