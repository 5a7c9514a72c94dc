//! Images without a builder and without a registry: a program, the shared libraries that it links, and what it reads
//! of a system, as an archive that containerd imports.

use crate::{Scratch, program, tool};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The certificates that Debian trusts; ours call vendors by them.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// An image archive; the file is there as long as this is.
pub struct Image {
    archive: PathBuf,
    scratch: Scratch,
}

impl Image {
    /// `llm-operator` and `llm-proxy` as they are now, where the Dockerfile puts them, and under its user.
    pub fn gateway(name: &str) -> Self {
        let image = Self::new();
        for each in ["llm-operator", "llm-proxy"] {
            image.add(&program(each), &format!("usr/local/bin/{each}"));
        }
        image.file("etc/passwd", "nonroot:x:65532:65532::/:/sbin/nologin\n");
        image.packed(name, &json!({"User": "65532:65532", "Env": ["PATH=/usr/local/bin"]}))
    }

    /// busybox, with the commands that applications and tests of charts use; `command` is what it runs by itself.
    pub fn busybox(name: &str, command: &[&str]) -> Self {
        let image = Self::new();
        image.add(Path::new("/bin/busybox"), "bin/busybox");
        for command in ["sh", "sleep", "cat", "wget", "httpd", "nc", "nslookup", "env", "ls"] {
            symlink("busybox", image.root().join("bin").join(command)).unwrap();
        }
        image.packed(name, &json!({"Cmd": command, "Env": ["PATH=/bin"]}))
    }

    /// Redis as its official image has it: the server and its client by their names.
    pub fn redis(name: &str) -> Self {
        let image = Self::new();
        image.add(&tool("bin/redis-server"), "usr/local/bin/redis-server");
        image.add(Path::new("/usr/bin/redis-cli"), "usr/local/bin/redis-cli");
        fs::create_dir(image.root().join("data")).unwrap();
        image.packed(name, &json!({"Cmd": ["redis-server"], "Env": ["PATH=/usr/local/bin"]}))
    }

    /// Node with one module at the root, and the packages of `target/tools` that it imports.
    pub fn node(name: &str, module: &Path, packages: &[&str]) -> Self {
        let image = Self::new();
        let found = Command::new("node").args(["-p", "process.execPath"]).output().unwrap();
        let node = String::from_utf8(found.stdout).unwrap();
        image.add(Path::new(node.trim()), "bin/node");
        let file = module.file_name().unwrap().to_str().unwrap();
        image.copy(module, file);
        for package in packages {
            image.add_package(package);
        }
        image.packed(name, &json!({"Cmd": ["node", format!("/{file}")], "Env": ["PATH=/bin"]}))
    }

    pub fn archive(&self) -> &Path {
        &self.archive
    }

    fn new() -> Self {
        let scratch = Scratch::new("image");
        let image = Self { archive: scratch.path().join("image.tar"), scratch };
        fs::create_dir_all(image.root().join("tmp")).unwrap();
        fs::set_permissions(image.root().join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        image.copy(Path::new(CERTIFICATES), CERTIFICATES.trim_start_matches('/'));
        image
    }

    fn root(&self) -> PathBuf {
        self.scratch.path().join("root")
    }

    /// A program without its symbols, which are most of it, and its libraries where it looks for them.
    fn add(&self, program: &Path, at: &str) {
        self.copy(program, at);
        let stripped = Command::new("strip").arg(self.root().join(at)).output().unwrap();
        assert!(stripped.status.success(), "strip {}: {stripped:?}", program.display());
        // A program that links nothing makes `ldd` fail, and has nothing to copy.
        let linked = Command::new("ldd").arg(program).output().unwrap();
        let linked = String::from_utf8(linked.stdout).unwrap();
        for library in linked.split_whitespace().filter(|word| word.starts_with('/')) {
            self.copy(Path::new(library), library.trim_start_matches('/'));
        }
    }

    /// What runs of a package, and of the packages that it depends on.
    fn add_package(&self, package: &str) {
        let at = format!("node_modules/{package}");
        if self.root().join(&at).exists() {
            return;
        }
        let folder = tool("node").join(&at);
        self.copy_modules(&folder, &at);
        let manifest: Value =
            serde_json::from_slice(&fs::read(folder.join("package.json")).unwrap()).unwrap();
        for dependency in manifest["dependencies"].as_object().into_iter().flat_map(|map| map.keys()) {
            self.add_package(dependency);
        }
    }

    /// Modules and manifests; their sources, types and maps are most of a package, and nothing reads them.
    fn copy_modules(&self, from: &Path, to: &str) {
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                self.copy_modules(&path, &format!("{to}/{name}"));
            } else if [".js", ".mjs", ".cjs", ".json"].iter().any(|ending| name.ends_with(ending)) {
                self.copy(&path, &format!("{to}/{name}"));
            }
        }
    }

    fn copy(&self, from: &Path, to: &str) {
        let to = self.root().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    }

    fn file(&self, path: &str, contents: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// One layer, its configuration, and a manifest that names them.
    fn packed(self, name: &str, config: &serde_json::Value) -> Self {
        let folder = self.scratch.path();
        let layer = folder.join("layer.tar");
        tar(&self.root(), &layer, &["."]);
        let digest = Sha256::digest(fs::read(&layer).unwrap());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
        });
        self.scratch.write("config.json", config.to_string());
        let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
        self.scratch.write("manifest.json", manifest.to_string());
        tar(folder, &self.archive, &["manifest.json", "config.json", "layer.tar"]);
        self
    }
}

fn tar(folder: &Path, archive: &Path, files: &[&str]) {
    let mut command = Command::new("tar");
    command
        .arg("-C")
        .arg(folder)
        .args(["--owner=0", "--group=0", "--numeric-owner", "-cf"])
        .arg(archive)
        .args(files);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// As images call it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
