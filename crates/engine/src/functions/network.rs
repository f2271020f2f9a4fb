//! Functions on IPv4 addresses.

use super::{Args, Kernel};
use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use kql::Type;
use std::net::Ipv4Addr;

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
