//! Matching of text by KQL's rules: terms, substrings, prefixes, with or without regard to case.
//!
//! A *term* is a maximal run of letters and digits; every other character, `_` included, separates terms.

use super::regexes;
use super::{Args, Kernel};
use crate::json;
use datafusion::arrow::array::ArrayRef;
use datafusion::common::Result;
use kql::Type;
use kql::tree::{TextMatch, TextOperator};
use memchr::{memchr, memchr2};

fn is_term_char(c: char) -> bool {
    c.is_alphanumeric()
}

/// A needle prepared once for many rows.
pub struct Needle<'n> {
    kind: TextMatch,
    case_sensitive: bool,
    /// Folded to lower case when the match ignores case.
    text: std::borrow::Cow<'n, str>,
    /// The place of the byte that is looked for first.
    rarest: usize,
    is_ascii: bool,
}

impl<'n> Needle<'n> {
    pub fn new(text: &'n str, kind: TextMatch, case_sensitive: bool) -> Needle<'n> {
        let text: std::borrow::Cow<str> = if case_sensitive { text.into() } else { text.to_lowercase().into() };
        let is_ascii = text.is_ascii();
        Needle { kind, case_sensitive, rarest: rarest(text.as_bytes()), text, is_ascii }
    }

    pub fn matches(&self, haystack: &str) -> bool {
        if self.case_sensitive {
            return self.matches_folded(haystack, false);
        }
        // A non-ASCII haystack can fold to ASCII (the Kelvin sign to k), so only ASCII on both sides goes fast.
        if self.is_ascii && haystack.is_ascii() {
            return self.matches_folded(haystack, true);
        }
        self.matches_folded(&haystack.to_lowercase(), false)
    }

    fn matches_folded(&self, haystack: &str, ignore_ascii_case: bool) -> bool {
        let needle = self.text.as_ref();
        let equal = |at: usize| {
            haystack.as_bytes().get(at..at + needle.len()).is_some_and(|part| {
                if ignore_ascii_case { part.eq_ignore_ascii_case(needle.as_bytes()) } else { part == needle.as_bytes() }
            })
        };
        match self.kind {
            TextMatch::StartsWith => equal(0),
            TextMatch::EndsWith => haystack.len() >= needle.len() && equal(haystack.len() - needle.len()),
            TextMatch::Contains => find(haystack, needle, self.rarest, 0, ignore_ascii_case).is_some(),
            TextMatch::Has | TextMatch::HasPrefix | TextMatch::HasSuffix => {
                let bounded_start = self.kind != TextMatch::HasSuffix && needle.starts_with(is_term_char);
                let bounded_end = self.kind != TextMatch::HasPrefix && needle.ends_with(is_term_char);
                let mut from = 0;
                while let Some(at) = find(haystack, needle, self.rarest, from, ignore_ascii_case) {
                    let end = at + needle.len();
                    let start_ok = !bounded_start || !haystack[..at].ends_with(is_term_char);
                    let end_ok = !bounded_end || !haystack[end..].starts_with(is_term_char);
                    if start_ok && end_ok {
                        return true;
                    }
                    from = at + haystack[at..].chars().next().map_or(1, char::len_utf8);
                }
                false
            }
            TextMatch::Regex => false,
        }
    }
}

/// Bytes from the rarest in logs to the most frequent, as far as texts of all kinds agree.
const RARE_FIRST: &[u8] = b"zqjxkvw~^`|#&%$@!?;<>{}[]+*()=bygfhpmuldcnsrtioae9876532410,:\"\\ /._-";

/// The place of the byte of a needle that texts have least often.
fn rarest(needle: &[u8]) -> usize {
    let rank = |byte: &u8| RARE_FIRST.iter().position(|rare| *rare == byte.to_ascii_lowercase()).unwrap_or(0);
    (0..needle.len()).min_by_key(|i| rank(&needle[*i])).unwrap_or(0)
}

/// The first place of `needle` at or after `from`, by bytes; `rarest` is the place of a byte in it to look for.
fn find(haystack: &str, needle: &str, rarest: usize, from: usize, ignore_ascii_case: bool) -> Option<usize> {
    let (bytes, needle) = (haystack.as_bytes(), needle.as_bytes());
    let Some(&byte) = needle.get(rarest) else { return (from <= bytes.len()).then_some(from) };
    let (lower, upper) = match ignore_ascii_case {
        true => (byte.to_ascii_lowercase(), byte.to_ascii_uppercase()),
        false => (byte, byte),
    };
    let equal = |part: &[u8]| if ignore_ascii_case { part.eq_ignore_ascii_case(needle) } else { part == needle };
    // Where that byte of the needle can be.
    let end = (bytes.len() + rarest + 1).checked_sub(needle.len())?;
    let mut at = from + rarest;
    while at < end {
        let window = &bytes[at..end];
        let found = if lower == upper { memchr(lower, window) } else { memchr2(lower, upper, window) };
        let start = at + found? - rarest;
        if equal(&bytes[start..start + needle.len()]) {
            return Some(start);
        }
        at = start + rarest + 1;
    }
    None
}

fn text_match(args: &Args, kind: TextMatch, case_sensitive: bool) -> Result<ArrayRef> {
    let (haystacks, needles) = (args.strings(0), args.strings(1));
    if let Some(text) = needles.constant() {
        let needle = Needle::new(text, kind, case_sensitive);
        return Ok(args.make_bools(|i| Some(needle.matches(haystacks.get(i).unwrap_or("")))));
    }
    Ok(args.make_bools(|i| {
        let needle = Needle::new(needles.get(i).unwrap_or(""), kind, case_sensitive);
        Some(needle.matches(haystacks.get(i).unwrap_or("")))
    }))
}

/// Whether any of the texts behind the needle, which comes first, holds it.
fn any_match(args: &Args, kind: TextMatch, case_sensitive: bool) -> Result<ArrayRef> {
    let needle = args.strings(0);
    let needle = Needle::new(needle.constant().or_else(|| needle.get(0)).unwrap_or(""), kind, case_sensitive);
    let texts: Vec<_> = (1..args.len()).map(|i| args.strings(i)).collect();
    Ok(args.make_bools(|i| Some(texts.iter().any(|text| needle.matches(text.get(i).unwrap_or(""))))))
}

macro_rules! any_text_kernels {
    ($($name:ident $text:literal $kind:ident $case:literal;)*) => {
        $(static $name: Kernel = Kernel::new($text, Type::Bool, |a| any_match(a, TextMatch::$kind, $case));)*
    };
}

any_text_kernels! {
    ANY_HAS "kql_any_has" Has false;
    ANY_HAS_CS "kql_any_has_cs" Has true;
    ANY_HASPREFIX "kql_any_hasprefix" HasPrefix false;
    ANY_HASPREFIX_CS "kql_any_hasprefix_cs" HasPrefix true;
    ANY_HASSUFFIX "kql_any_hassuffix" HasSuffix false;
    ANY_HASSUFFIX_CS "kql_any_hassuffix_cs" HasSuffix true;
    ANY_CONTAINS "kql_any_contains" Contains false;
    ANY_CONTAINS_CS "kql_any_contains_cs" Contains true;
}

/// Whether a kernel looks for a needle in several texts.
pub fn is_any_kernel(name: &str) -> bool {
    name.starts_with("kql_any_")
}

/// The kernel that looks for a constant needle, its first argument, in several texts; none for the kinds that `search`
/// has no form for.
pub fn any_kernel(kind: TextMatch, case_sensitive: bool) -> Option<&'static Kernel> {
    Some(match (kind, case_sensitive) {
        (TextMatch::Has, false) => &ANY_HAS,
        (TextMatch::Has, true) => &ANY_HAS_CS,
        (TextMatch::HasPrefix, false) => &ANY_HASPREFIX,
        (TextMatch::HasPrefix, true) => &ANY_HASPREFIX_CS,
        (TextMatch::HasSuffix, false) => &ANY_HASSUFFIX,
        (TextMatch::HasSuffix, true) => &ANY_HASSUFFIX_CS,
        (TextMatch::Contains, false) => &ANY_CONTAINS,
        (TextMatch::Contains, true) => &ANY_CONTAINS_CS,
        _ => return None,
    })
}

