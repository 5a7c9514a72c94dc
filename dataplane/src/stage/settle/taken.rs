//! What a call took, as far as that is known, and whether it can be true. Apart from settling, which believes it.

use llm_dialect::{MostOutput, reply::Usage};

use crate::snapshot::Target;

/// No model takes in or gives more tokens in one call, whatever its provider counts.
const MOST_TOKENS: u64 = 10_000_000;
/// Nor so many times its window, were it said wrong, or several answers asked for.
const WINDOWS: u64 = 16;

/// What a call took.
#[derive(Clone, Copy, Debug)]
pub enum Taken {
    /// The provider's own figure.
    Reported(Usage),
    /// It broke off: the request went out, so many events came back, and the provider may have said
    /// something of usage before the end.
    Seen { usage: Option<Usage>, events: u64 },
    /// The same, cut off because the provider ran past what was reserved.
    Cut { usage: Option<Usage>, events: u64 },
    /// Nothing that is billed.
    Nothing,
}

impl Taken {
    /// What was seen besides what the provider said.
    fn without_usage(self) -> Self {
        match self {
            Self::Reported(_) => Self::Seen { usage: None, events: 0 },
            Self::Seen { events, .. } => Self::Seen { usage: None, events },
            Self::Cut { events, .. } => Self::Cut { usage: None, events },
            Self::Nothing => Self::Nothing,
        }
    }

    /// Leaves out the provider's figures where no model can have taken so much, and gives them apart.
    pub fn doubted(self, target: Option<&Target>, request_bytes: u64) -> (Self, Option<Usage>) {
        let window = target.and_then(|target| target.context_window);
        let most = window.map_or(MOST_TOKENS, |window| window.saturating_mul(WINDOWS).min(MOST_TOKENS));
        // Many texts may be embedded at once, and none of them has more tokens than bytes.
        let most = most.max(request_bytes.saturating_mul(2));
        match self.usage() {
            Some(usage) if usage.input > most || usage.output > most => (self.without_usage(), Some(usage)),
            _ => (self, None),
        }
    }

    /// What the provider said of it.
    pub fn usage(self) -> Option<Usage> {
        match self {
            Self::Reported(usage) => Some(usage),
            Self::Seen { usage, .. } | Self::Cut { usage, .. } => usage,
            Self::Nothing => None,
        }
    }

    /// That the provider gave more output than the `most` that was reserved, in words and figures.
    pub fn overrun(self, most: u64, output: u64) -> Option<String> {
        let what = match self {
            Self::Cut { .. } => "its stream was ended by the gateway",
            Self::Reported(usage) if MostOutput::of(most).is_passed(Some(usage), 0) => {
                "it is charged as told"
            }
            _ => return None,
        };
        Some(format!(
            "The provider does not keep its limit: {output} tokens of output, {most} were reserved; {what}."
        ))
    }
}
