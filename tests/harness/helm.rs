//! `helm`, with the files that it keeps in a folder of the test's own.

use crate::{Scratch, tool, workspace};
use std::path::Path;
use tokio::process::Command;

pub struct Helm {
    scratch: Scratch,
}

impl Helm {
    #[expect(clippy::new_without_default, reason = "each has a folder of its own")]
    pub fn new() -> Self {
        Self { scratch: Scratch::new("helm") }
    }

    /// Runs it at the root of the workspace, as a person does; where it fails, the error is all that it said.
    pub async fn run(&self, arguments: &[&str], kubeconfig: Option<&Path>) -> Result<String, String> {
        let mut command = Command::new(tool("bin/helm"));
        command.args(arguments).current_dir(workspace());
        for (variable, folder) in
            [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
        {
            command.env(variable, self.scratch.path().join(folder));
        }
        // No cluster of who runs the tests is ever meant.
        command.env("KUBECONFIG", kubeconfig.unwrap_or(Path::new("/dev/null")));
        let output = command.output().await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        if output.status.success() {
            return Ok(said);
        }
        Err(format!("helm {arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr)))
    }
}
