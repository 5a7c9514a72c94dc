//! Embeddings, and counts of tokens: the APIs beside the chat.

use std::{fs, path::PathBuf};

use llm_dialect::{
    EmbeddingCaller, ProviderModel, embedding,
    surface::{Api, CallerSide, Kind, ProviderSide},
};

use super::{
    cases::{context, folder},
    expected::Expected,
    text::pretty,
};

const EMBEDDERS: [(&str, Api); 4] = [
    ("embeddings", Api::Embeddings),
    ("embed-content", Api::EmbedContent),
    ("batch-embed-contents", Api::BatchEmbedContents),
    ("ollama-embed", Api::OllamaEmbed),
];

const COUNTERS: [(&str, Api); 2] =
    [("messages-count-tokens", Api::MessagesCountTokens), ("gemini-count-tokens", Api::GeminiCountTokens)];

#[test]
fn embeddings_become_what_is_expected_of_them() {
    let mut expected = Expected::default();
    for (name, api) in EMBEDDERS {
        let CallerSide::Embed(caller) = api.caller() else { panic!("{name} embeds nothing") };
        for file in requests(name) {
            let request = caller.read_request(&fs::read(&file).unwrap()).unwrap();
            let mut shown = String::new();
            for kind in Kind::ALL {
                shown.push_str(&asked(kind, api, caller, &request));
            }
            expected.is(&format!("{name}/{}.txt", stem(&file)), &shown);
        }
    }
    expected.done();
}

/// What a kind of provider is asked, and what of its reply the caller gets.
fn asked(kind: Kind, api: Api, caller: &dyn EmbeddingCaller, request: &embedding::Request) -> String {
    let mut shown = format!("# {}\n\n", kind.as_str());
    // A call of one text is answered by the caller's own API where the provider has it.
    let by =
        kind.answers_by(if api == Api::EmbedContent { Api::BatchEmbedContents } else { api }, false, false);
    let Some((by, ProviderSide::Embed(provider))) = by.and_then(|by| Some((by, by.provider()?))) else {
        return shown + "Has no embeddings.\n\n";
    };
    // The simulated provider speaks OpenAI's API under its own name.
    let limits = embedding::Limits { kind: kind.as_str(), ..*provider.limits() };
    if let Err(refused) = limits.check(request) {
        return format!("{shown}Refused: {refused}\n\n");
    }
    let model = ProviderModel { name: "embedder", max_output_tokens: None };
    shown.push_str(&format!(
        "POST {}\n{}\n",
        by.path(model.name),
        pretty(&provider.write_request(request, model))
    ));
    let folder = EMBEDDERS.iter().find(|(_, known)| *known == by).unwrap().0;
    let file = format!("replies/{folder}/{}.json", if request.inputs.len() == 1 { "one" } else { "list" });
    let body = fs::read(self::folder().join(file)).unwrap();
    let reply = provider.read_reply(&body).unwrap();
    assert_eq!(reply.vectors.len(), request.inputs.len());
    shown.push_str(&pretty(&caller.write_reply(&reply, request, &context())));
    shown.push_str(&format!("\nUsage: {:?}\n\n", by.usage_of_reply(&body).unwrap()));
    shown
}

#[test]
fn counts_become_what_is_expected_of_them() {
    let mut expected = Expected::default();
    for (name, api) in COUNTERS {
        let CallerSide::Chat(caller) = api.caller() else { panic!("{name} counts no chat") };
        for file in requests(name) {
            let request = api.read_chat(caller, &fs::read(&file).unwrap()).unwrap();
            let mut shown = String::new();
            for (folder, by) in COUNTERS {
                let Some(ProviderSide::Count(provider)) = by.provider() else {
                    panic!("{folder} counts nothing")
                };
                let model = ProviderModel { name: "counter", max_output_tokens: None };
                let written = pretty(&provider.write_count_request(&request, model));
                shown.push_str(&format!("# By {folder}\n\nPOST {}\n{written}\n", by.path(model.name)));
                let body = fs::read(self::folder().join(format!("replies/{folder}/count.json"))).unwrap();
                let tokens = provider.read_count(&body).unwrap();
                shown.push_str(&pretty(&api.counter().unwrap().write_count(tokens)));
                shown.push('\n');
            }
            expected.is(&format!("{name}/{}.txt", stem(&file)), &shown);
        }
    }
    expected.done();
}

fn requests(api: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder().join("requests").join(api)).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

fn stem(file: &std::path::Path) -> String {
    file.file_stem().unwrap().to_string_lossy().into_owned()
}
