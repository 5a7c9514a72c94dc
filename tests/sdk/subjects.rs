//! What the matrix is made of: SDKs, kinds of provider, features.

use harness::workspace;
use llm_dialect::surface::Kind;
use serde_json::Value;

/// One vendor's SDK in one language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sdk {
    pub vendor: Vendor,
    pub language: Language,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    OpenAI,
    Anthropic,
    Gemini,
    Ollama,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Python,
    JavaScript,
}

const VENDORS: [Vendor; 4] = [Vendor::OpenAI, Vendor::Anthropic, Vendor::Gemini, Vendor::Ollama];

/// The rows.
pub fn sdks() -> impl Iterator<Item = Sdk> {
    [Language::Python, Language::JavaScript]
        .into_iter()
        .flat_map(|language| VENDORS.into_iter().map(move |vendor| Sdk { vendor, language }))
}

impl Sdk {
    /// The package as its registry names it.
    pub fn package(self) -> &'static str {
        match (self.vendor, self.language) {
            (Vendor::OpenAI, _) => "openai",
            (Vendor::Anthropic, Language::Python) => "anthropic",
            (Vendor::Anthropic, Language::JavaScript) => "@anthropic-ai/sdk",
            (Vendor::Gemini, Language::Python) => "google-genai",
            (Vendor::Gemini, Language::JavaScript) => "@google/genai",
            (Vendor::Ollama, _) => "ollama",
        }
    }

    /// The version that `tests/tools` pins.
    pub fn version(self) -> String {
        let pins = |file: &str| std::fs::read_to_string(workspace().join("tests/tools").join(file)).unwrap();
        match self.language {
            Language::Python => {
                let prefix = format!("{}==", self.package());
                let pins = pins("requirements.txt");
                pins.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap().to_owned()
            }
            Language::JavaScript => {
                let pins: Value = serde_json::from_str(&pins("package.json")).unwrap();
                pins["dependencies"][self.package()].as_str().unwrap().to_owned()
            }
        }
    }

    /// The script that calls it.
    pub fn script(self) -> String {
        let vendor = match self.vendor {
            Vendor::OpenAI => "openai",
            Vendor::Anthropic => "anthropic",
            Vendor::Gemini => "gemini",
            Vendor::Ollama => "ollama",
        };
        let extension = if self.language == Language::Python { "py" } else { "mjs" };
        format!("{vendor}_calls.{extension}")
    }
}

impl std::fmt::Display for Sdk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let language = if self.language == Language::Python { "Python" } else { "JavaScript" };
        write!(f, "{} {} ({language})", self.package(), self.version())
    }
}

/// What is tried of each SDK, by the names that the scripts know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    pub name: &'static str,
    /// What it means, for the legend.
    pub meaning: &'static str,
}

const fn feature(name: &'static str, meaning: &'static str) -> Feature {
    Feature { name, meaning }
}

pub const FORCED_TOOL: &str = "forced tool";
pub const EMBEDDINGS: &str = "embeddings";
pub const REFUSED_KEY: &str = "refused key";
pub const UNKNOWN_MODEL: &str = "unknown model";
pub const CUT: &str = "cut";

pub const FEATURES: [Feature; 16] = [
    feature("plain", "a whole reply, with why it ended and its usage"),
    feature("streamed", "the same in pieces"),
    feature("tools", "a call of a tool, and the reply to its result"),
    feature("tools streamed", "a call of a tool in pieces"),
    feature(FORCED_TOOL, "a call that is demanded"),
    feature("image", "a picture in the request"),
    feature("structured", "a reply that keeps to a JSON Schema"),
    feature(EMBEDDINGS, "two texts to two vectors"),
    feature("models", "the list of models, and one of them"),
    feature("400", ""),
    feature("404", ""),
    feature("429", ""),
    feature("500", "the provider's status raises the SDK's own class for it, plain and streamed"),
    feature(REFUSED_KEY, "a provider's 401 is of the gateway's key: a 502, for it is not the caller's"),
    feature(UNKNOWN_MODEL, "a 404 that says which one may be meant"),
    feature(CUT, "a stream that breaks off raises"),
];

/// The model of a kind, as callers name it.
pub fn model(kind: Kind) -> String {
    format!("on-{}", kind.as_str().to_lowercase())
}
