//! A whole Kubernetes on one node: an API server with its etcd, controllers, a scheduler, containerd, a kubelet,
//! kube-proxy and cluster DNS. It is for what needs pods: the chart, probes, drains, restarts.
//!
//! Pods call a server of the test at `host()`; the test calls pods and services by their addresses. Network policies
//! are accepted and not enforced: the plugin that makes the pods' network has none. It needs root, and Debian's
//! containerd; images come from `load`, for there is no registry.

mod namespaces;

use crate::certificates::Authority;
use crate::cluster::{Cluster, Site};
use crate::{Image, Process, Scratch, eventually, tool};
use namespaces::{Namespaces, ran};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(120);
const NODE: &str = "node-1";
/// Of the image in which a pod's namespaces are held.
const PAUSE: &str = "docker.io/llm-gateway/pause:1";

pub struct Machine {
    // In the order of dropping: with the namespaces ends all that runs in them.
    namespaces: Namespaces,
    processes: Vec<(&'static str, Process)>,
    cluster: Cluster,
}

impl Machine {
    pub async fn start() -> Self {
        let namespaces = Namespaces::new().await;
        let (scratch, authority) = (Scratch::new("machine"), Authority::new());
        let (node, services) = (namespaces.node(), namespaces.services());
        let site = Site {
            address: &node,
            services: &services,
            enter: &|program| namespaces.enter(program),
            options: api_server_options(&scratch, &authority),
        };
        let cluster = Cluster::start_at(&site, scratch, &authority).await;
        let mut machine = Self { namespaces, processes: Vec::new(), cluster };
        machine.start_controllers(&authority);
        machine.start_containerd().await;
        machine.load(&Image::busybox(PAUSE, &["sleep", "infinity"]));
        machine.start_kubelet(&authority);
        machine.start_network();
        machine.ready().await;
        machine
    }

    /// Its API server, and what is asked of it.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The address of the test process, for pods.
    pub fn host(&self) -> String {
        self.namespaces.host()
    }

    /// Makes an image known to the node by the name that it was made with.
    pub fn load(&self, image: &Image) {
        ran(self.namespaces.enter("ctr").args(["-n", "k8s.io", "images", "import"]).arg(image.archive()));
    }

    /// A command that runs on the node, in its network.
    pub fn enter(&self, program: impl AsRef<OsStr>) -> Command {
        self.namespaces.enter(program)
    }

    /// SIGKILL to a program of a pod: a crash. The pod is known by its uid, which names its cgroup.
    pub fn crash(&self, pod_uid: &str, program: &str) {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let reads = |id: i32, file: &str| std::fs::read_to_string(format!("/proc/{id}/{file}"));
        let runs = |id: &i32| {
            let of_pod = reads(*id, "cgroup").is_ok_and(|cgroups| cgroups.contains(pod_uid));
            of_pod && reads(*id, "comm").is_ok_and(|name| name.trim() == program)
        };
        let found: Vec<i32> = ids.filter(runs).collect();
        let [id] = found[..] else { panic!("pod {pod_uid} runs {program} as {found:?}") };
        kill_process(Pid::from_raw(id).unwrap(), Signal::KILL).unwrap();
    }

    fn run(&mut self, name: &'static str, mut command: Command, options: &[(&str, &str)]) {
        for (option, value) in options {
            command.arg(format!("--{option}={value}"));
        }
        self.processes.push((name, Process::start(&command)));
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        self.cluster.scratch().write(name, contents).to_str().unwrap().to_owned()
    }

    fn folder(&self, name: &str) -> String {
        self.cluster.scratch().path().join(name).to_str().unwrap().to_owned()
    }

    fn admin(&self) -> String {
        self.cluster.admin_kubeconfig().to_str().unwrap().to_owned()
    }

    fn start_controllers(&mut self, authority: &Authority) {
        let (admin, ca) = (self.admin(), self.write("ca.crt", authority.pem()));
        let command = self.namespaces.enter(tool("bin/kube-controller-manager"));
        let options = [
            ("kubeconfig", admin.as_str()),
            ("leader-elect", "false"),
            ("use-service-account-credentials", "true"),
            ("root-ca-file", &ca),
        ];
        self.run("kube-controller-manager", command, &options);
        let command = self.namespaces.enter(tool("bin/kube-scheduler"));
        self.run("kube-scheduler", command, &[("kubeconfig", &admin), ("leader-elect", "false")]);
    }

    async fn start_containerd(&mut self) {
        let (root, plugins) = (self.folder("containerd"), self.folder("cni"));
        let pods = self.namespaces.pods();
        std::fs::create_dir_all(&plugins).unwrap();
        // Pods may be more than one network's: the bridge's own addresses are below /var/lib/cni, which is private.
        let network = json!({"cniVersion": "1.0.0", "name": "pods", "plugins": [
            {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true, "ipam": {
                "type": "host-local", "ranges": [[{"subnet": pods}]], "routes": [{"dst": "0.0.0.0/0"}]}},
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ]});
        self.write("cni/10-pods.conflist", network.to_string());
        // Without CAP_SYS_RESOURCE, as in most sandboxes, no pod starts that would lower its OOM score.
        let config = format!(
            "version = 2\nroot = {root:?}\n\
             [plugins.\"io.containerd.grpc.v1.cri\"]\n\
             sandbox_image = {PAUSE:?}\nrestrict_oom_score_adj = true\n\
             [plugins.\"io.containerd.grpc.v1.cri\".cni]\nbin_dir = \"/usr/lib/cni\"\nconf_dir = {plugins:?}\n\
             [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n\
             runtime_type = \"io.containerd.runc.v2\"\n"
        );
        let config = self.write("containerd.toml", config);
        self.run("containerd", self.namespaces.enter("containerd"), &[("config", &config)]);
        eventually("containerd answers", WITHIN, async || {
            let output = self.namespaces.enter("ctr").arg("version").output().unwrap();
            if output.status.success() { Ok(()) } else { Err(self.told("containerd")) }
        })
        .await;
    }

