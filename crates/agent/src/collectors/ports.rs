//! Listening sockets, from the kernel's tables in /proc/net, with the process that holds each where it can be seen.

use super::{Item, item};
use serde_json::json;
use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The state of a TCP socket that listens; UDP sockets that are bound and not connected have [`UNCONNECTED`].
const LISTEN: &str = "0A";
const UNCONNECTED: &str = "07";

pub fn listening() -> Vec<Item> {
    let owners = socket_owners();
    let mut items = Vec::new();
    for (protocol, state) in [("tcp", LISTEN), ("tcp6", LISTEN), ("udp", UNCONNECTED), ("udp6", UNCONNECTED)] {
        let table = std::fs::read_to_string(format!("/proc/net/{protocol}")).unwrap_or_default();
        for line in table.lines().skip(1) {
            items.extend(socket(protocol, state, line, &owners));
        }
    }
    items
}

fn socket(protocol: &str, wanted_state: &str, line: &str, owners: &HashMap<String, u32>) -> Option<Item> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (local, remote, state, inode) = (fields.get(1)?, fields.get(2)?, fields.get(3)?, fields.get(9)?);
    if *state != wanted_state {
        return None;
    }
    let (address, port) = endpoint(local)?;
    let (remote_address, remote_port) = endpoint(remote)?;
    let remote_port = if remote_port == 0 { "*".to_owned() } else { remote_port.to_string() };
    let mut socket = item(json!({
        "Protocol": protocol,
        "LocalAddress": address,
        "LocalPort": port.to_string(),
        "RemoteAddress": remote_address,
        "RemotePort": remote_port,
    }));
    if let Some(pid) = owners.get(*inode) {
        socket.insert("ExtraDetails".to_owned(), json!({ "Pid": pid.to_string() }));
    }
    Some(socket)
}

/// `0100007F:0016`: the address in the machine's byte order, by words of four bytes, and the port.
fn endpoint(text: &str) -> Option<(String, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Vec<[u8; 4]> = (0..address.len() / 8)
        .map(|i| u32::from_str_radix(&address[i * 8..i * 8 + 8], 16).ok().map(u32::to_ne_bytes))
        .collect::<Option<_>>()?;
    let address = match words.as_slice() {
        [word] => Ipv4Addr::from(*word).to_string(),
        [a, b, c, d] => {
            let bytes: Vec<u8> = [a, b, c, d].into_iter().flatten().copied().collect();
            Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string()
        }
        _ => return None,
    };
    Some((address, port))
}

/// Which process holds a socket, by inode; only of processes whose files may be looked at.
fn socket_owners() -> HashMap<String, u32> {
    let mut owners = HashMap::new();
    for pid in super::process::pids() {
        let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for file in files.flatten() {
            let target = std::fs::read_link(file.path()).unwrap_or_default();
            let target = target.to_string_lossy();
            if let Some(inode) = target.strip_prefix("socket:[").and_then(|t| t.strip_suffix(']')) {
                owners.insert(inode.to_owned(), pid);
            }
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_socket_that_listens_here() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port().to_string();
        let found =
            listening().into_iter().find(|i| i["LocalPort"] == port && i["Protocol"] == "tcp").expect("it is seen");
        assert_eq!(found["LocalAddress"], "127.0.0.1");
        assert_eq!(found["ExtraDetails"]["Pid"], std::process::id().to_string());
        assert_eq!(found["RemotePort"], "*");
    }
}
