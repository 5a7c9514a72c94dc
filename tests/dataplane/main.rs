//! One proxy between a caller and providers: real ones' stand-ins that others wrote, and raw sockets for the faults
//! that no mock has.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod budgets;
mod charges;
mod client_certificates;
mod clients;
mod documents;
mod excess;
mod further;
mod https;
mod lifecycle;
mod limits;
mod observed;
mod overrides;
mod provider_faults;
mod refusals;
mod replies;
mod routing;
mod simulated;
mod slow_clients;
mod tls;
