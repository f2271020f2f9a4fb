//! What is wrong with a query, where, and what to do about it.

use std::fmt::Write as _;

/// A half-open range of bytes in the query text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Span {
        Span { start, end }
    }

    /// The smallest span that covers both.
    pub fn to(self, other: Span) -> Span {
        Span::new(self.start.min(other.start), self.end.max(other.end))
    }

    /// The text that the span covers, `""` when it does not lie within `source`.
    pub fn text(self, source: &str) -> &str {
        source.get(self.start..self.end).unwrap_or("")
    }

    /// Line and column of the start, both counted from 1, columns in characters.
    pub fn line_column(self, source: &str) -> (usize, usize) {
        let before = source.get(..self.start.min(source.len())).unwrap_or(source);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
        (line, column)
    }
}

/// The stage that refused the query; clients tell the two apart by their error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The text is not KQL.
    Syntax,
    /// The text is KQL but means nothing here: unknown name, wrong type.
    Semantic,
    /// The text is KQL that this program does not run yet.
    Unsupported,
}

/// One finding about a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub span: Span,
    pub severity: Severity,
    /// A sentence fragment that names the offending text.
    pub message: String,
    /// What the author may want instead, as a full sentence.
    pub hint: Option<String>,
    /// True when the text names a table that is not there, which a fuzzy union passes over.
    pub is_missing_table: bool,
}

impl Diagnostic {
    pub fn syntax(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic { span, severity: Severity::Syntax, message: message.into(), hint: None, is_missing_table: false }
    }

    pub fn semantic(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic { span, severity: Severity::Semantic, message: message.into(), hint: None, is_missing_table: false }
    }

    /// A refusal of something that KQL has and this program does not run yet.
    pub fn unsupported(span: Span, what: impl std::fmt::Display) -> Diagnostic {
        Diagnostic {
            span,
            severity: Severity::Unsupported,
            message: format!("'{what}' is not supported yet"),
            hint: None,
            is_missing_table: false,
        }
    }

    /// Marks that the text names a table that is not there.
    pub fn of_missing_table(mut self) -> Diagnostic {
        self.is_missing_table = true;
        self
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hint = Some(hint.into());
        self
    }

    /// The finding on one line: `line 2, column 9: ...`.
    pub fn one_line(&self, source: &str) -> String {
        let (line, column) = self.span.line_column(source);
        let mut text = format!("line {line}, column {column}: {}", self.message);
        if let Some(hint) = &self.hint {
            let _ = write!(text, ". {hint}");
        }
        text
    }

    /// The finding with the offending line and a caret under it, for a terminal.
    pub fn render(&self, source: &str) -> String {
        let (line, column) = self.span.line_column(source);
        let text = source.lines().nth(line - 1).unwrap_or("").replace('\t', " ");
        let room = text.chars().count().saturating_sub(column - 1).max(1);
        let length = self.span.text(source).chars().take_while(|c| *c != '\n').count();
        let carets = "^".repeat(length.clamp(1, room));
        let margin = " ".repeat(line.to_string().len());
        let mut out = format!(
            "error: {}\n{margin}--> line {line}, column {column}\n{margin} |\n{line} | {text}\n{margin} | {}{carets}\n",
            self.message,
            " ".repeat(column - 1),
        );
        if let Some(hint) = &self.hint {
            let _ = writeln!(out, "{margin} = hint: {hint}");
        }
        out
    }
}

/// The candidate nearest to `name` by edit distance, if near enough to be a likely slip of the pen.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Longer names are not compared: the cost grows with the square of the length.
    const LENGTH_MAX: usize = 64;
    if name.len() > LENGTH_MAX {
        return None;
    }
    let wanted: Vec<char> = name.to_lowercase().chars().collect();
    candidates
        .into_iter()
        .filter(|c| c.len() <= LENGTH_MAX)
        .map(|c| (edit_distance(&wanted, &c.to_lowercase().chars().collect::<Vec<_>>()), c))
        .filter(|(distance, _)| *distance <= 1 + wanted.len() / 4)
        .min_by_key(|(distance, c)| (*distance, c.len()))
        .map(|(_, c)| c)
}

fn edit_distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_at_the_offending_text() {
        let source = "T\n| where Devise == 1";
        let d = Diagnostic::semantic(Span::new(10, 16), "no column 'Devise'").with_hint("Did you mean 'DeviceId'?");
        assert_eq!(d.one_line(source), "line 2, column 9: no column 'Devise'. Did you mean 'DeviceId'?");
        let rendered = d.render(source);
        assert!(rendered.contains("2 | | where Devise == 1\n  |         ^^^^^^\n"), "{rendered}");
    }

    #[test]
    fn suggests_only_what_is_near() {
        assert_eq!(nearest("Devicid", ["DeviceId", "TimeGenerated"]), Some("DeviceId"));
        assert_eq!(nearest("xyz", ["DeviceId", "TimeGenerated"]), None);
    }
}
