//! Python scripts with the official SDKs, as the users of the proxy write them.

use crate::tool;
use tokio::process::Command;

/// How a script ended.
#[derive(Debug)]
pub struct Ran {
    pub ok: bool,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `script` in the venv of `target/tools`; `arguments` are its `sys.argv[1:]`.
pub async fn python(script: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(tool("venv/bin/python"));
    command.args(["-u", "-c", script]).args(arguments).envs(environment.iter().copied());
    ran(&mut command).await
}

/// Runs a script to its end.
pub(crate) async fn ran(command: &mut Command) -> Ran {
    let output = command.kill_on_drop(true).output().await.unwrap();
    Ran {
        ok: output.status.success(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
