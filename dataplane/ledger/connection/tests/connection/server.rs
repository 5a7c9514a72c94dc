//! A Redis of the test's own: on a free port of the loopback, and at a socket where the test itself speaks to it. Its folder
//! goes with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use llm_config::budget::Redis;
use redis::{FromRedisValue, RedisResult};

use crate::ports::free_port;

pub const WITHIN: Duration = Duration::from_secs(30);

pub struct Server {
    child: Child,
    pub folder: PathBuf,
    pub port: u16,
    arguments: Vec<String>,
}

/// A folder of the test's own.
pub fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("llm-connection-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

impl Server {
    pub fn start(arguments: &[&str]) -> Self {
        Self::at(free_port(), arguments)
    }

    pub fn at(port: u16, arguments: &[&str]) -> Self {
        let port_text = port.to_string();
        Self::within(folder(), port, &[&["--port", &port_text, "--bind", "127.0.0.1"], arguments].concat())
    }

    /// One that is told its port among the arguments, in a folder that has files for it.
    pub fn within(folder: PathBuf, port: u16, arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        let child = spawn(&folder, &arguments);
        let server = Self { child, folder, port, arguments };
        server.answers();
        server
    }

    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn settings(&self) -> Redis {
        Redis { endpoints: vec![self.endpoint()], ..Redis::default() }
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after it was killed, with more arguments.
    pub fn restart(&mut self, more: &[&str]) {
        let arguments = [self.arguments.clone(), more.iter().map(ToString::to_string).collect()].concat();
        self.child = spawn(&self.folder, &arguments);
        self.answers();
    }

    pub fn stop(&self) {
        self.signal("STOP");
    }

    pub fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    /// What the server answers to the test.
    pub fn try_ask<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        self.asked(None, words)
    }

    /// The same where the test has to log in.
    pub fn ask_as<T: FromRedisValue>(&self, password: &str, words: &[&str]) -> T {
        self.asked(Some(password), words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    fn asked<T: FromRedisValue>(&self, password: Option<&str>, words: &[&str]) -> RedisResult<T> {
        let client = redis::Client::open(format!("unix://{}", self.folder.join("socket").display()))?;
        let mut connection = client.get_connection_with_timeout(WITHIN)?;
        if let Some(password) = password {
            redis::cmd("AUTH").arg(password).exec(&mut connection)?;
        }
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query(&mut connection)
    }

    pub fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// A field of INFO.
    pub fn info(&self, field: &str) -> String {
        let info: String = self.ask(&["INFO", "everything"]);
        let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_default().to_owned()
    }

    fn answers(&self) {
        let until = Instant::now() + WITHIN;
        // One that wants a password, or still loads, answers too.
        while let Err(error) = self.try_ask::<redis::Value>(&["PING"]) {
            if error.code().is_some() {
                return;
            }
            assert!(Instant::now() < until, "{error}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _waited = self.child.wait();
        let _removed = fs::remove_dir_all(&self.folder);
    }
}

fn spawn(folder: &Path, arguments: &[String]) -> Child {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../target/tools/bin/redis-server");
    let mut command = Command::new(program);
    // A sentinel, and a server with a list of its own, begin with the file that says so.
    let (file, arguments) = match arguments.split_first() {
        Some((file, rest)) if !file.starts_with("--") => (Some(file), rest),
        _ => (None, arguments),
    };
    command.args(file).args(["--unixsocket", "socket", "--save", "", "--dir"]).arg(folder).args(arguments);
    command
        .stdout(fs::File::options().create(true).append(true).open(folder.join("log")).unwrap())
        .stdin(Stdio::null())
        .current_dir(folder)
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; tests/tools/install puts it there"))
}