macro_rules! text_kernels {
    ($($name:ident $text:literal $kind:ident $case:literal;)*) => {
        $(static $name: Kernel = Kernel::new($text, Type::Bool, |a| text_match(a, TextMatch::$kind, $case));)*
    };
}

text_kernels! {
    HAS "kql_has" Has false;
    HAS_CS "kql_has_cs" Has true;
    HASPREFIX "kql_hasprefix" HasPrefix false;
    HASPREFIX_CS "kql_hasprefix_cs" HasPrefix true;
    HASSUFFIX "kql_hassuffix" HasSuffix false;
    HASSUFFIX_CS "kql_hassuffix_cs" HasSuffix true;
    CONTAINS "kql_contains" Contains false;
    CONTAINS_CS "kql_contains_cs" Contains true;
    STARTSWITH "kql_startswith" StartsWith false;
    STARTSWITH_CS "kql_startswith_cs" StartsWith true;
    ENDSWITH "kql_endswith" EndsWith false;
    ENDSWITH_CS "kql_endswith_cs" EndsWith true;
}

static MATCHES_REGEX: Kernel = Kernel::new("kql_matches_regex", Type::Bool, |args| {
    let (texts, patterns) = (args.strings(0), args.strings(1));
    let mut cache = regexes::Cache::default();
    let mut failed = None;
    let result = args.make_bools(|i| match cache.get(patterns.get(i).unwrap_or("")) {
        Ok(regex) => Some(regex.is_match(texts.get(i).unwrap_or(""))),
        Err(error) => {
            failed = Some(error);
            None
        }
    });
    failed.map_or(Ok(result), Err)
});

