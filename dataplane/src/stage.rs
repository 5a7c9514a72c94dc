//! The stages of a call, in the order of its path.

pub mod identify;
pub mod authenticate;
pub mod wish;
pub mod decode;
pub mod route;
pub mod reserve;
pub mod dispatch;
pub mod relay;
pub mod settle;
pub mod report;
