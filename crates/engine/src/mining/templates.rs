//! Texts grouped by the words that they share at the same places, after Vaarandi's clustering of log lines (2003).

use std::collections::{BTreeMap, HashMap};

/// A group of texts: the words that all have, with `*` for those that differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub pattern: String,
    /// How many texts there are.
    pub count: u64,
    /// One of them; the one that occurs most.
    pub representative: String,
    /// Which of the given texts they are.
    pub members: Vec<usize>,
}

/// The pattern of all texts that share too little.
const OTHERS: &str = "others";

/// A word, or what stands between words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token<'t> {
    text: &'t str,
    is_word: bool,
}

fn tokens<'t>(text: &'t str, separators: &str) -> Vec<Token<'t>> {
    let is_word = |c: char| (c.is_alphanumeric() || !c.is_ascii()) && !separators.contains(c);
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = match is_word(first) {
            true => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        found.push(Token { text: &rest[..end], is_word: is_word(first) });
        rest = &rest[end..];
    }
    found
}

/// Groups distinct texts, each with the number of its occurrences. A word is kept where more than `threshold` of all
/// texts have it at that place, and more than one; numbers never are. `separators` stand between words too, as all
/// ASCII characters do that are neither letters nor digits.
pub fn templates(texts: &[(String, u64)], threshold: f64, separators: &str) -> Vec<Template> {
    let total: u64 = texts.iter().map(|(_, count)| count).sum();
    let is_frequent = |count: u64| count > 1 && count as f64 > threshold * total as f64;
    let split: Vec<Vec<Token>> = texts.iter().map(|(text, _)| tokens(text, separators)).collect();
    let mut words: HashMap<(usize, &str), u64> = HashMap::new();
    for (tokens, (_, count)) in split.iter().zip(texts) {
        for (place, token) in tokens.iter().filter(|token| token.is_word).enumerate() {
            *words.entry((place, token.text)).or_default() += count;
        }
    }
    let is_number = |word: &str| word.bytes().all(|b| b.is_ascii_digit());
    let pattern = |tokens: &[Token]| -> Option<String> {
        let mut pattern = String::new();
        let (mut place, mut has_word) = (0, false);
        for token in tokens {
            if !token.is_word {
                pattern.push_str(token.text);
                continue;
            }
            let known = words.get(&(place, token.text)).copied().unwrap_or_default();
            place += 1;
            if is_frequent(known) && !is_number(token.text) {
                has_word = true;
                pattern.push_str(token.text);
                continue;
            }
            // A separator of the caller's goes with the word behind it; words that differ are one gap.
            while pattern.ends_with(|c| separators.contains(c)) {
                pattern.pop();
            }
            if !pattern.ends_with('*') {
                pattern.push('*');
            }
        }
        has_word.then_some(pattern)
    };
    let mut groups: BTreeMap<String, Template> = BTreeMap::new();
    for (i, (tokens, (text, count))) in split.iter().zip(texts).enumerate() {
        let pattern = pattern(tokens).unwrap_or_default();
        let group = groups.entry(pattern.clone()).or_insert_with(|| Template {
            pattern,
            count: 0,
            representative: text.clone(),
            members: Vec::new(),
        });
        let best = group.members.iter().map(|member| texts[*member].1).max().unwrap_or_default();
        if *count > best {
            group.representative.clone_from(text);
        }
        group.count += count;
        group.members.push(i);
    }
    let mut others =
        Template { pattern: OTHERS.to_owned(), count: 0, representative: String::new(), members: Vec::new() };
    let mut kept: Vec<Template> = Vec::new();
    for (pattern, group) in groups {
        if pattern.is_empty() || !is_frequent(group.count) {
            others.count += group.count;
            others.members.extend(group.members);
        } else {
            kept.push(group);
        }
    }
    kept.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.pattern.cmp(&b.pattern)));
    if others.count > 0 {
        kept.push(others);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str], threshold: f64, separators: &str) -> Vec<(String, u64, String)> {
        let texts: Vec<(String, u64)> = texts.iter().map(|text| ((*text).to_owned(), 1)).collect();
        let found = templates(&texts, threshold, separators);
        found.into_iter().map(|t| (t.pattern, t.count, t.representative)).collect()
    }

    #[test]
    fn words_that_differ_become_gaps() {
        let lines = ["user ada logged in", "user grace logged in", "user linus logged in", "disk sda1 is full"];
        let found = patterns(&lines, 0.3, "");
        assert_eq!(found[0], ("user * logged in".to_owned(), 3, "user ada logged in".to_owned()));
        assert_eq!(found[1], ("others".to_owned(), 1, String::new()));
    }

    #[test]
    fn a_separator_parts_words_and_goes_with_the_gap() {
        let texts: Vec<String> = (1..=10).map(|n| format!("fooZ{n}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        assert_eq!(patterns(&texts, 0.1, ""), [("others".to_owned(), 10, String::new())]);
        assert_eq!(patterns(&texts, 0.1, "Z"), [("foo*".to_owned(), 10, "fooZ1".to_owned())]);
    }
}