/// The kernel of a word operator, negation left aside.
pub fn kernel(operator: TextOperator) -> &'static Kernel {
    match (operator.kind, operator.case_sensitive) {
        (TextMatch::Has, false) => &HAS,
        (TextMatch::Has, true) => &HAS_CS,
        (TextMatch::HasPrefix, false) => &HASPREFIX,
        (TextMatch::HasPrefix, true) => &HASPREFIX_CS,
        (TextMatch::HasSuffix, false) => &HASSUFFIX,
        (TextMatch::HasSuffix, true) => &HASSUFFIX_CS,
        (TextMatch::Contains, false) => &CONTAINS,
        (TextMatch::Contains, true) => &CONTAINS_CS,
        (TextMatch::StartsWith, false) => &STARTSWITH,
        (TextMatch::StartsWith, true) => &STARTSWITH_CS,
        (TextMatch::EndsWith, false) => &ENDSWITH,
        (TextMatch::EndsWith, true) => &ENDSWITH_CS,
        (TextMatch::Regex, _) => &MATCHES_REGEX,
    }
}

/// `a =~ b`: equality without regard to case.
pub static EQUALS_IGNORE_CASE: Kernel = Kernel::new("kql_equals_ignore_case", Type::Bool, |args| {
    let (left, right) = (args.strings(0), args.strings(1));
    let equal = |a: &str, b: &str| {
        if a.is_ascii() && b.is_ascii() { a.eq_ignore_ascii_case(b) } else { a.to_lowercase() == b.to_lowercase() }
    };
    Ok(args.make_bools(|i| Some(equal(left.get(i).unwrap_or(""), right.get(i).unwrap_or("")))))
});

/// `s has_any (a, b, ...)`: the needles are the remaining arguments.
pub static HAS_ANY: Kernel =
    Kernel::new("kql_has_any", Type::Bool, |args| has_several(args, |found, _wanted| found > 0, true));

/// `s has_all (a, b, ...)`.
pub static HAS_ALL: Kernel =
    Kernel::new("kql_has_all", Type::Bool, |args| has_several(args, |found, wanted| found == wanted, false));

