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

/// The terms of a text as searches compare them that ignore case: folded to lower case where the text has others than
/// ASCII characters; of those that have not, letters may be in either case.
pub fn each_term(text: &str, mut each: impl FnMut(&str)) {
    if !text.is_ascii() {
        return text.to_lowercase().split(|c| !is_term_char(c)).filter(|term| !term.is_empty()).for_each(each);
    }
    let bytes = text.as_bytes();
    let is_of_term = |at: usize| bytes.get(at).is_some_and(|byte| IS_OF_TERM[usize::from(*byte)]);
    let mut at = 0;
    while at < bytes.len() {
        if !is_of_term(at) {
            at += 1;
            continue;
        }
        let start = at;
        while is_of_term(at) {
            at += 1;
        }
        each(&text[start..at]);
    }
}

/// Which bytes of ASCII texts are of terms.
static IS_OF_TERM: [bool; 256] = {
    let mut is_of_term = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        is_of_term[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    is_of_term
};

/// How a kernel matches text, and whether by case; `None` for one that does not match the whole of a constant needle.
pub fn text_match_of(kernel: &str) -> Option<(TextMatch, bool)> {
    let word = kernel.strip_prefix(ANY_PREFIX).or_else(|| kernel.strip_prefix("kql_"))?;
    TextOperator::from_word(word, false).map(|operator| (operator.kind, operator.case_sensitive))
}

/// The terms that stand in every text that a needle matches, each a whole term there, in lower case.
pub fn terms_of_matches(needle: &str, kind: TextMatch, case_sensitive: bool) -> Vec<String> {
    let folded = if case_sensitive { needle.to_owned() } else { needle.to_lowercase() };
    let may_go_on_before = matches!(kind, TextMatch::HasSuffix | TextMatch::Contains | TextMatch::EndsWith);
    let may_go_on_after = matches!(kind, TextMatch::HasPrefix | TextMatch::Contains | TextMatch::StartsWith);
    let mut terms: Vec<&str> = folded.split(|c| !is_term_char(c)).collect();
    // At an end where the needle's term may be part of a longer one it says nothing; where there is none, this is empty.
    if may_go_on_after {
        terms.pop();
    }
    if may_go_on_before && !terms.is_empty() {
        terms.remove(0);
    }
    // Other letters can be folded in one way by themselves and in another among their neighbours.
    let is_sure = |term: &&str| !term.is_empty() && (!case_sensitive || term.is_ascii());
    terms.into_iter().filter(is_sure).map(str::to_lowercase).collect()
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

const ANY_PREFIX: &str = "kql_any_";

/// Whether a kernel looks for a needle in several texts.
pub fn is_any_kernel(name: &str) -> bool {
    name.starts_with(ANY_PREFIX)
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

    fn all_terms(text: &str) -> Vec<String> {
        let mut terms = Vec::new();
        each_term(text, |term| terms.push(term.to_lowercase()));
        terms
    }

    #[test]
    fn what_separates_terms_does_so_in_lower_case_too() {
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32).filter(|c| !is_term_char(*c)) {
            assert!(!c.to_lowercase().any(is_term_char), "{c:?}");
        }
    }

    /// Texts and needles of all kinds, put together from pieces that are hard to tell apart.
    #[test]
    fn a_text_that_matches_has_the_terms_that_are_needed() {
        let pieces = [
            "device", "-", "Dev", "000042", "_", ".", " ", "ΟΔΟΣ", "Σ", "'", "İ", "\u{212a}", "ß", "é", "10", "\u{345}",
        ];
        let mut numbers = fastrand::Rng::with_seed(7);
        let mut text = |pieces_max: usize| -> String {
            (0..numbers.usize(1..=pieces_max)).map(|_| pieces[numbers.usize(..pieces.len())]).collect()
        };
        let texts: Vec<String> = (0..400).map(|_| text(6)).collect();
        let needles: Vec<String> = (0..200).map(|_| text(3)).collect();
        let kinds = ["has", "hasprefix", "hassuffix", "contains", "startswith", "endswith"];
        let (mut matched, mut needed) = (0, 0);
        for name in kinds.iter().flat_map(|kind| [format!("kql_{kind}"), format!("kql_{kind}_cs")]) {
            let (kind, case_sensitive) = text_match_of(&name).expect("it matches text");
            for needle in &needles {
                let wanted = terms_of_matches(needle, kind, case_sensitive);
                let compiled = Needle::new(needle, kind, case_sensitive);
                for text in texts.iter().filter(|text| compiled.matches(text)) {
                    let terms = all_terms(text);
                    assert!(
                        wanted.iter().all(|term| terms.contains(term)),
                        "{name}: {needle:?} in {text:?}: {wanted:?}"
                    );
                    matched += 1;
                    needed += wanted.len();
                }
            }
        }
        assert!(matched > 1000 && needed > 500, "{matched} matches need {needed} terms");
    }

    #[test]
    fn the_terms_that_matches_need() {
        let of = |needle, kind| terms_of_matches(needle, kind, false);
        assert_eq!(of("Device-000042", TextMatch::Has), ["device", "000042"]);
        assert_eq!(of("Device-000042", TextMatch::HasPrefix), ["device"]);
        assert_eq!(of("Device-000042", TextMatch::HasSuffix), ["000042"]);
        assert_eq!(of("a.b.c", TextMatch::Contains), ["b"]);
        assert_eq!(of(".b.", TextMatch::Contains), ["b"]);
        assert_eq!(of("b", TextMatch::Contains), [""; 0]);
        assert_eq!(terms_of_matches("ΟΔΟΣ-b", TextMatch::Has, true), ["b"]);
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
