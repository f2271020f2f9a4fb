//! What is printed reads back to the same tree: for every query of the specification, for the conformance corpus
//! where it is there, and for texts that are easily read as something else.

#![allow(clippy::unwrap_used)]

use kql::{MAX_CHAIN, MAX_NESTING};
use std::path::{Path, PathBuf};

/// Where the conformance corpus is looked for if not beside the repository.
const SHARED_VARIABLE: &str = "TURNSTONE_SHARED";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The tree as text, spans left out.
fn tree_of(script: &kql::tree::Script) -> String {
    const SPAN: &str = "Span { start: ";
    let debug = format!("{script:?}");
    let mut pieces = debug.split(SPAN);
    let mut tree = pieces.next().unwrap().to_owned();
    for piece in pieces {
        tree.push_str(piece.split_once('}').unwrap().1);
    }
    tree
}

/// Whether `query` is well formed, in which case its text must read back to its tree, and be printed as itself.
fn round_trips(query: &str) -> Result<bool, String> {
    let first = kql::parse(query);
    if !first.diagnostics.is_empty() {
        return Ok(false);
    }
    let text = kql::print(&first.script);
    let second = kql::parse(&text);
    if let Some(diagnostic) = second.diagnostics.first() {
        return Err(format!("{query}\nis printed as\n{text}\n{}", diagnostic.one_line(&text)));
    }
    let (wanted, found) = (tree_of(&first.script), tree_of(&second.script));
    if wanted != found {
        let at = wanted.bytes().zip(found.bytes()).take_while(|(a, b)| a == b).count();
        let excerpt = |tree: &str| {
            let around = tree.bytes().skip(at.saturating_sub(100)).take(200).collect::<Vec<_>>();
            String::from_utf8_lossy(&around).into_owned()
        };
        let (wanted, found) = (excerpt(&wanted), excerpt(&found));
        return Err(format!("{query}\nis printed as\n{text}\nand reads back as\n…{found}…\ninstead of\n…{wanted}…"));
    }
    let again = kql::print(&second.script);
    if again != text { Err(format!("{text}\nis printed as\n{again}")) } else { Ok(true) }
}

/// Checks all queries and says how many of them were well formed.
fn check_all(queries: &[String]) -> usize {
    let results: Vec<_> = queries.iter().map(|query| round_trips(query)).collect();
    let failures: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert!(failures.is_empty(), "{} do not read back, the first:\n{}", failures.len(), failures[0]);
    results.iter().filter(|result| **result == Ok(true)).count()
}

fn files(folder: &Path, extension: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let wanted = paths.filter(|path| path.extension().is_some_and(|e| e == extension));
    wanted.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn queries_of_the_specification() {
    let pages = files(&repository().join("crates/engine/tests/spec"), "md");
    let mut queries = Vec::new();
    for page in &pages {
        for block in page.split("\n```kql").skip(1) {
            let (_, body) = block.split_once('\n').unwrap();
            queries.push(body.split("\n```").next().unwrap().to_owned());
        }
    }
    let well_formed = check_all(&queries);
    println!("{well_formed} of {} queries are well formed and read back", queries.len());
    assert!(well_formed > 500, "only {well_formed} queries were found");
}

#[test]
fn texts_that_are_easily_read_as_something_else() {
    let queries = [
        // Words that begin an operator, a statement or an option where they are not quoted.
        "['search'] | where ['not'] == 1 and ['hint'].a == ['null'] and ['range'] < ['top'] - 1",
        "['set'] has 'x' | top-nested ['top'] - 1 of a by count() | project null = 1, ['true'] = kind",
        "let a = (view(1) + 2); let view = 1; T | mv-expand ['kind'] = x, kind = y | make-series ['kind'] = count() on t step 1d",
        "T | make-series count() on range in range(1, 5, 1) | parse s with * ['from'] 'x' ['with']: long",
        "T | join kind=['int'] (U) on a; find withsource=['date'] in (A) where true",
        // Calls that in parentheses would be operators.
        "T | where a in union(b) and c !in~ search('x', 'y') | join print(x) + 1 on k",
        // What would go on behind a comma, or stop before an operator.
        "print f((union A, B), (T | project a), (T | sort by b)), a in ((T | distinct b), c)",
        "union (a + b), (*), (true), -x, f(y), database('d').T*, database('d').['a b*'], (T | count).x",
        // Literals that have a type or a value which their digits alone do not say.
        "print 0xFFFFFFFFFFFFFFFF, long(-9223372036854775808), 1e999, real(-0.0), real(nan), - 5, long(-5), int(7), 5",
        "datatable(a: long) [-9223372036854775808, -1, long(null), 0x10]",
        "print decimal(1.10), decimal('2e5'), timespan(-0.00:00:00.0000001), 1.5h, time(10675199.02:48:05.4775807), 1tick",
        "print datetime('2026-03-01 10:00'), datetime(0001-01-01), datetime(), datetime(8:00), datetime(null), guid('{74BE27DE1E4E49D9B579FE0B331D3642}')",
        "print dynamic(['http://x']), dynamic([1] // one\n), dynamic(\"a\"), dynamic(null), bool(0), True",
        "print '\\'', @'\"''\\', 'a\\nb\\x01\\u00e9', ```one\ntwo\nthree`x```, 'one' \"two\", h'hidden'",
        // Other spellings of the same.
        "T | where (a) <> +b | limit 3 | order by (c) | filter d.[0] == e.['f'].['g h'] | invoke ['a b'](x)",
        "T | render piechart title='x', ycolumns=a, b ycolumns=c kind=default",
        "evaluate null(T | count) : (*) | union kind=outer isfuzzy=false A",
    ];
    for query in queries {
        assert_eq!(round_trips(query), Ok(true), "{query}");
    }
}

#[test]
fn long_and_deep_texts() {
    const STACK_BYTES: usize = 256 << 20;
    let row = |separator: &str, parts: usize| vec!["a"; parts].join(separator);
    let texts = [
        row(" and ", MAX_CHAIN),
        row(" + ", MAX_CHAIN),
        // What needs no parentheses for its meaning needs them for its length.
        format!("(({}) - {}) - a", row(" - ", MAX_CHAIN - 1), row(" - ", MAX_CHAIN - 1)),
        format!("({}) and ({})", row(" and ", 4096), row(" and ", 4096)),
        format!("({}) == {}", row(" == ", MAX_CHAIN - 2), row(" == ", MAX_CHAIN - 2)),
        format!("({}).{}", row(".", MAX_CHAIN - 1), row(".", MAX_CHAIN - 1)),
        format!("{}a{}", "f(".repeat(MAX_NESTING / 3), ")".repeat(MAX_NESTING / 3)),
        format!("{}a", "-".repeat(MAX_NESTING - 2)),
    ];
    for text in texts {
        // To compare trees as deep as these takes more stack than a test has.
        let result = stacker::grow(STACK_BYTES, || round_trips(&format!("print {text}")));
        assert_eq!(result, Ok(true));
    }
}

#[test]
fn queries_of_the_conformance_corpus() {
    let shared = std::env::var_os(SHARED_VARIABLE).map_or_else(|| repository().join("../shared"), PathBuf::from);
    let corpora = files(&shared.join("conformance"), "jsonl");
    let mut queries = Vec::new();
    for line in corpora.iter().flat_map(|corpus| corpus.lines()) {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        queries.extend(case.get("query").and_then(|query| query.as_str()).map(str::to_owned));
    }
    let well_formed = check_all(&queries);
    println!("{well_formed} of {} queries are well formed and read back", queries.len());
}
