//! One run of wrk, and its figures.

use std::{collections::HashMap, net::SocketAddr, path::Path, time::Duration};

use crate::{Outcome, process::pinned};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/chat.lua");

/// How to load a target.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    pub core: usize,
    pub connections: u32,
    pub path: &'static str,
    pub body: &'a Path,
    /// Names and values, besides.
    pub headers: &'a [(&'a str, &'a str)],
}

/// What came out.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    pub requests: f64,
    pub elapsed: Duration,
    pub median: Duration,
}

impl Load<'_> {
    /// Loads the target for that many seconds.
    pub fn run(&self, target: SocketAddr, seconds: u32) -> Outcome<Figures> {
        let output = pinned(self.core, "wrk")
            .args(["-t1", &format!("-c{}", self.connections), &format!("-d{seconds}s")])
            .args(["--latency", "--timeout", "5s", "-s", SCRIPT])
            .arg(format!("http://{target}{}", self.path))
            .arg("--")
            .arg(self.body)
            .args(self.headers.iter().map(|(name, value)| format!("{name}={value}")))
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            return Err(format!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr)).into());
        }
        let result = text.lines().find_map(|line| line.strip_prefix("result "));
        figures(result.ok_or_else(|| format!("wrk: no result in: {text}"))?)
    }
}

/// From the line that the script writes. One error makes the whole run worthless.
fn figures(line: &str) -> Outcome<Figures> {
    let fields: HashMap<&str, &str> = line.split(' ').filter_map(|field| field.split_once('=')).collect();
    let number = |name: &str| -> Outcome<u32> {
        Ok(fields.get(name).ok_or_else(|| format!("wrk: no {name} in: {line}"))?.parse()?)
    };
    for kind in ["status", "connect", "read", "write", "timeout"] {
        if number(kind)? != 0 {
            return Err(format!("wrk met errors: {line}").into());
        }
    }
    let requests = number("requests")?;
    if requests == 0 {
        return Err("wrk got no answer at all".into());
    }
    Ok(Figures {
        requests: f64::from(requests),
        elapsed: Duration::from_micros(number("duration_us")?.into()),
        median: Duration::from_micros(number("p50_us")?.into()),
    })
}
