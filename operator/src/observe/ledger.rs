//! Where proxies keep what budgets have spent, as the platform team sets it in one file.

pub mod reread;

use std::{fs, path::Path};

use llm_config::{
    Credential, Ledger,
    budget::{Redis, RedisMode, RedisTls},
};
use serde::Deserialize;

use crate::compile::certificates;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    redis: Server,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Server {
    endpoints: Vec<String>,
    #[serde(default)]
    mode: Mode,
    username: Option<String>,
    password: Option<String>,
    password_file: Option<String>,
    /// With mode `Sentinel`.
    sentinel: Option<Sentinel>,
    #[serde(default)]
    database: u32,
    tls: Option<Tls>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
enum Mode {
    #[default]
    Single,
    Sentinel,
    Cluster,
}

/// The sentinels have accounts of their own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sentinel {
    master: String,
    username: Option<String>,
    password: Option<String>,
    password_file: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Tls {
    ca_file: Option<String>,
}

/// Reads the file, and the files that it names relative to its folder.
///
/// # Errors
/// What to change in the file.
pub fn read(file: &Path) -> Result<Ledger, String> {
    let wrong = |problem: String| format!("{}: {problem}", file.display());
    let text = fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let File { redis } = serde_saphyr::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    redis.settings(folder).map(Ledger::Redis).map_err(|problem| wrong(format!("redis.{problem}")))
}

impl Server {
    fn settings(self, folder: &Path) -> Result<Redis, String> {
        let Self { endpoints, mode, username, password, password_file, sentinel, database, tls } = self;
        if endpoints.is_empty() {
            return Err("endpoints: at least one is needed, such as redis:6379".to_owned());
        }
        if let Some(wrong) = endpoints.iter().find(|endpoint| !is_endpoint(endpoint)) {
            return Err(format!("endpoints: `{wrong}` is none: give host and port, such as redis:6379"));
        }
        if mode == Mode::Cluster && database != 0 {
            return Err("database: a cluster has but 0: remove it".to_owned());
        }
        let mode = match (mode, sentinel) {
            (Mode::Sentinel, Some(sentinel)) => sentinel.mode(folder)?,
            (Mode::Sentinel, None) => {
                return Err("sentinel: is needed with mode Sentinel, with the name of the master".to_owned());
            }
            (_, Some(_)) => return Err("sentinel: is for mode Sentinel".to_owned()),
            (Mode::Single, None) => RedisMode::Single,
            (Mode::Cluster, None) => RedisMode::Cluster,
        };
        Ok(Redis {
            endpoints,
            mode,
            password: account("", username.as_deref(), password, password_file, folder)?,
            username,
            database,
            tls: tls.map(|tls| tls.settings(folder)).transpose()?,
        })
    }
}

impl Sentinel {
    fn mode(self, folder: &Path) -> Result<RedisMode, String> {
        let Self { master, username, password, password_file } = self;
        if master.is_empty() {
            return Err("sentinel.master: must not be empty".to_owned());
        }
        let password = account("sentinel.", username.as_deref(), password, password_file, folder)?;
        Ok(RedisMode::Sentinel { master, username, password })
    }
}

impl Tls {
    fn settings(self, folder: &Path) -> Result<RedisTls, String> {
        let Some(name) = self.ca_file else { return Ok(RedisTls::default()) };
        let ca = read_beside(folder, &name).map_err(|error| format!("tls.caFile: {error}"))?;
        certificates(&ca).map_err(|error| format!("tls.caFile: {name}: {error}"))?;
        Ok(RedisTls { ca: Some(ca) })
    }
}

/// The password of an account, given in one way or the other.
fn account(
    of: &str,
    username: Option<&str>,
    password: Option<String>,
    file: Option<String>,
    folder: &Path,
) -> Result<Option<Credential>, String> {
    let password = match (password, file) {
        (Some(_), Some(_)) => return Err(format!("{of}password: give it, or {of}passwordFile, not both")),
        (Some(password), None) => Some(password),
        // A trailing line end is what editors and `kubectl create secret --from-file` bring along.
        (None, Some(name)) => {
            let text = read_beside(folder, &name).map_err(|error| format!("{of}passwordFile: {error}"))?;
            Some(text.trim_end().to_owned())
        }
        (None, None) => None,
    };
    match (username, password) {
        (_, Some(password)) if password.is_empty() => Err(format!("{of}password: is empty")),
        (Some(username), None) => Err(format!("{of}username: `{username}` needs {of}passwordFile")),
        (_, password) => Ok(password.map(Credential::new)),
    }
}

fn read_beside(folder: &Path, name: &str) -> Result<String, String> {
    fs::read_to_string(folder.join(name)).map_err(|error| format!("{name}: {error}"))
}

/// `host:port`; an IPv6 address stands in brackets.
fn is_endpoint(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let named = match host.strip_prefix('[') {
        Some(rest) => rest.ends_with(']'),
        None => !host.is_empty() && !host.contains([':', '/', '@', ' ']),
    };
    named && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests;
