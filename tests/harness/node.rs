//! JavaScript modules with the official SDKs, as the users of the proxy write them.

use crate::python::{Ran, ran};
use crate::{Scratch, tool};
use std::path::Path;

/// Runs one of the modules of a folder with the packages of `target/tools`; `arguments` are its `process.argv[2..]`.
pub async fn node(folder: &Path, module: &str, arguments: &[&str]) -> Ran {
    // Node looks for packages beside the module that imports them and above it, and nowhere else.
    let scratch = Scratch::new("node");
    std::os::unix::fs::symlink(tool("node/node_modules"), scratch.path().join("node_modules")).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "mjs") {
            std::fs::copy(&path, scratch.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let mut command = tokio::process::Command::new("node");
    ran(command.arg(scratch.path().join(module)).args(arguments)).await
}
