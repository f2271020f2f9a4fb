//! Functions on addresses of networks.

use super::{Args, Kernel};
use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use kql::Type;
use std::net::{Ipv4Addr, Ipv6Addr};

/// An address and the length of its prefix; `None` for text that is neither an address nor CIDR.
fn parse(text: &str) -> Option<(u32, u32)> {
    let (address, prefix) = match text.trim().split_once('/') {
        Some((address, prefix)) => (address, prefix.parse().ok().filter(|p| *p <= 32)?),
        None => (text.trim(), 32),
    };
    let address: Ipv4Addr = address.parse().ok()?;
    Some((address.to_bits(), prefix))
}

fn mask(prefix: u32) -> u32 {
    if prefix == 0 { 0 } else { u32::MAX << (32 - prefix) }
}

/// Null for text that is no IPv4 address.
pub static IPV4_IS_PRIVATE: Kernel = Kernel::new("kql_ipv4_is_private", Type::Bool, |args| {
    let texts = args.strings(0);
    Ok(args.make_bools(|i| {
        let (address, prefix) = parse(texts.get(i)?)?;
        let within = |network: u32, length: u32| prefix >= length && address & mask(length) == network;
        Some(within(0x0a00_0000, 8) || within(0xac10_0000, 12) || within(0xc0a8_0000, 16))
    }))
});

/// The masked addresses, masked by the shortest of both prefixes and the one given.
fn masked(args: &Args, i: usize) -> Option<(u32, u32)> {
    let (left, left_prefix) = parse(args.strings(0).get(i)?)?;
    let (right, right_prefix) = parse(args.strings(1).get(i)?)?;
    let given = if args.len() > 2 { u32::try_from(args.longs(2).get(i)?).ok().filter(|p| *p <= 32)? } else { 32 };
    let mask = mask(left_prefix.min(right_prefix).min(given));
    Some((left & mask, right & mask))
}

pub static IPV4_IS_MATCH: Kernel =
    Kernel::new("kql_ipv4_is_match", Type::Bool, |args| Ok(args.make_bools(|i| masked(args, i).map(|(a, b)| a == b))));
pub static IPV4_COMPARE: Kernel = Kernel::new("kql_ipv4_compare", Type::Long, |args| {
    Ok(args.make_longs(|i| masked(args, i).map(|(a, b)| a.cmp(&b) as i64)))
});
/// `ipv4_is_in_range(address, cidr)`.
pub static IPV4_IS_IN_RANGE: Kernel = Kernel::new("kql_ipv4_is_in_range", Type::Bool, |args| {
    let (texts, ranges) = (args.strings(0), args.strings(1));
    Ok(args.make_bools(|i| {
        let ((address, _), (network, prefix)) = (parse(texts.get(i)?)?, parse(ranges.get(i)?)?);
        Some(address & mask(prefix) == network & mask(prefix))
    }))
});
pub static PARSE_IPV4: Kernel = Kernel::new("kql_parse_ipv4", Type::Long, |args| {
    let texts = args.strings(0);
    Ok(args.make_longs(|i| parse(texts.get(i)?).map(|(address, prefix)| i64::from(address & mask(prefix)))))
});

/// The IPv4 addresses that stand in a text as terms of their own. With `any_start` digits may stand right before
/// one, since an octet has three at most.
fn addresses_in(text: &str, any_start: bool) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    text.split(move |c: char| !is_part(c))
        .map(|t| t.trim_matches('.'))
        .map(move |t| if any_start { &t[t.find('.').unwrap_or(0).saturating_sub(3)..] } else { t })
        .filter(|t| t.parse::<Ipv4Addr>().is_ok())
        .filter(move |found| {
            let start = found.as_ptr() as usize - text.as_ptr() as usize;
            let outer = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
            let before = text[..start].chars().next_back();
            let starts = outer(before) || (any_start && before.is_some_and(|c| c.is_ascii_digit()));
            starts && outer(text[start + found.len()..].chars().next())
        })
}

fn has_ipv4(args: &Args, any_start: bool, matches: fn(&str, &str) -> bool) -> Result<ArrayRef> {
    let texts = args.strings(0);
    let wanted: Vec<_> = (1..args.len()).map(|k| args.strings(k)).collect();
    Ok(args.make_bools(|i| {
        let text = texts.get(i).unwrap_or("");
        // An array of addresses comes as its text.
        let wanted = wanted.iter().map(|w| w.get(i).unwrap_or("")).flat_map(|w| match w.starts_with('[') {
            true => crate::json::strings(w),
            false => vec![w.to_owned()],
        });
        let wanted: Vec<String> = wanted.collect();
        Some(addresses_in(text, any_start).any(|found| wanted.iter().any(|w| matches(found, w))))
    }))
}

pub static HAS_IPV4: Kernel =
    Kernel::new("kql_has_ipv4", Type::Bool, |args| has_ipv4(args, true, |found, wanted| found == wanted));
