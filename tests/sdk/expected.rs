//! What every cell of the matrix is expected to do, and why it is not always "works".

use crate::subjects::{CUT, EMBEDDINGS, FORCED_TOOL, Feature, Sdk, Vendor};
use llm_dialect::surface::Kind;

/// What comes of a cell when all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Works,
    /// The gateway refuses with a 400 that says this.
    Refused(&'static str),
    /// The SDK has no such call.
    Absent,
}

impl Expect {
    /// As the scripts know it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Refused(_) => "refused",
            Self::Absent => "absent",
        }
    }
}

/// One cell, with what there is to note of it.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    pub expect: Expect,
    /// The limitation that forbids it, or what the tests lack to show more.
    pub note: Option<&'static str>,
}

pub fn cell(sdk: Sdk, kind: Kind, feature: Feature) -> Cell {
    let works = |note| Cell { expect: Expect::Works, note };
    match (feature.name, sdk.vendor, kind) {
        (EMBEDDINGS, Vendor::Anthropic, _) => Cell {
            expect: Expect::Absent,
            note: Some("embeddings: Anthropic has no API for them, and its SDK no call."),
        },
        (EMBEDDINGS, _, Kind::Anthropic) => Cell {
            expect: Expect::Refused("does not do embeddings"),
            note: Some(
                "embeddings: Anthropic has no API for them; the gateway refuses with a 400 that says so.",
            ),
        },
        (EMBEDDINGS, _, Kind::Gemini | Kind::Ollama) => works(Some(
            "embeddings: from our own stand-in, since the mock has no `:batchEmbedContents` of Gemini and only an older `/api/embed` of Ollama.",
        )),
        (FORCED_TOOL, Vendor::Ollama, _) => Cell {
            expect: Expect::Absent,
            note: Some("forced tool: Ollama's API has no `tool_choice`, and its SDK no field for it."),
        },
        (FORCED_TOOL, _, Kind::Ollama) => Cell {
            expect: Expect::Refused("can't be expressed to a provider of kind Ollama"),
            note: Some(
                "forced tool: Ollama's API has no `tool_choice`; the gateway refuses with a 400 that names the field.",
            ),
        },
        ("plain" | "streamed", _, Kind::Ollama) => works(Some(
            "usage: the mock's Ollama counts no tokens; the tests ask that the usage is there, and not that it is above 0.",
        )),
        (CUT, _, Kind::Simulated) => works(Some(
            "cut: a simulated provider never breaks off; the time that its route allows runs out instead.",
        )),
        _ => works(None),
    }
}
