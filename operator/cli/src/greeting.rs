//! What a person sees when the gateway starts: where it is, what it serves, what to try next.

use std::{fmt::Write as _, path::PathBuf};

use llm_proxy::serve::Addresses;

use crate::load::Loaded;

/// The whole greeting.
pub fn text(loaded: &Loaded, paths: &[PathBuf], addresses: &Addresses) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        // Writing to a string can't fail.
        let _infallible = writeln!(text, "{words}");
    };
    line(format!("LLM Gateway {}", env!("CARGO_PKG_VERSION")));
    let plain = addresses.plain.map(|address| format!("http://{address}"));
    let urls: Vec<String> =
        plain.into_iter().chain(addresses.tls.map(|address| format!("https://{address}"))).collect();
    for url in &urls {
        line(format!("  applications  {url}/v1"));
    }
    line(format!("  admin         http://{}/metrics  /readyz  /debug/config", addresses.admin));
    line(String::new());
    for (name, route) in &loaded.compiled.routes {
        let models: Vec<&str> = route.models.iter().map(String::as_str).collect();
        let pools: Vec<&str> = route.pools.iter().map(String::as_str).collect();
        line(format!("  LLMRoute {name}: {} from {}", models.join(", "), pools.join(", ")));
    }
    for note in &loaded.notes {
        line(format!("  {note}"));
    }
    line(String::new());
    let model = loaded.compiled.routes.values().flat_map(|route| &route.models).next();
    if let (Some(model), Some(url)) = (model, urls.first()) {
        line("Try:".to_owned());
        line(format!("  curl {url}/v1/chat/completions -H 'content-type: application/json' \\"));
        line(format!(
            "    -d '{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'"
        ));
    }
    if paths.is_empty() {
        line("  or begin a manifest of your own: run --print > gateway.yaml".to_owned());
    } else {
        line("  or edit the manifest: it is read again when it is saved.".to_owned());
    }
    line("Ctrl-C drains and ends.\n".to_owned());
    text
}

/// What is served, in one line.
pub fn served(loaded: &Loaded) -> String {
    let models: Vec<&str> =
        loaded.compiled.routes.values().flat_map(|route| &route.models).map(String::as_str).collect();
    let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    format!(
        "{}, {}: {}",
        plural(loaded.compiled.routes.len(), "route"),
        plural(models.len(), "model"),
        models.join(", ")
    )
}
