//! `completion`: scripts by which shells complete `kubectl-llm`, and the one by which kubectl completes
//! `kubectl llm`.

use std::io;

use clap::{Args, Command, ValueEnum};
use clap_complete::{Shell, generate};

/// Print a script by which a shell completes sub-commands and options.
///
/// bash: `source <(kubectl-llm completion bash)`; zsh: `kubectl-llm completion zsh > "${fpath[1]}/_kubectl-llm"`;
/// fish: `kubectl-llm completion fish | source`.
///
/// As a plugin, `kubectl llm`, it is completed by kubectl itself, which asks a program of the name
/// kubectl_complete-llm: `kubectl-llm completion kubectl > ~/bin/kubectl_complete-llm`, made executable, in a
/// folder of PATH.
#[derive(Debug, Args)]
pub struct CompletionArgs {
    shell: Target,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Target {
    Bash,
    Zsh,
    Fish,
    Kubectl,
}

/// What kubectl calls.
const PLUGIN: &str = "#!/bin/sh\nexec kubectl-llm __complete \"$@\"\n";
/// It is no sub-command: nobody types it, and shells would offer it.
const ASKED: &str = "__complete";
/// In the protocol of Cobra, which kubectl is made with: no files are to be offered beside these.
const NO_FILES: u8 = 4;
const FILES: u8 = 0;

pub fn completion(args: &CompletionArgs, mut command: Command) {
    let shell = match args.shell {
        Target::Kubectl => return print!("{PLUGIN}"),
        Target::Bash => Shell::Bash,
        Target::Zsh => Shell::Zsh,
        Target::Fish => Shell::Fish,
    };
    generate(shell, &mut command, "kubectl-llm", &mut io::stdout());
}

/// Where kubectl asks: the words typed so far behind `kubectl llm`, the last one perhaps in part.
pub fn asked(arguments: impl Iterator<Item = String>) -> Option<Vec<String>> {
    let mut words = arguments.skip(1);
    (words.next()? == ASKED).then(|| words.collect())
}

/// Answers that.
pub fn complete(words: &[String], mut command: Command) {
    command.build();
    print!("{}", candidates(words, &command));
}

/// A candidate a line with what it is, and what the shell shall do with them.
fn candidates(words: &[String], command: &Command) -> String {
    let (begun, before) = words.split_last().map_or(("", &[][..]), |(last, rest)| (last.as_str(), rest));
    let mut at = command;
    for word in before {
        if let Some(sub) = at.find_subcommand(word) {
            at = sub;
        }
    }
    let about = |text: Option<&clap::builder::StyledStr>| {
        text.map(|text| text.to_string().lines().next().unwrap_or_default().to_owned()).unwrap_or_default()
    };
    let mut offered: Vec<(String, String)> = Vec::new();
    let awaited = before.last().and_then(|word| {
        let named = |arg: &&clap::Arg| {
            let short = arg.get_short().map(|short| format!("-{short}"));
            arg.get_long().is_some_and(|long| *word == format!("--{long}")) || short.as_ref() == Some(word)
        };
        at.get_arguments().find(named).filter(|arg| arg.get_action().takes_values())
    });
    let positional = at.get_positionals().next();
    let values = |arg: &clap::Arg| -> Vec<(String, String)> {
        let values = arg.get_possible_values();
        values.iter().map(|value| (value.get_name().to_owned(), about(value.get_help()))).collect()
    };
    if let Some(arg) = awaited {
        offered.extend(values(arg));
    } else if begun.starts_with('-') {
        let options = at.get_arguments().filter(|arg| !arg.is_hide_set());
        let long = options.filter_map(|arg| Some((format!("--{}", arg.get_long()?), about(arg.get_help()))));
        offered.extend(long);
    } else {
        let commands = at.get_subcommands().filter(|sub| !sub.is_hide_set());
        offered.extend(commands.map(|sub| (sub.get_name().to_owned(), about(sub.get_about()))));
        offered.extend(positional.map(values).unwrap_or_default());
    }
    let files = awaited.is_some() && offered.is_empty();
    let lines = offered.iter().filter(|(name, _)| name.starts_with(begun));
    let lines: String = lines.map(|(name, about)| format!("{name}\t{about}\n")).collect();
    format!("{lines}:{}\n", if files { FILES } else { NO_FILES })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn offered(words: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let mut command = crate::Cli::command();
        command.build();
        let told = candidates(&words, &command);
        told.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn commands_options_and_their_values_are_offered_to_kubectl() {
        assert_eq!(offered(&["st"]), ["status", ":4"]);
        assert_eq!(offered(&["status", "--kube"]), ["--kubeconfig", ":4"]);
        assert_eq!(offered(&["proxies", "-o", ""]), ["text", "json", ":4"]);
        assert_eq!(offered(&["bu"]), ["budgets", ":4"]);
        assert_eq!(offered(&["budgets", "--all"]), ["--all-namespaces", ":4"]);
        assert_eq!(offered(&["completion", "f"]), ["fish", ":4"]);
        assert_eq!(offered(&["status", "--kubeconfig", ""]), [":0"], "files");
    }
}
