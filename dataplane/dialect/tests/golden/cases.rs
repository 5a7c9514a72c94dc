//! The tables: who calls, who answers, and of which features there are cases.

use std::{collections::BTreeMap, fs, path::PathBuf};

use llm_dialect::{
    CallerApi, Context, ProviderApi,
    surface::{Api, CallerSide, Kind, ProviderSide},
};

/// An API with the name of its folders.
#[derive(Clone, Copy)]
pub struct Named {
    pub name: &'static str,
    pub api: Api,
}

pub struct Feature {
    pub name: &'static str,
    /// Whose reply answers such a call, where it is no other than that of another feature.
    pub reply: Option<&'static str>,
}

pub const CALLERS: [Named; 6] = [
    Named { name: "chat-completions", api: Api::ChatCompletions },
    Named { name: "responses", api: Api::Responses },
    Named { name: "messages", api: Api::Messages },
    Named { name: "generate-content", api: Api::GenerateContent },
    Named { name: "ollama-chat", api: Api::OllamaChat },
    Named { name: "ollama-generate", api: Api::OllamaGenerate },
];

pub const PROVIDERS: [Named; 4] = [
    Named { name: "chat-completions", api: Api::ChatCompletions },
    Named { name: "messages", api: Api::Messages },
    Named { name: "generate-content", api: Api::GenerateContent },
    Named { name: "ollama-chat", api: Api::OllamaChat },
];

/// Providers by kind and model: what a request looks like depends on both.
pub const TARGETS: [(Kind, &str); 8] = [
    (Kind::OpenAI, "gpt-5"),
    (Kind::OpenAI, "llama-3.3-70b"),
    (Kind::Anthropic, "claude-sonnet-4-5"),
    (Kind::Anthropic, "claude-opus-4-7"),
    (Kind::Gemini, "gemini-2.5-flash"),
    (Kind::Gemini, "gemini-3-pro-preview"),
    (Kind::Ollama, "qwen3"),
    (Kind::Simulated, "simulated"),
];

pub const FEATURES: &[Feature] = &[
    own("text"),
    own("system"),
    own("multi-turn"),
    own("image"),
    as_of("image-url", "image"),
    as_of("audio", "text"),
    as_of("document", "text"),
    own("tool-call"),
    own("parallel-tools"),
    as_of("serial-tools", "tool-call"),
    own("tool-result"),
    as_of("json-object", "json-schema"),
    own("json-schema"),
    own("reasoning"),
    own("reasoning-kept"),
    own("refusal"),
    own("length"),
    as_of("sampling", "text"),
    own("choices"),
    own("logprobs"),
    as_of("hints", "text"),
    as_of("unknown", "text"),
];

const fn own(name: &'static str) -> Feature {
    Feature { name, reply: None }
}

const fn as_of(name: &'static str, reply: &'static str) -> Feature {
    Feature { name, reply: Some(reply) }
}

impl Named {
    pub fn caller(self) -> &'static dyn CallerApi {
        match self.api.caller() {
            CallerSide::Chat(api) => api,
            CallerSide::Embed(_) => panic!("{} is no API of chats", self.name),
        }
    }

    pub fn provider(self) -> &'static dyn ProviderApi {
        match self.api.provider() {
            Some(ProviderSide::Chat(api)) => api,
            _ => panic!("{} is no API of providers", self.name),
        }
    }

    /// The API by which it streams.
    pub fn streams(self) -> Api {
        if self.api == Api::GenerateContent { Api::StreamGenerateContent } else { self.api }
    }

    pub fn request(self, feature: &str) -> Option<Vec<u8>> {
        fs::read(folder().join(format!("requests/{}/{feature}.json", self.name))).ok()
    }

    pub fn reply(self, file: &str) -> Option<Vec<u8>> {
        fs::read(folder().join(format!("replies/{}/{file}", self.name))).ok()
    }
}

/// Every stream there is of an API, with its name.
pub fn streams(api: Named) -> Vec<(String, Vec<u8>)> {
    let Ok(files) = fs::read_dir(folder().join("replies").join(api.name)) else { return Vec::new() };
    let paths =
        files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "stream"));
    let mut streams: Vec<_> = paths
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()))
        .collect();
    streams.sort();
    streams
}

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Cells that can't be, with the reasons.
pub fn absent() -> BTreeMap<String, String> {
    let text = fs::read_to_string(folder().join("absent.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (cell, reason) = line.split_once(": ").unwrap();
            (cell.to_owned(), reason.to_owned())
        })
        .collect()
}

pub fn context() -> Context {
    Context {
        id: "0123456789abcdef".to_owned(),
        created: 1_760_000_000,
        model: "demo".to_owned(),
        include_usage: true,
    }
}
