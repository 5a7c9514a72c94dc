//! What it takes to end a stream whose provider goes on past the output that a strict budget has reserved. Few calls have
//! such a budget, and hardly any comes to this: the others need not carry it.

use llm_dialect::{
    CallerApi, Context, LengthStop, MostOutput, bound, gather::Gather, reply::Usage, translation::Through,
};

use crate::stage::{decode::Call, dispatch::context};

/// No vendor gives more answers to one call.
const MOST_CHOICES: u64 = 128;

/// What the end of such a stream says.
#[derive(Debug)]
pub struct Excess {
    most: u64,
    choices: u32,
    context: Context,
}

impl Excess {
    /// Has a stream watched, before any of it has passed.
    pub fn watch(most: u64, through: &mut Through, call: &Call) -> Box<Self> {
        through.limit(MostOutput::of(most));
        let output = bound::output(call.api, &call.envelope, call.api, false);
        let choices = output.choices.min(MOST_CHOICES) as u32;
        Box::new(Self { most, choices, context: context(call) })
    }

    /// Ends it as its model would have at its limit of tokens.
    pub fn stop(&self, api: &dyn CallerApi, through: &mut Through, out: &mut Gather) {
        let usage = through.usage().unwrap_or(Usage { output: self.most, ..Usage::default() });
        let Self { choices, context, .. } = self;
        through.stop_by_length(api, &LengthStop { usage, choices: *choices, context }, out);
    }
}
