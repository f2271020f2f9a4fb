//! Taking a rule's query apart: the row-wise head, which sees each event once, and the tail, which sees windows.

use kql::tree::{OperatorKind, Statement};

/// A query in two parts. Without a tail the query is row-wise all through.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Split {
    pub head: String,
    /// Reads the rows of the head from the table [`WINDOW`].
    pub tail: Option<String>,
}

/// The table that the tail reads.
pub(crate) const WINDOW: &str = "Window";

/// Splits a query before its first operator that looks at more than one row. The error says what is wrong.
pub(crate) fn split(query: &str) -> Result<Split, String> {
    let parsed = kql::parse(query);
    if let Some(first) = parsed.diagnostics.first() {
        return Err(first.one_line(query));
    }
    for word in ["ago(", "now("] {
        if query.contains(word) {
            return Err(format!("{word}) has no meaning in a rule: events are judged by their own time"));
        }
    }
    let Some(Statement::Query(pipeline)) = parsed.script.statements.last() else {
        return Err("the last statement of a rule must be a query".to_owned());
    };
    let row_wise = |kind: &OperatorKind| {
        matches!(
            kind,
            OperatorKind::Where(_)
                | OperatorKind::Extend(_)
                | OperatorKind::Project(_)
                | OperatorKind::ProjectAway(_)
                | OperatorKind::ProjectKeep(_)
                | OperatorKind::ProjectRename(_)
                | OperatorKind::ProjectReorder(_)
                | OperatorKind::MvExpand(_)
        )
    };
    let Some(first) = pipeline.operators.iter().find(|o| !row_wise(&o.kind)) else {
        return Ok(Split { head: query.to_owned(), tail: None });
    };
    let before = query[..first.span.start].trim_end();
    let head = before.strip_suffix('|').unwrap_or(before).trim_end().to_owned();
    let declarations = &query[..pipeline.span.start];
    let tail = format!("{declarations}{WINDOW}\n| {}", &query[first.span.start..]);
    Ok(Split { head, tail: Some(tail) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_before_the_first_summarize() {
        let parts = split("let n = 3;\nT | where a > n\n| summarize c = count() by b | where c > n").expect("split");
        assert_eq!(parts.head, "let n = 3;\nT | where a > n");
        assert_eq!(parts.tail.as_deref(), Some("let n = 3;\nWindow\n| summarize c = count() by b | where c > n"));
    }

    #[test]
    fn row_wise_queries_stay_whole() {
        let parts = split("T | where a > 1 | project a").expect("split");
        assert_eq!(parts.tail, None);
        assert!(split("T | where t > ago(1h)").is_err());
        assert!(split("T | wherre a").is_err());
    }
}
