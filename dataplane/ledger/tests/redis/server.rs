//! A Redis of the test's own, at a socket in a folder that goes with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

const WITHIN: Duration = Duration::from_secs(30);

pub struct Server {
    child: Child,
    folder: PathBuf,
}

pub struct Connection {
    redis: redis::Connection,
    script: redis::Script,
}

impl Server {
    pub fn start() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("llm-ledger-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let server = Self { child: spawn(&folder), folder };
        server.connection();
        server
    }

    /// Ends it and starts it again, with or without what it knew.
    pub fn restart(&mut self, remembers: bool) {
        if remembers {
            redis::cmd("SAVE").exec(&mut self.connection().redis).unwrap();
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        if !remembers {
            let _none = fs::remove_file(self.folder.join("dump.rdb"));
        }
        self.child = spawn(&self.folder);
        self.connection();
    }

    /// A connection, once it answers.
    pub fn connection(&self) -> Connection {
        let client = redis::Client::open(format!("unix://{}", self.folder.join("socket").display())).unwrap();
        let until = Instant::now() + WITHIN;
        loop {
            match client.get_connection() {
                Ok(redis) => {
                    return Connection { redis, script: redis::Script::new(llm_ledger::script::SCRIPT) };
                }
                // It has no other way to say that it listens.
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
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

fn spawn(folder: &Path) -> Child {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/bin/redis-server");
    Command::new(program)
        .args(["--port", "0", "--save", "", "--unixsocket", "socket", "--dir"])
        .arg(folder)
        .stdout(Stdio::null())
        .current_dir(folder)
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; tests/tools/install puts it there"))
}

impl Connection {
    /// Runs the script; its answer as words.
    pub fn ask(&mut self, key: &str, arguments: &[String]) -> Vec<String> {
        let mut call = self.script.key(key);
        for argument in arguments {
            call.arg(argument);
        }
        call.invoke(&mut self.redis).unwrap()
    }

    pub fn fields(&mut self, key: &str, fields: &[&str]) -> Vec<String> {
        redis::cmd("HMGET").arg(key).arg(fields).query(&mut self.redis).unwrap()
    }
}