    fn start_kubelet(&mut self, authority: &Authority) {
        let node = self.namespaces.node();
        let client = authority.client(&format!("system:node:{NODE}"), "system:nodes");
        let kubeconfig = self.cluster.kubeconfig_by("kubelet", &client);
        let server = authority.server(&[NODE, &node]);
        let config = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": format!("/{}", self.namespaces.cgroup()),
            "failSwapOn": false,
            "clusterDNS": [node],
            "clusterDomain": "cluster.local",
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "authentication": {
                "x509": {"clientCAFile": self.folder("ca.crt")},
                "anonymous": {"enabled": false},
                "webhook": {"enabled": true},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": self.write("kubelet.crt", server.certificate),
            "tlsPrivateKeyFile": self.write("kubelet.key", server.key),
            "podLogsDir": self.folder("pods"),
            // What is full is the machine of the tests, not this node.
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1Gi", "imagefs.available": "1Gi"},
            "imageGCHighThresholdPercent": 100,
            "resolvConf": "",
            // By default, a mounted ConfigMap is brought up to date once a minute.
            "syncFrequency": "2s",
        });
        let config = self.write("kubelet.json", config.to_string());
        let (command, root) = (self.namespaces.enter(tool("bin/kubelet")), self.folder("kubelet"));
        let options = [
            ("kubeconfig", kubeconfig.to_str().unwrap()),
            ("config", &config),
            ("hostname-override", NODE),
            ("node-ip", &node),
            ("root-dir", &root),
        ];
        self.run("kubelet", command, &options);
    }

    fn start_network(&mut self) {
        let (node, admin) = (self.namespaces.node(), self.admin());
        let config = json!({
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "clusterCIDR": self.namespaces.pods(),
            "clientConnection": {"kubeconfig": admin},
            // These are of the whole machine, and not this network's to set.
            "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            "hostnameOverride": NODE,
        });
        let config = self.write("kube-proxy.json", config.to_string());
        self.run("kube-proxy", self.namespaces.enter(tool("bin/kube-proxy")), &[("config", &config)]);
        let zones = "cluster.local in-addr.arpa";
        let config = format!(
            ".:53 {{\n bind {node}\n errors\n kubernetes {zones} {{\n  kubeconfig {admin}\n }}\n}}\n"
        );
        let config = self.write("Corefile", config);
        let mut command = self.namespaces.enter(tool("bin/coredns"));
        command.args(["-conf", &config]);
        self.run("coredns", command, &[]);
    }

    async fn ready(&self) {
        let kubectl = async |arguments: &[&str]| self.cluster.try_kubectl(arguments).await;
        eventually("the node is ready", WITHIN, async || {
            let condition = ["wait", "--for=condition=Ready", &format!("node/{NODE}"), "--timeout=1s"];
            kubectl(&condition).await.map_err(|error| format!("{error}\n{}", self.told("kubelet")))
        })
        .await;
        eventually("cluster DNS answers", WITHIN, async || {
            // 0035 is port 53, on which nothing else listens here.
            let listening =
                self.namespaces.enter("grep").args(["-q", ":0035", "/proc/net/udp"]).status().unwrap();
            if listening.success() { Ok(()) } else { Err(self.told("coredns")) }
        })
        .await;
        // Controllers make it a moment after the API server is ready, and no pod starts without it.
        eventually("the default service account", WITHIN, async || {
            kubectl(&["get", "serviceaccount", "default"]).await
        })
        .await;
    }

    /// The end of what a program of the node has said.
    fn told(&self, name: &str) -> String {
        let process = self.processes.iter().find(|(each, _)| *each == name);
        process.map_or_else(String::new, |(_, process)| last_lines(&process.output()))
    }

    /// What is there and what went wrong, for a test that failed.
    fn report(&self) -> String {
        let kubectl = |arguments: &[&str]| {
            let mut command = Command::new(tool("bin/kubectl"));
            command.args(arguments).args(["--all-namespaces", "--request-timeout=5s"]);
            let output = command.env("KUBECONFIG", self.cluster.admin_kubeconfig()).output().unwrap();
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        };
        let mut told = kubectl(&["get", "pods", "-o", "wide"]);
        told += &kubectl(&["get", "events", "--sort-by=.lastTimestamp"]);
        for (name, process) in self.processes.iter().filter(|(_, process)| !process.is_running()) {
            told += &format!("{name} ended:\n{}", last_lines(&process.output()));
        }
        each_file(Path::new(&self.folder("pods")), &mut |log| {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            told += &format!("{}:\n{}", log.display(), last_lines(&text));
        });
        told
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.report());
        }
    }
}

fn api_server_options(scratch: &Scratch, authority: &Authority) -> Vec<OsString> {
    let client = authority.client("kube-apiserver", "system:masters");
    let mut options: Vec<OsString> = [
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--kubelet-preferred-address-types=InternalIP",
    ]
    .map(OsString::from)
    .into();
    for (option, contents) in
        [("kubelet-client-certificate", client.certificate), ("kubelet-client-key", client.key)]
    {
        options.push(format!("--{option}").into());
        options.push(scratch.write(&format!("{option}.pem"), contents).into());
    }
    options
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].iter().map(|line| format!("    {line}\n")).collect()
}

fn each_file(folder: &Path, visit: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => each_file(&entry.path(), visit),
            _ => visit(&entry.path()),
        }
    }
}
