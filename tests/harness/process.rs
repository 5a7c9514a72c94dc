//! Running programs: their output is kept, signals reach them, and none outlives the test.

use crate::eventually;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// Lines kept of one program; the oldest go first.
const KEPT_LINES: usize = 20_000;

#[derive(Clone, Copy, PartialEq)]
enum Stream {
    Out,
    Err,
}

type Lines = Arc<Mutex<VecDeque<(Stream, String)>>>;

/// A running program, killed on drop. It is tied to no async runtime, so that tests may share one.
pub struct Process {
    name: String,
    child: Mutex<Child>,
    lines: Lines,
    readers: [JoinHandle<()>; 2],
}

impl Process {
    /// Starts `command`: its program, arguments, environment and folder are kept, its standard streams are not.
    pub fn start(command: &Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = spawn_from_lasting_thread(tied_to_us(command))
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let lines = Lines::default();
        let readers = [
            collect(child.stdout.take().unwrap(), Stream::Out, Arc::clone(&lines)),
            collect(child.stderr.take().unwrap(), Stream::Err, Arc::clone(&lines)),
        ];
        Self { name, child: Mutex::new(child), lines, readers }
    }

    pub fn id(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// SIGTERM: asks it to stop.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGINT: what Ctrl-C sends.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// SIGKILL: a crash.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// SIGSTOP: it hangs, with its connections open, until `resume`.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let mut child = self.child.lock().unwrap();
        // Once its end was seen, the kernel may give its id to another program.
        if child.try_wait().unwrap().is_none() {
            kill_process(Pid::from_child(&child), signal).unwrap();
        }
    }

    pub fn is_running(&self) -> bool {
        self.status().is_none()
    }

    fn status(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap().try_wait().unwrap()
    }

    /// Blocks until it has ended: for those who are being dropped.
    pub(crate) fn wait(&self) {
        let _ = self.child.lock().unwrap().wait();
    }

    /// Waits until it has ended by itself or by a signal, and all of its output is here.
    pub async fn exited(&self, within: Duration) -> ExitStatus {
        eventually(&format!("the end of {}", self.name), within, async || match self.status() {
            Some(status) if self.readers.iter().all(JoinHandle::is_finished) => Ok(status),
            _ => Err(format!("it runs; its output so far:\n{}", self.output())),
        })
        .await
    }

    /// Waits for a line of either stream, past or future, and answers it. Fails at once when the program has ended
    /// without it.
    pub async fn await_line(&self, within: Duration, wanted: impl Fn(&str) -> bool) -> String {
        eventually(&format!("a line of {}", self.name), within, async || {
            let ended = self.status().filter(|_| self.readers.iter().all(JoinHandle::is_finished));
            if let Some((_, line)) = self.lines.lock().unwrap().iter().find(|(_, line)| wanted(line)) {
                return Ok(line.clone());
            }
            if let Some(status) = ended {
                panic!("{} ended ({status}) without the line:\n{}", self.name, self.output());
            }
            Err(format!("its output so far:\n{}", self.output()))
        })
        .await
    }

    /// Both streams, in the order of arrival.
    pub fn output(&self) -> String {
        self.text(|_| true)
    }

    pub fn stdout(&self) -> String {
        self.text(|stream| stream == Stream::Out)
    }

    pub fn stderr(&self) -> String {
        self.text(|stream| stream == Stream::Err)
    }

    fn text(&self, of: impl Fn(Stream) -> bool) -> String {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|(stream, _)| of(*stream)).flat_map(|(_, line)| [line.as_str(), "\n"]).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn collect(from: impl Read + Send + 'static, stream: Stream, lines: Lines) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            let mut lines = lines.lock().unwrap();
            if lines.len() == KEPT_LINES {
                lines.pop_front();
            }
            lines.push_back((stream, String::from_utf8_lossy(&line).into_owned()));
        }
    })
}

/// The same command through `setpriv`, where it exists: a test process that is killed runs no destructor, and the
/// kernel then has to end the child.
fn tied_to_us(command: &Command) -> Command {
    let setpriv = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join("setpriv"))
        .find(|path| path.is_file());
    let mut tied = match setpriv {
        Some(setpriv) => {
            let mut tied = Command::new(setpriv);
            tied.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program());
            tied
        }
        None => Command::new(command.get_program()),
    };
    tied.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => tied.env(name, value),
            None => tied.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        tied.current_dir(folder);
    }
    tied.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    tied
}

/// The kernel sends the parent-death signal when the *thread* that started a child ends, and each test has a thread
/// of its own: what one test starts and others share must come from a thread that stays.
fn spawn_from_lasting_thread(command: Command) -> std::io::Result<Child> {
    type Request = (Command, mpsc::Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (requests, incoming) = mpsc::channel::<Request>();
        std::thread::spawn(move || {
            for (mut command, reply) in incoming {
                let _ = reply.send(command.spawn());
            }
        });
        requests
    });
    let (reply, child) = mpsc::channel();
    spawner.send((command, reply)).unwrap();
    child.recv().unwrap()
}
