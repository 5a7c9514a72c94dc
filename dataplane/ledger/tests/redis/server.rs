//! A Redis of the test's own, at a socket in a folder that goes with it.

use llm_ledger::account::Totals;
use llm_ledger::place::Place;
use llm_ledger::{Epoch, Millis, script};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::KEPT;

const WITHIN: Duration = Duration::from_secs(30);

pub struct Server {
    child: Child,
    folder: PathBuf,
    /// At the loopback; 0 where only the socket is.
    port: u16,
}

pub struct Connection {
    redis: redis::Connection,
    script: redis::Script,
}

impl Server {
    pub fn start() -> Self {
        Self::at(0)
    }

    /// One that others can reach.
    pub fn listening() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        Self::at(port)
    }

    fn at(port: u16) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("llm-ledger-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let server = Self { child: spawn(&folder, port), folder, port };
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
        self.child = spawn(&self.folder, self.port);
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

fn spawn(folder: &Path, port: u16) -> Child {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/bin/redis-server");
    Command::new(program)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0"])
        .args(["--save", "", "--unixsocket", "socket", "--dir"])
        .arg(folder)
        .stdout(Stdio::null())
        .current_dir(folder)
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; tests/tools/install puts it there"))
}

impl Server {
    /// Hears what is published there.
    pub fn listen(&self, channel: &str) -> Listener {
        let mut redis = self.connection().redis;
        redis.set_read_timeout(Some(WITHIN)).unwrap();
        redis.send_packed_command(&redis::cmd("SUBSCRIBE").arg(channel).get_packed_command()).unwrap();
        redis.recv_response().unwrap();
        Listener(redis)
    }
}

pub struct Listener(redis::Connection);

impl Listener {
    /// The next message.
    pub fn next(&mut self) -> String {
        let (_, _, message): (String, String, String) =
            redis::from_redis_value(self.0.recv_response().unwrap()).unwrap();
        message
    }
}

impl Connection {
    /// Runs the script; its answer as words.
    pub fn ask(&mut self, place: &Place, arguments: &[String]) -> Vec<String> {
        let mut call = self.script.prepare_invoke();
        for key in place.keys() {
            call.key(key);
        }
        for argument in arguments {
            call.arg(argument);
        }
        call.invoke(&mut self.redis).unwrap()
    }

    pub fn open(&mut self, root: &Place, epoch: Epoch, now: Option<Millis>) -> Option<Millis> {
        let words = self.ask(root, &script::open(epoch, KEPT, now));
        script::opened(&words.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
    }

    pub fn totals(&mut self, place: &Place, now: Option<Millis>) -> Option<Totals> {
        let words = self.ask(place, &script::totals(now));
        script::standing(&words.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
    }

    /// Those that there are none of are empty.
    pub fn fields(&mut self, key: &str, fields: &[&str]) -> Vec<String> {
        let all: Vec<Option<String>> =
            redis::cmd("HMGET").arg(key).arg(fields).query(&mut self.redis).unwrap();
        all.into_iter().map(Option::unwrap_or_default).collect()
    }

    /// For how many milliseconds it is kept.
    pub fn left(&mut self, key: &str) -> u64 {
        redis::cmd("PTTL").arg(key).query::<i64>(&mut self.redis).unwrap().try_into().unwrap_or(0)
    }

    pub fn publish(&mut self, channel: &str, message: &str) {
        redis::cmd("PUBLISH").arg(channel).arg(message).exec(&mut self.redis).unwrap();
    }

    pub fn set(&mut self, key: &str, field: &str, value: &str) {
        redis::cmd("HSET").arg(key).arg(field).arg(value).exec(&mut self.redis).unwrap();
    }

    pub fn delete(&mut self, key: &str) {
        redis::cmd("DEL").arg(key).exec(&mut self.redis).unwrap();
    }

    pub fn flush(&mut self) {
        redis::cmd("FLUSHALL").exec(&mut self.redis).unwrap();
    }

    /// Makes it a replica of another, or the one that counts.
    pub fn replicate(&mut self, of: Option<&Server>) {
        let (host, port) = of.map_or(("NO", "ONE".to_owned()), |of| ("127.0.0.1", of.port.to_string()));
        redis::cmd("REPLICAOF").arg(host).arg(port).exec(&mut self.redis).unwrap();
    }

    /// Until a field is this.
    pub fn await_field(&mut self, key: &str, field: &str, wanted: &str) {
        let until = Instant::now() + WITHIN;
        while self.fields(key, &[field]) != [wanted] {
            assert!(Instant::now() < until, "{field} of {key} is not {wanted:?}");
            std::thread::yield_now();
        }
    }
}