/// A prefix ends in a dot, or is a whole address.
pub static HAS_IPV4_PREFIX: Kernel = Kernel::new("kql_has_ipv4_prefix", Type::Bool, |args| {
    has_ipv4(args, false, |found, prefix| found == prefix || (prefix.ends_with('.') && found.starts_with(prefix)))
});

/// `format_ipv4(address [, prefix])`, of text or a number; `""` for what is no address.
pub static FORMAT_IPV4: Kernel = Kernel::new("kql_format_ipv4", Type::String, |args| {
    formatted(args, |address, _| Ipv4Addr::from_bits(address).to_string())
});
/// `format_ipv4_mask(address [, prefix])`: with the length of the prefix.
pub static FORMAT_IPV4_MASK: Kernel = Kernel::new("kql_format_ipv4_mask", Type::String, |args| {
    formatted(args, |address, prefix| format!("{}/{prefix}", Ipv4Addr::from_bits(address)))
});

fn formatted(args: &Args, print: fn(u32, u32) -> String) -> Result<ArrayRef> {
    let texts = args.strings(0);
    Ok(args.make_strings(|i| {
        let text = texts.get(i).unwrap_or("");
        let number = || text.parse::<i64>().ok().and_then(|n| u32::try_from(n).ok()).map(|n| (n, 32));
        let given = if args.len() > 1 {
            args.longs(1).get(i).map(|p| u32::try_from(p).ok().filter(|p| *p <= 32))
        } else {
            Some(Some(32))
        };
        let found = parse(text).or_else(number).zip(given.flatten()).map(|((address, own), given)| {
            let prefix = own.min(given);
            print(address & mask(prefix), prefix)
        });
        Some(found.unwrap_or_default())
    }))
}

/// `parse_ipv4_mask(address, prefix)`: the masked address as a number.
pub static PARSE_IPV4_MASK: Kernel = Kernel::new("kql_parse_ipv4_mask", Type::Long, |args| {
    let (texts, prefixes) = (args.strings(0), args.longs(1));
    Ok(args.make_longs(|i| {
        let (address, own) = parse(texts.get(i)?)?;
        let prefix = u32::try_from(prefixes.get(i)?).ok().filter(|p| *p <= 32)?;
        Some((address & mask(own.min(prefix))).into())
    }))
});
pub static IPV4_NETMASK_SUFFIX: Kernel = Kernel::new("kql_ipv4_netmask_suffix", Type::Long, |args| {
    let texts = args.strings(0);
    Ok(args.make_longs(|i| parse(texts.get(i)?).map(|(_, prefix)| prefix.into())))
});

/// The texts of the arguments after the first; an array stands for its elements.
fn listed(args: &Args, i: usize) -> Vec<String> {
    let texts = (1..args.len()).filter_map(|k| args.strings(k).get(i));
    texts.flat_map(|t| if t.starts_with('[') { crate::json::strings(t) } else { vec![t.to_owned()] }).collect()
}

/// `ipv4_is_in_any_range(address, ranges...)`; null where none of the ranges can be read.
pub static IPV4_IS_IN_ANY_RANGE: Kernel = Kernel::new("kql_ipv4_is_in_any_range", Type::Bool, |args| {
    let texts = args.strings(0);
    Ok(args.make_bools(|i| {
        let (address, _) = parse(texts.get(i)?)?;
        let within = |(network, prefix): (u32, u32)| address & mask(prefix) == network & mask(prefix);
        let ranges: Vec<(u32, u32)> = listed(args, i).iter().filter_map(|r| parse(r)).collect();
        (!ranges.is_empty()).then(|| ranges.into_iter().any(within))
    }))
});
/// `ipv4_range_to_cidr_list(first, last)`: the fewest networks that are the range.
pub static IPV4_RANGE_TO_CIDR_LIST: Kernel = Kernel::new("kql_ipv4_range_to_cidr_list", Type::Dynamic, |args| {
    let (firsts, lasts) = (args.strings(0), args.strings(1));
    Ok(args.make_strings(|i| {
        let (mut at, end) = (u64::from(parse(firsts.get(i)?)?.0), u64::from(parse(lasts.get(i)?)?.0));
        let mut networks = Vec::new();
        while at <= end {
            let aligned = if at == 0 { 32 } else { at.trailing_zeros().min(32) };
            let fits = (end - at + 1).ilog2();
            let bits = aligned.min(fits);
            let address = Ipv4Addr::from_bits(u32::try_from(at).ok()?);
            networks.push(crate::json::quote(&format!("{address}/{}", 32 - bits)));
            at += 1 << bits;
        }
        Some(crate::json::array(networks))
    }))
});

/// An IPv6 address, or an IPv4 one mapped into it, with the length of its prefix.
fn parse_v6(text: &str) -> Option<(u128, u32)> {
    let (address, prefix) = match text.trim().split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse::<u32>().ok()?)),
        None => (text.trim(), None),
    };
    if let Ok(address) = address.parse::<Ipv4Addr>() {
        let prefix = prefix.unwrap_or(32);
        return (prefix <= 32).then(|| (address.to_ipv6_mapped().to_bits(), prefix + 96));
    }
    let address: Ipv6Addr = address.parse().ok()?;
    let prefix = prefix.unwrap_or(128);
    (prefix <= 128).then(|| (address.to_bits(), prefix))
}

