//! The syntax tree as text again, in one canonical form.
//!
//! One statement is a paragraph, an operator a line, and parentheses stand only where the grammar asks for them.
//! The text follows from the tree alone, never from its spans, so that equal trees have equal texts.

mod expression;
mod graph;
mod literal;
mod operator;
mod parse;
mod scan;
mod search;
mod statement;
mod words;

use crate::tree::Script;

/// The canonical text of a script, without a line break at its end.
///
/// The text of a tree that [`parse`](crate::parse) gave without diagnostics reads back to that tree, apart from spans.
/// What the tree does not hold is not in the text either: comments, hints, how a literal was spelt, the `h` that
/// hides a string from logs, the columns of a schema such as `typeof(*, x: long)`, and what could not be read.
///
/// ```
/// let parsed = kql::parse("let n=3;SecurityAlert|where (AlertSeverity=='High')|limit n");
/// assert_eq!(
///     kql::print(&parsed.script),
///     "let n = 3;\n\nSecurityAlert\n| where AlertSeverity == \"High\"\n| take n",
/// );
/// ```
pub fn print(script: &Script) -> String {
    let mut printer = Printer { text: String::new(), indentation: 0 };
    printer.paragraphs(script);
    printer.text
}

struct Printer {
    text: String,
    /// How many blocks are open around what is written next.
    indentation: usize,
}

impl Printer {
    fn write(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn line(&mut self) {
        const INDENT: &str = "    ";
        self.text.push('\n');
        for _ in 0..self.indentation {
            self.text.push_str(INDENT);
        }
    }

    /// What `inner` writes, on lines of its own between two brackets.
    fn block(&mut self, open: &str, close: &str, inner: impl FnOnce(&mut Self)) {
        self.write(open);
        self.indentation += 1;
        self.line();
        inner(self);
        self.indentation -= 1;
        self.line();
        self.write(close);
    }

    /// Items with commas between them.
    fn listed<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        for (i, each) in items.iter().enumerate() {
            if i > 0 {
                self.write(", ");
            }
            item(self, each);
        }
    }

    /// Runs `write` with more stack when it runs short: trees are as deep as chains of operators are long.
    fn nested(&mut self, write: impl FnOnce(&mut Self)) {
        /// Stack that one level of the tree may need, with a wide margin.
        const RED_ZONE_BYTES: usize = 128 << 10;
        const SEGMENT_BYTES: usize = 2 << 20;
        stacker::maybe_grow(RED_ZONE_BYTES, SEGMENT_BYTES, || write(self));
    }
}

#[cfg(test)]
mod tests {
    use super::print;
    use crate::parse;

    fn printed(text: &str) -> String {
        let parsed = parse(text);
        assert_eq!(parsed.diagnostics, [], "{text}");
        print(&parsed.script)
    }

    #[test]
    fn canonical_text_is_printed_as_it_is() {
        let texts = [
            "",
            "T",
            "let n = 3;\n\nset notruncation;\n\nT\n| take n",
            "declare query_parameters(a: long, T: (x: string), U: (*), s: string = \"none\")",
            "let f = (T: (x: long), n: long = 5) {\n    let m = n + 1;\n    T\n    | where x < m\n};\n\nf(A)",
            "let v = view () {\n    T\n};\n\nlet nothing = () {};\n\nlet w = (view(1))",
            "declare pattern p = (a: string)[b: string] {\n    (\"x\").[\"y\"] = {\n        T\n    };\n}",
            "restrict access to (A, database(\"d\").*, ['b c'])",
            "datatable(a: long, ['b c']: string) [\n    1, \"x\",\n    -2, \"it's\"\n]",
            "T\n| where a in (1, 2) and b !has \"x\" or c !between (1d .. 36h)",
            "T\n| where x in (\n    U\n    | project k\n)",
            "T\n| join kind=leftouter (\n    U\n    | where a\n) on $left.a == $right.b, c\n| lookup V on c",
            "union kind=inner withsource=source isfuzzy=true A, B*, (\n    C\n    | count\n)",
            "T\n| extend x = toscalar(\n    U\n    | count\n), (a, b) = f(y = 1)",
            "T\n| summarize n = count(), max(a) by b, bin(t, 5m)\n| sort by n desc nulls last, b",
            "T\n| mv-apply e = d to typeof(long) on (\n    where e > 1\n    | top 1 by e\n)",
            "T\n| mv-expand ['kind'] = a limit 5\n| parse-where kind=regex s with * @\"a\\d\" b: long \"c\" ['to']",
            "T\n| make-series n = count() default=0 on t from ago(7d) to now() step 1d by k",
            "T\n| scan with_match_id=m declare (n: long = 0) with (\n    step a: x > 1 => n = 1, y = 2;\n    step b output=last: true;\n)",
            "T\n| fork\n    (count)\n    n = (\n        where a\n        | take 2\n    )",
            "T\n| partition by k {\n    U\n    | where a == k\n}",
            "T\n| top-nested 3 of a with others = \"rest\" by count(), top-nested of b by max(c) asc",
            "search in (A, B*) name: \"x\" or \"y\"",
            "find withsource=source in (A) where a == 1 project a, b: long, pack_all()",
            "E\n| make-graph a --> b with N on id\n| graph-match cycles=none (x)-[e*1..3]->(y)<--()-[*2]-(z) project x.a",
            "T\n| render timechart with (title=\"x\", ycolumns=a, b)",
            "externaldata(a: string) [\"https://x/y\"] with (format=\"csv\")",
            "print int(5), long(-5), long(null), 1.0, real(-0.5), real(nan), real(+inf), decimal(1.50), bool(null)",
            "print datetime(2026-03-01), datetime(2026-03-01T10:00:00.1234567Z), datetime(), timespan(-1.02:03:04)",
            "print guid(74be27de-1e4e-49d9-b579-fe0b331d3642), dynamic({\"a\": [1, null]}), dynamic(null)",
            "print dynamic([1] // one\n), typeof(long), ['first'], database(\"d\").table(\"t\").x[0][\"y\"].['a b'].by",
        ];
        for text in texts {
            assert_eq!(printed(text), text);
        }
    }

    #[test]
    fn parentheses_stand_only_where_they_are_needed() {
        let cases = [
            ("(a and b) and (c and d)", "a and b and c and d"),
            ("a and (b and c)", "a and b and c"),
            ("(a and b) and c", "(a and b) and c"),
            ("((a and b) and c) or (d or e) or f", "(a and b) and c or (d or e) or f"),
            ("(a or b) and not(c)", "(a or b) and not(c)"),
            ("(a - b) - (c - d)", "a - b - (c - d)"),
            ("a * (-b) + ((c))", "a * -b + c"),
            ("(-a).b, (a + b)[0], -(a.b)", "(-a).b, (a + b)[0], -a.b"),
            ("(a == b) == (c == d)", "a == b == (c == d)"),
            (
                "f((T | project a, b), (union A, B), (T | count))",
                "f(\n    (\n        T\n        | project a, b\n    ),\n    (union A, B),\n    T\n    | count\n)",
            ),
            ("x in y + 1, x in union(a)", "x in (y + 1), x in union(a)"),
        ];
        for (text, expected) in cases {
            let text = printed(&format!("print {text}"));
            assert_eq!(text, format!("print {expected}"));
            assert_eq!(printed(&text), text);
        }
        assert_eq!(printed("union (a + b), (*), c | count"), "union (a + b), (*), c\n| count");
        assert_eq!(printed("(T | count)"), "(\n    T\n    | count\n)");
    }
}
