//! The operator's ports.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::net::TcpListener;

/// Takes a port. `[::]` is every address of the machine, those of IPv4 as well, unless the system keeps them apart
/// (`net.ipv6.bindv6only`, which it does not by default); where there is no IPv6, only those.
///
/// # Errors
/// When it can't be had; it is named.
pub async fn take(address: SocketAddr) -> Result<TcpListener, String> {
    let mut taken = TcpListener::bind(address).await;
    if let Err(error) = &taken
        && address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        && !matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
    {
        taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await;
    }
    taken.map_err(|error| format!("can't listen on {address}: {error}"))
}