fn mask_v6(prefix: u32) -> u128 {
    if prefix == 0 { 0 } else { u128::MAX << (128 - prefix) }
}

fn masked_v6(args: &Args, i: usize) -> Option<(u128, u128)> {
    let (left, left_prefix) = parse_v6(args.strings(0).get(i)?)?;
    let (right, right_prefix) = parse_v6(args.strings(1).get(i)?)?;
    let given = if args.len() > 2 { u32::try_from(args.longs(2).get(i)?).ok().filter(|p| *p <= 128)? } else { 128 };
    let mask = mask_v6(left_prefix.min(right_prefix).min(given));
    Some((left & mask, right & mask))
}

pub static IPV6_IS_MATCH: Kernel = Kernel::new("kql_ipv6_is_match", Type::Bool, |args| {
    Ok(args.make_bools(|i| masked_v6(args, i).map(|(a, b)| a == b)))
});
pub static IPV6_COMPARE: Kernel = Kernel::new("kql_ipv6_compare", Type::Long, |args| {
    Ok(args.make_longs(|i| masked_v6(args, i).map(|(a, b)| a.cmp(&b) as i64)))
});

fn within_v6((address, _): (u128, u32), (network, prefix): (u128, u32)) -> bool {
    address & mask_v6(prefix) == network & mask_v6(prefix)
}

pub static IPV6_IS_IN_RANGE: Kernel = Kernel::new("kql_ipv6_is_in_range", Type::Bool, |args| {
    let (texts, ranges) = (args.strings(0), args.strings(1));
    Ok(args.make_bools(|i| Some(within_v6(parse_v6(texts.get(i)?)?, parse_v6(ranges.get(i)?)?))))
});
pub static IPV6_IS_IN_ANY_RANGE: Kernel = Kernel::new("kql_ipv6_is_in_any_range", Type::Bool, |args| {
    let texts = args.strings(0);
    Ok(args.make_bools(|i| {
        let address = parse_v6(texts.get(i)?)?;
        let ranges: Vec<(u128, u32)> = listed(args, i).iter().filter_map(|r| parse_v6(r)).collect();
        (!ranges.is_empty()).then(|| ranges.into_iter().any(|range| within_v6(address, range)))
    }))
});
/// `parse_ipv6_mask(address [, prefix])`: the masked address with all its digits; `""` for what is none.
pub static PARSE_IPV6: Kernel = Kernel::new("kql_parse_ipv6", Type::String, |args| {
    let texts = args.strings(0);
    Ok(args.make_strings(|i| {
        let given = if args.len() > 1 { args.longs(1).get(i).and_then(|p| u32::try_from(p).ok()) } else { Some(128) };
        let found = texts.get(i).and_then(parse_v6).zip(given.filter(|p| *p <= 128)).map(|((address, own), given)| {
            // Here the prefix of an address that ends in an IPv4 one is that one's.
            let is_mixed = own <= 32 && texts.get(i).is_some_and(|t| t.contains('.'));
            let own = if is_mixed { own + 96 } else { own };
            let groups = Ipv6Addr::from_bits(address & mask_v6(own.min(given))).segments();
            groups.map(|group| format!("{group:04x}")).join(":")
        });
        Some(found.unwrap_or_default())
    }))
});

/// The network that an address is in, as a text that tells networks apart: of the given length of prefix, or of its own.
/// Null where the address has a shorter prefix, or is none.
fn network_key<T: std::fmt::LowerHex + std::ops::BitAnd<Output = T> + Copy>(
    args: &Args,
    parse: fn(&str) -> Option<(T, u32)>,
    mask: fn(u32) -> T,
) -> ArrayRef {
    let texts = args.strings(0);
    let given = (args.len() > 1).then(|| args.longs(1));
    args.make_strings(|i| {
        let (address, own) = parse(texts.get(i)?)?;
        let prefix = match &given {
            Some(prefixes) => u32::try_from(prefixes.get(i)?).ok().filter(|prefix| *prefix <= own)?,
            None => own,
        };
        Some(format!("{:x}/{prefix}", address & mask(prefix)))
    })
}

pub static IPV4_NETWORK: Kernel =
    Kernel::new("kql_ipv4_network", Type::String, |args| Ok(network_key(args, parse, mask)));
pub static IPV6_NETWORK: Kernel =
    Kernel::new("kql_ipv6_network", Type::String, |args| Ok(network_key(args, parse_v6, mask_v6)));
/// The length of the prefix of an IPv6 address.
pub static IPV6_PREFIX: Kernel = Kernel::new("kql_ipv6_prefix", Type::Long, |args| {
    let texts = args.strings(0);
    Ok(args.make_longs(|i| parse_v6(texts.get(i)?).map(|(_, prefix)| prefix.into())))
});
