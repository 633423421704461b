//! The addresses that are listened on.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mio::net::TcpListener;

/// How often a free port is picked anew because its twin of the other family is taken.
const TRIES: usize = 20;

/// Listens on every address, all on one port. Without addresses: on loopback, where ::1 may be missing.
pub fn listen(addresses: &[IpAddr], port: u16) -> Result<Vec<TcpListener>, String> {
    let mut result = try_listen(addresses, port);
    for _ in 0..TRIES {
        match &result {
            Err((_, error)) if port == 0 && error.kind() == ErrorKind::AddrInUse => {
                result = try_listen(addresses, port)
            }
            _ => break,
        }
    }
    result.map_err(|(address, error)| match error.kind() {
        ErrorKind::AddrInUse => format!("port {} is busy: another program listens on {address}", address.port()),
        ErrorKind::PermissionDenied => format!("port {} needs privileges that this user has not", address.port()),
        ErrorKind::AddrNotAvailable => format!("{} is not an address of this machine", address.ip()),
        _ => format!("cannot listen on {address}: {error}"),
    })
}

fn try_listen(addresses: &[IpAddr], port: u16) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let optional = |address: IpAddr| addresses.is_empty() && address.is_ipv6();
    let wanted = if addresses.is_empty() { &LOOPBACK } else { addresses };
    let mut port = port;
    let mut listeners = Vec::new();
    for &ip in wanted {
        let address = SocketAddr::new(ip, port);
        match bind(address) {
            Ok(listener) => {
                port = listener.local_addr().map_err(|error| (address, error))?.port();
                listeners.push(listener);
            }
            Err(error) if optional(ip) && error.kind() != ErrorKind::AddrInUse => {}
            Err(error) => return Err((address, error)),
        }
    }
    Ok(listeners)
}

/// The standard library binds with SO_REUSEADDR on Unix, so that a restart finds its port free at once.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(TcpListener::from_std(listener))
}

/// The host that clients are told to connect to, where none is given.
pub fn advertised_host(addresses: &[IpAddr]) -> String {
    match addresses.first() {
        Some(address) if !address.is_unspecified() => address.to_string(),
        Some(_) => "localhost".to_owned(),
        None => Ipv4Addr::LOCALHOST.to_string(),
    }
}
