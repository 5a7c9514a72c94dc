//! A Redis of the test's own, on a loopback port, that forgets everything when it ends.

use crate::{Process, Scratch, free_port, tool};
use std::process::Command;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(30);

pub struct Redis {
    process: Process,
    port: u16,
    scratch: Scratch,
}

impl Redis {
    pub async fn start() -> Self {
        let (port, scratch) = (free_port(), Scratch::new("redis"));
        let process = spawn(port, &scratch).await;
        Self { process, port, scratch }
    }

    /// `host:port`.
    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What it answers to a command, as `redis-cli` shows it; asked as whoever the options say.
    pub fn ask(&self, words: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(words).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }

    /// SIGKILL, and nobody listens there any more.
    pub async fn die(&self) {
        self.process.kill();
        self.process.exited(WITHIN).await;
    }

    /// Starts it where it was, knowing nothing.
    pub async fn revive(&mut self) {
        self.process = spawn(self.port, &self.scratch).await;
    }

    /// SIGSTOP: connections stay open, and nothing is answered.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.resume();
    }
}

async fn spawn(port: u16, scratch: &Scratch) -> Process {
    let mut command = Command::new(tool("bin/redis-server"));
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--dir"]);
    command.arg(scratch.path()).current_dir(scratch.path());
    let process = Process::start(&command);
    process.await_line(WITHIN, |line| line.contains("Ready to accept connections")).await;
    process
}
