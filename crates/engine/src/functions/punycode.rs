//! Text in the letters of ASCII: Punycode (RFC 3492), for single strings and for the labels of domain names.

use super::{Args, Kernel};
use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use idna::punycode;
use kql::Type;
use std::borrow::Cow;

/// What a label of a domain name begins with that stands for one in other letters.
const ENCODED_LABEL: &str = "xn--";
/// The full stops that divide a domain name: also the ideographic, the fullwidth and the halfwidth one (RFC 3490).
const LABEL_ENDS: [char; 4] = ['.', '\u{3002}', '\u{ff0e}', '\u{ff61}'];

/// A result for each text; what cannot be read or written is empty.
fn each(args: &Args, of: fn(&str) -> Option<String>) -> Result<ArrayRef> {
    let texts = args.strings(0);
    Ok(args.make_strings(|i| Some(of(texts.get(i).unwrap_or_default()).unwrap_or_default())))
}

fn label_to_ascii(label: &str) -> Option<Cow<'_, str>> {
    if label.is_ascii() {
        return Some(label.into());
    }
    Some(format!("{ENCODED_LABEL}{}", punycode::encode_str(label)?).into())
}

fn label_from_ascii(label: &str) -> Option<Cow<'_, str>> {
    match label.get(..ENCODED_LABEL.len()) {
        Some(start) if start.eq_ignore_ascii_case(ENCODED_LABEL) => {
            Some(punycode::decode_to_string(&label[ENCODED_LABEL.len()..])?.into())
        }
        _ => Some(label.into()),
    }
}

fn each_label(domain: &str, of: fn(&str) -> Option<Cow<'_, str>>) -> Option<String> {
    Some(domain.split(LABEL_ENDS).map(of).collect::<Option<Vec<_>>>()?.join("."))
}

pub static FROM_STRING: Kernel =
    Kernel::new("kql_punycode_from_string", Type::String, |args| each(args, punycode::encode_str));
pub static TO_STRING: Kernel =
    Kernel::new("kql_punycode_to_string", Type::String, |args| each(args, punycode::decode_to_string));
/// `punycode_domain_to_string(domain)`: in spite of the name, into Punycode.
pub static DOMAIN_TO_STRING: Kernel = Kernel::new("kql_punycode_domain_to_string", Type::String, |args| {
    each(args, |domain| each_label(domain, label_to_ascii))
});
/// `punycode_domain_from_string(text)`: in spite of the name, out of Punycode.
pub static DOMAIN_FROM_STRING: Kernel = Kernel::new("kql_punycode_domain_from_string", Type::String, |args| {
    each(args, |domain| each_label(domain, label_from_ascii))
});
