//! Where the programs are: ours, built now, and the tools that `tests/tools/install` puts into `target/tools`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A file of `target/tools`.
pub fn tool(path: &str) -> PathBuf {
    let path = workspace().join("target/tools").join(path);
    assert!(path.exists(), "{} is missing: run tests/tools/install", path.display());
    path
}

/// One of our own programs (`llm-operator`, `llm-proxy`, `kubectl-llm`). The first call builds them all: cargo does
/// not know that this crate runs them, and a plain `cargo test` would drive stale ones.
pub fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let path = BUILT.get_or_init(build).join(name);
    assert!(path.exists(), "the workspace has no program {name}");
    path
}

/// Builds with the profile and into the target folder of the running test (`TARGET/PROFILE/deps/test-HASH`).
fn build() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap();
    let profile = match folder.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    // Build scripts that look at these would run again each time, and all that depends on them with them.
    for (name, _) in std::env::vars_os() {
        let of_this_package =
            name.to_str().is_some_and(|n| n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_"));
        if of_this_package {
            command.env_remove(name);
        }
    }
    let output = command
        .args(["build", "--quiet", "--workspace", "--bins", "--profile", profile, "--target-dir"])
        .arg(folder.parent().unwrap())
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo build:\n{}", String::from_utf8_lossy(&output.stderr));
    folder.to_owned()
}
