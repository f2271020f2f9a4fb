//! Whatever a text is, it is answered or refused: nothing panics, nothing runs away. The texts are made of those of the
//! specifications, cut, doubled and mixed; the same ones in each run.

#![allow(clippy::expect_used, clippy::panic)]

use engine::catalog::FixedCatalog;
use engine::{Limits, Session};
use std::fmt::Write as _;

/// So many texts are made; `TURNSTONE_FUZZ_TEXTS` asks for more.
const TEXTS: usize = 3000;
/// Of so many texts one is bound and planned too, where it can be read.
const BOUND_SHARE: usize = 3;

/// A small generator of numbers (xorshift), so that a failure can be made again.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).unwrap_or_default()
    }
}

/// All queries of the specifications.
fn queries() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/spec");
    let mut paths: Vec<_> = std::fs::read_dir(folder).expect("the folder").map(|e| e.expect("a file").path()).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path).expect("a text");
        found.extend(text.split("```kql\n").skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned));
    }
    assert!(found.len() > 500, "the specifications have many queries");
    found
}

/// A boundary of characters near a place.
fn boundary(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn mutated(numbers: &mut Numbers, all: &[String]) -> String {
    const WORDS: [&str; 24] = [
        "|", "(", ")", "[", "]", "{", "}", ";", ",", "..", "\"", "'", "h@\"", "```", "let", "by", "on", "dynamic(",
        "0x", "-", "=~", "$left.", "\u{0}", "é🦀",
    ];
    let mut text = all[numbers.below(all.len())].clone();
    for _ in 0..=numbers.below(4) {
        let (a, b) = (boundary(&text, numbers.below(text.len() + 1)), boundary(&text, numbers.below(text.len() + 1)));
        let (start, end) = (a.min(b), a.max(b));
        match numbers.below(6) {
            0 => text.truncate(end),
            1 => text.replace_range(start..end, ""),
            2 => text.insert_str(start, WORDS[numbers.below(WORDS.len())]),
            3 => {
                let part = text[start..end].to_owned();
                text.insert_str(end, &part);
            }
            4 => {
                let other = &all[numbers.below(all.len())];
                let from = boundary(other, numbers.below(other.len() + 1));
                text.replace_range(start.., &other[from..]);
            }
            _ => {
                let words: Vec<&str> = text.split(' ').collect();
                let (i, j) = (numbers.below(words.len()), numbers.below(words.len()));
                let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
                words.swap(i, j);
                text = words.join(" ");
            }
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_text_panics() {
    let texts = std::env::var("TURNSTONE_FUZZ_TEXTS").ok().and_then(|n| n.parse().ok()).unwrap_or(TEXTS);
    let all = queries();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    // A query that is made may ask for all memory; it must be refused.
    let limits = Limits { memory_bytes: 256 << 20, query_memory_bytes: 64 << 20, parallelism: 1 };
    let session = Session::new(limits).expect("a session");
    let catalog = FixedCatalog::default();
    let mut read = 0;
    for i in 0..texts {
        let text = mutated(&mut numbers, &all);
        let parsed = kql::parse(&text);
        for diagnostic in &parsed.diagnostics {
            assert!(diagnostic.span.end <= text.len(), "{text}");
            let _ = diagnostic.render(&text);
        }
        if !parsed.diagnostics.is_empty() || i % BOUND_SHARE != 0 {
            continue;
        }
        read += 1;
        // What is planned is not run, but for what its meaning depends on.
        if let Err(engine::Error::Query(found)) = session.columns(&catalog, "default", &text).await {
            for diagnostic in found {
                assert!(diagnostic.span.end <= text.len(), "{text}");
                let _ = diagnostic.render(&text);
            }
        }
    }
    assert!(read > texts / 50, "only {read} of {texts} texts could be read");
}

#[test]
fn deep_and_long_texts_are_read_or_refused() {
    const DEPTH: usize = 20_000;
    for (open, close) in
        [("(", ")"), ("[", "]"), ("{", "}"), ("not(", ")"), ("-", ""), ("f(", ")"), ("T | where (", ")")]
    {
        let text = format!("print {}1{}", open.repeat(DEPTH), close.repeat(DEPTH));
        let _ = kql::parse(&text);
    }
    let chain = |count: usize, operator: &str| {
        let mut chain = String::from("T | where a == 0");
        (1..count).for_each(|n| {
            let _ = write!(chain, " {operator} a == {n}");
        });
        chain
    };
    for operator in ["and", "or", "+"] {
        assert!(kql::parse(&chain(kql::MAX_CHAIN / 2, operator)).diagnostics.is_empty());
        assert_eq!(kql::parse(&chain(10 * DEPTH, operator)).diagnostics.len(), 1);
    }
    for open in ["[", "(", "{", "-", "a.", "a[", "[\"a\"", "not("] {
        let _ = kql::parse(&format!("print {}", open.repeat(10 * DEPTH)));
    }
    let pipes = format!("T{}", " | take 1".repeat(DEPTH));
    let _ = kql::parse(&pipes);
    for text in ["\"".repeat(DEPTH), "|".repeat(DEPTH), "let a = ".repeat(DEPTH), "/".repeat(DEPTH), "a.".repeat(DEPTH)]
    {
        let _ = kql::parse(&text);
    }
}

async fn rows(session: &Session, query: &str) -> Vec<String> {
    let mut results = session.query(&FixedCatalog::default(), "default", query).await.expect("the query is right");
    let answer = results.pop().expect("a result").collect().await.expect("it runs");
    let mut rows = Vec::new();
    for batch in &answer.batches {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().zip(&answer.columns).map(|(array, column)| {
                let mut text = String::new();
                engine::cells::Cells::new(column.column_type, array).write_json(row, &mut text);
                text
            });
            rows.push(cells.collect::<Vec<_>>().join(" "));
        }
    }
    rows.sort();
    rows
}

/// A filter of two conditions is two filters, in either order, and what it keeps and leaves is everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_in_parts_keeps_the_same_rows() {
    let session = Session::new(Limits { parallelism: 2, ..Limits::default() }).expect("a session");
    let source = "range n from 1 to 200 step 1 | extend s = strcat(\"x\", n % 7), r = iff(n % 5 == 0, real(null), n / 3.0), \
                  d = iff(n % 4 == 0, dynamic(null), pack_array(n, \"a\")), t = datetime(2024-01-01) + n * 1h";
    let conditions = [
        "n % 3 == 1",
        "s has \"x3\"",
        "r > 20",
        "isnull(r)",
        "d[0] > 50",
        "t between (datetime(2024-01-02) .. 3d)",
        "s in (\"x1\", \"x2\") or n < 10",
        "not(r < 30)",
        "tostring(d) contains \"7\"",
    ];
    for a in conditions {
        for b in conditions {
            let whole = rows(&session, &format!("{source} | where ({a}) and ({b})")).await;
            let parts = rows(&session, &format!("{source} | where {b} | where {a}")).await;
            assert_eq!(whole, parts, "{a} and {b}");
        }
        let kept = rows(&session, &format!("{source} | where {a}")).await.len();
        let left = rows(&session, &format!("{source} | where not(coalesce({a}, false))")).await.len();
        assert_eq!(kept + left, 200, "{a}");
    }
}
