//! What `kubectl-llm run --print` shows is ready for `kubectl apply`, as the README says.

use crate::installation::{Installation, WITHIN, answers};
use harness::{Process, program};
use std::process::Command;

const KEYS: [(&str, &str); 3] =
    [("OPENAI_API_KEY", "sk-o"), ("ANTHROPIC_API_KEY", "sk-a"), ("GEMINI_API_KEY", "sk-g")];

/// What is printed in an environment with these keys, applied to namespace `ai`.
async fn apply_printed(installation: &Installation, keys: &[(&str, &str)]) -> String {
    let mut command = Command::new(program("kubectl-llm"));
    for (name, _) in KEYS {
        command.env_remove(name);
    }
    command.env_remove("OPENAI_BASE_URL").args(["run", "--print"]).envs(keys.iter().copied());
    let process = Process::start(&command);
    assert!(process.exited(WITHIN).await.success(), "{}", process.output());
    let printed = process.stdout();
    let file = installation.scratch.write("printed.yaml", &printed);
    installation.cluster.kubectl(&["apply", "-n", "ai", "-f", file.to_str().unwrap()]).await;
    printed
}

#[tokio::test]
async fn what_is_printed_without_a_key_serves_on_a_cluster() {
    let installation = Installation::start().await;
    let _operator = installation.operator(&[]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    apply_printed(&installation, &[]).await;
    installation.route_condition("quickstart", "Programmed", "True", "Programmed").await;
    answers(&proxy, "demo", 200, WITHIN).await;
}

#[tokio::test]
async fn what_is_printed_for_three_keys_is_in_force_once_the_secrets_are_made_as_it_says() {
    let installation = Installation::start().await;
    let _operator = installation.operator(&[]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    installation.ready(&[&proxy]).await;
    let printed = apply_printed(&installation, &KEYS).await;
    for pool in ["openai", "anthropic", "gemini"] {
        installation.pool_condition(pool, "ResolvedRefs", "False", "SecretNotFound").await;
    }

    let commands = printed.lines().filter_map(|line| line.strip_prefix("#   kubectl "));
    let commands: Vec<&str> = commands.filter(|command| command.starts_with("create secret ")).collect();
    assert_eq!(commands.len(), 3, "{printed}");
    for command in commands {
        // As a shell reads it.
        let filled = KEYS
            .iter()
            .fold(command.to_owned(), |text, (name, key)| text.replace(&format!("\"${name}\""), key));
        assert!(!filled.contains('$'), "{filled}");
        let mut arguments: Vec<&str> = filled.split_whitespace().collect();
        arguments.extend(["-n", "ai"]);
        installation.cluster.kubectl(&arguments).await;
    }
    for pool in ["openai", "anthropic", "gemini"] {
        installation.pool_condition(pool, "Accepted", "True", "Accepted").await;
        installation.pool_condition(pool, "ResolvedRefs", "True", "ResolvedRefs").await;
    }
    for (route, model) in
        [("openai", "gpt-6-luna"), ("anthropic", "claude-sonnet-5-5"), ("gemini", "gemini-3.8-flash")]
    {
        installation.route_condition(route, "ResolvedRefs", "True", "ResolvedRefs").await;
        installation.route_condition(route, "Programmed", "True", "Programmed").await;
        let models = &installation.row("llmroutes", route).await[1];
        assert!(models.split(',').any(|served| served == model), "{models}");
    }
    let config = proxy.admin("/debug/config").await;
    assert!(
        config.text().contains("api.anthropic.com") && !config.text().contains("sk-a"),
        "{}",
        config.text()
    );
}
