//! Where a machine's programs live: a network, mounts and process ids of their own, and cgroups below one folder.
//!
//! One process holds the namespaces, and the kernel ends all that is in them when it ends; it is tied to the test
//! process, so that nothing stays even of a test that is killed. Cgroups alone are swept by who comes next.

use crate::{Process, eventually};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// What a program needs to find empty, and what it leaves there, is of this machine alone.
const PRIVATE: [&str; 4] = ["/run", "/var/log", "/var/lib/cni", "/var/lib/kubelet"];
/// What is ours, of a cgroup's name and a cable's alias; the id of the test process follows.
const PREFIX: &str = "llm-gateway-test-";

pub(super) struct Namespaces {
    holder: Process,
    /// The first process in them.
    init: u32,
    /// Tells the networks of machines at the same time apart.
    number: u8,
    cgroup: String,
}

impl Namespaces {
    pub async fn new() -> Self {
        assert!(geteuid().is_root(), "a whole node needs root");
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        // The shell collects the orphans of the others, as the first process has to.
        command.args(["bash", "-c", "sleep infinity & wait"]);
        let holder = Process::start(&command);
        let children = format!("/proc/{0}/task/{0}/children", holder.id());
        let init = eventually("the namespaces", Duration::from_secs(10), async || {
            assert!(holder.is_running(), "unshare ended:\n{}", holder.output());
            let children = fs::read_to_string(&children).map_err(|error| error.to_string())?;
            children.trim().parse::<u32>().map_err(|_| format!("its children: {children:?}"))
        })
        .await;
        disconnect_stale();
        let number = connect(init);
        let namespaces = Self { holder, init, number, cgroup: make_cgroup(number) };
        namespaces.prepare();
        namespaces
    }

    /// Where the test process is, for what runs in the machine.
    pub fn host(&self) -> String {
        format!("10.233.{}.1", self.number)
    }

    pub fn node(&self) -> String {
        format!("10.233.{}.2", self.number)
    }

    pub fn pods(&self) -> String {
        format!("10.244.{}.0/24", self.number)
    }

    pub fn services(&self) -> String {
        format!("10.96.{}.0/24", self.number)
    }

    /// The parent of all cgroups of the machine.
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// A command that runs in them, and ends when whoever started it does.
    pub fn enter(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.to_string(), "--net", "--mount", "--pid", "--"]);
        command.args(["setpriv", "--pdeathsig", "KILL", "--"]).arg(program);
        command
    }

    fn prepare(&self) {
        let mut script = String::from("set -eu\n");
        for folder in PRIVATE {
            script += &format!("mkdir -p {folder}; mount -t tmpfs -o mode=755 tmpfs {folder}\n");
        }
        script += &format!(
            "ip link set lo up; ip addr add {}/30 dev node; ip link set node up; ip route add default via {}\n\
             echo 1 >/proc/sys/net/ipv4/ip_forward\n",
            self.node(),
            self.host()
        );
        ran(self.enter("sh").args(["-c", &script]));
        let device = device(self.number);
        ran(Command::new("ip").args(["addr", "add", &format!("{}/30", self.host()), "dev", &device]));
        ran(Command::new("ip").args(["link", "set", &device, "up", "alias", &self.cgroup]));
        // The test process calls pods and services as a neighbour would.
        for network in [self.pods(), self.services()] {
            ran(Command::new("ip").args(["route", "add", &network, "via", &self.node()]));
        }
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // The first process is gone when all others are, and the holder when that is.
        if self.holder.is_running() {
            let _ = kill_process(Pid::from_raw(self.init.cast_signed()).unwrap(), Signal::KILL);
            self.holder.wait();
        }
        // A connection that lingers would keep the network, and the cable with it, for a while.
        disconnect(&device(self.number));
        for folder in cgroup_roots() {
            remove_cgroup(&folder.join(&self.cgroup));
        }
    }
}

/// A cgroup of every hierarchy, empty, and none of a test process that is dead.
fn make_cgroup(number: u8) -> String {
    let name = format!("{PREFIX}{}-{number}", std::process::id());
    for root in cgroup_roots() {
        for entry in fs::read_dir(&root).unwrap().flatten() {
            if is_stale(&entry.file_name().to_string_lossy()) {
                remove_cgroup(&entry.path());
            }
        }
        fs::create_dir_all(root.join(&name)).unwrap();
    }
    name
}

fn cgroup_roots() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields.filter(|fields| fields[2].starts_with("cgroup")).map(|fields| PathBuf::from(fields[1])).collect()
}

/// A cgroup can be removed once those below it are; their files go with them.
fn remove_cgroup(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    let _ = fs::remove_dir(path);
}

fn device(number: u8) -> String {
    format!("llm{number}")
}

/// Whether the name is that of something of a test process that is dead.
fn is_stale(name: &str) -> bool {
    let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
    owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists())
}

fn disconnect(device: &str) {
    let _ = Command::new("ip").args(["link", "delete", device]).output();
}

fn disconnect_stale() {
    let links = ran(Command::new("ip").args(["-json", "link", "show", "type", "veth"]));
    let links: Vec<Value> = serde_json::from_slice(&links.stdout).unwrap();
    for link in links.iter().filter(|link| link["ifalias"].as_str().is_some_and(is_stale)) {
        disconnect(link["ifname"].as_str().unwrap());
    }
}

/// A cable between the host and the namespaces. That no two devices have one name makes the number ours.
fn connect(init: u32) -> u8 {
    for number in 1..=250 {
        let mut command = Command::new("ip");
        command.args(["link", "add", &device(number), "type", "veth", "peer", "name", "node", "netns"]);
        let output = command.arg(init.to_string()).output().unwrap();
        if output.status.success() {
            return number;
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(complaint.contains("File exists"), "{command:?}: {complaint}");
    }
    panic!("250 machines at once");
}

pub(super) fn ran(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