fn has_several(args: &Args, verdict: fn(usize, usize) -> bool, stop_at_first: bool) -> Result<ArrayRef> {
    let haystacks = args.strings(0);
    let needles: Vec<_> = (1..args.len()).map(|i| args.strings(i)).collect();
    let prepared: Option<Vec<Needle>> =
        needles.iter().map(|n| n.constant().map(|text| Needle::new(text, TextMatch::Has, false))).collect();
    Ok(args.make_bools(|i| {
        let haystack = haystacks.get(i).unwrap_or("");
        let mut found = 0;
        for (k, needle) in needles.iter().enumerate() {
            let hit = match &prepared {
                Some(prepared) => prepared[k].matches(haystack),
                None => Needle::new(needle.get(i).unwrap_or(""), TextMatch::Has, false).matches(haystack),
            };
            found += usize::from(hit);
            if hit == stop_at_first {
                break;
            }
        }
        Some(verdict(found, needles.len()))
    }))
}

/// `s in~ (a, b, ...)`.
pub static IN_IGNORE_CASE: Kernel = Kernel::new("kql_in_ignore_case", Type::Bool, |args| {
    let texts = args.strings(0);
    let items: Vec<_> = (1..args.len()).map(|i| args.strings(i)).collect();
    let constant: Option<std::collections::HashSet<String>> =
        items.iter().map(|item| item.constant().map(str::to_lowercase)).collect();
    Ok(args.make_bools(|i| {
        let text = texts.get(i).unwrap_or("").to_lowercase();
        Some(match &constant {
            Some(set) => set.contains(&text),
            None => items.iter().any(|item| item.get(i).unwrap_or("").to_lowercase() == text),
        })
    }))
});

/// `s in~ (array)`, `s has_any (array)` and `s has_all (array)` where the array is a dynamic value of each row; a
/// value that is no array is a list of one.
fn with_list(args: &Args, verdict: fn(&str, &[String]) -> bool) -> Result<ArrayRef> {
    let (texts, lists) = (args.strings(0), args.strings(1));
    Ok(args.make_bools(|i| {
        let list = lists.get(i).map(|list| match json::kind(list) {
            json::Kind::Array => json::strings(list),
            json::Kind::Null => Vec::new(),
            _ => vec![json::to_text(list).into_owned()],
        });
        Some(verdict(texts.get(i).unwrap_or(""), &list.unwrap_or_default()))
    }))
}

/// Whether the term stands in the text, whatever the case.
pub(super) fn has(text: &str, term: &str) -> bool {
    Needle::new(term, TextMatch::Has, false).matches(text)
}

pub static IN_LIST_IGNORE_CASE: Kernel = Kernel::new("kql_in_list_ignore_case", Type::Bool, |args| {
    with_list(args, |text, list| list.iter().any(|item| item.to_lowercase() == text.to_lowercase()))
});
pub static HAS_ANY_OF_LIST: Kernel = Kernel::new("kql_has_any_of_list", Type::Bool, |args| {
    with_list(args, |text, list| list.iter().any(|term| has(text, term)))
});
pub static HAS_ALL_OF_LIST: Kernel = Kernel::new("kql_has_all_of_list", Type::Bool, |args| {
    with_list(args, |text, list| list.iter().all(|term| has(text, term)))
});

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(haystack: &str, kind: TextMatch, needle: &str) -> bool {
        Needle::new(needle, kind, false).matches(haystack)
    }

    #[test]
    fn terms() {
        assert!(matches("alpha_beta", TextMatch::Has, "ALPHA"));
        assert!(!matches("alphabeta", TextMatch::Has, "alpha"));
        assert!(matches("1.2.3.4", TextMatch::Has, "2.3"));
        assert!(!matches("11.2.3.44", TextMatch::Has, "1.2.3.4"));
        assert!(matches("a b", TextMatch::Has, " "));
        assert!(matches("anything", TextMatch::Has, ""));
        assert!(matches("xmrig-cpu", TextMatch::HasPrefix, "xmr"));
        assert!(matches("xmrig", TextMatch::HasSuffix, "rig"));
        assert!(!matches("xmrig", TextMatch::HasSuffix, "xmr"));
        assert!(matches("MÜLLER", TextMatch::Contains, "üll"));
        assert!(matches("\u{212a}elvin", TextMatch::StartsWith, "kel"));
        assert!(!Needle::new("Alpha", TextMatch::Has, true).matches("alpha"));
    }
}
