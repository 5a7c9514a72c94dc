//! The harness of the integration tests: it starts the programs that we ship beside real servers (etcd and a Kubernetes
//! API server, a provider mock that others wrote, the official SDKs) and talks to them as their users do.
//!
//! Nothing here is a stand-in of our own for something that exists, but for `RawUpstream`, since no mock breaks a
//! connection as exactly as those tests need, and `Link`, since no network can be cut without rights over the machine. Everything listens on free loopback ports and writes below `target/scratch`, stops
//! when it is dropped, and dies with the test process. Tests wait by polling (`eventually`), never for a fixed time.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod aimock;
mod certificates;
mod cluster;
mod eventually;
mod helm;
pub mod http;
pub mod https;
mod image;
mod link;
mod machine;
mod markdown;
mod node;
pub mod openai;
mod ports;
mod process;
mod programs;
mod proxy;
mod python;
mod raw_upstream;
mod redis;
mod scratch;
mod serving_pair;

pub use aimock::Aimock;
pub use certificates::{Authority, Identity};
pub use cluster::Cluster;
pub use eventually::eventually;
pub use helm::Helm;
pub use image::Image;
pub use link::Link;
pub use machine::Machine;
pub use markdown::markdown;
pub use node::node;
pub use ports::free_port;
pub use process::Process;
pub use programs::{program, tool, workspace};
pub use proxy::Proxy;
pub use python::{Ran, python};
pub use raw_upstream::{RawUpstream, Step, answer, sse_end, sse_event, sse_head};
pub use redis::Redis;
pub use scratch::Scratch;
pub use serving_pair::ServingPair;
