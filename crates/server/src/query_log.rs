//! Which queries run, and which have run lately.

use kql::token::TokenKind;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::task::AbortHandle;

/// So many queries that have ended are remembered.
const ENDED_MAX: usize = 1000;
/// Of longer texts the beginning is remembered.
const TEXT_CHARACTERS_MAX: usize = 64 << 10;

const FAILURE_CHARACTERS_MAX: usize = 2000;

/// A query that runs or has run.
#[derive(Debug, Clone)]
pub struct QueryRecord {
    /// What the client calls it, or a name of our own.
    pub id: String,
    pub database: String,
    /// Who asked.
    pub principal: String,
    /// What stands in obfuscated strings is not shown.
    pub text: String,
    /// Times in ticks.
    pub started: i64,
    pub ended: Option<i64>,
    /// Why it failed, where it did.
    pub failure: Option<String>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    running: BTreeMap<u64, (QueryRecord, AbortHandle)>,
    ended: VecDeque<QueryRecord>,
}

#[derive(Default)]
pub struct QueryLog {
    inner: Mutex<Inner>,
}

/// A query that runs. It has ended at the latest when this is dropped.
pub struct Running {
    log: Arc<QueryLog>,
    number: u64,
    /// What the failure must not show.
    hidden: Vec<String>,
}

/// The text without what stands in `h"..."` and in the strings right behind it, which are one with it; and what that was.
pub(crate) fn obfuscated(text: &str) -> (String, Vec<String>) {
    let (tokens, _) = kql::lex(text);
    let (mut shown, mut hidden) = (String::new(), Vec::new());
    let mut at = 0;
    let mut follows_hidden = false;
    for token in tokens {
        let written = token.span.text(text);
        let TokenKind::String { value, .. } = token.kind else {
            follows_hidden = false;
            continue;
        };
        follows_hidden |= written.starts_with(['h', 'H']);
        if follows_hidden {
            shown.push_str(&text[at..token.span.start]);
            shown.push_str("h'***'");
            hidden.extend(Some(value).filter(|value| !value.is_empty()));
            at = token.span.end;
        }
    }
    shown.push_str(&text[at..]);
    (shown.chars().take(TEXT_CHARACTERS_MAX).collect(), hidden)
}

impl QueryLog {
    pub(crate) fn begin(
        self: &Arc<Self>,
        text: &str,
        database: &str,
        principal: &str,
        id: String,
        handle: AbortHandle,
    ) -> Running {
        let id = if id.is_empty() { format!("Turnstone;{}", uuid::Uuid::new_v4()) } else { id };
        let (text, hidden) = obfuscated(text);
        let record = QueryRecord {
            id,
            database: database.to_owned(),
            principal: principal.to_owned(),
            text,
            started: kql::datetime::now(),
            ended: None,
            failure: None,
        };
        let mut inner = self.inner.lock();
        let number = inner.next;
        inner.next += 1;
        inner.running.insert(number, (record, handle));
        Running { log: self.clone(), number, hidden }
    }

    fn end(&self, number: u64, failure: Option<String>) {
        let mut inner = self.inner.lock();
        let Some((mut record, _)) = inner.running.remove(&number) else { return };
        record.ended = Some(kql::datetime::now());
        record.failure = failure;
        if inner.ended.len() >= ENDED_MAX {
            inner.ended.pop_front();
        }
        inner.ended.push_back(record);
    }

    /// The queries that run, the oldest first.
    pub fn running(&self) -> Vec<QueryRecord> {
        self.inner.lock().running.values().map(|(record, _)| record.clone()).collect()
    }

    /// The queries that have ended, the oldest first.
    pub fn ended(&self) -> Vec<QueryRecord> {
        self.inner.lock().ended.iter().cloned().collect()
    }

    /// Ends the queries of this name that are wanted; those that were.
    pub fn cancel(&self, id: &str, is_wanted: impl Fn(&QueryRecord) -> bool) -> Vec<QueryRecord> {
        let inner = self.inner.lock();
        let wanted = inner.running.values().filter(|(record, _)| record.id == id && is_wanted(record));
        wanted
            .map(|(record, handle)| {
                handle.abort();
                record.clone()
            })
            .collect()
    }
}

impl Running {
    pub(crate) fn end(self, outcome: Result<(), String>) {
        let shown = |failure: String| {
            let shown = self.hidden.iter().fold(failure, |failure, hidden| failure.replace(hidden, "***"));
            shown.chars().take(FAILURE_CHARACTERS_MAX).collect()
        };
        self.log.end(self.number, outcome.err().map(shown));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Of a query that has ended, this finds nothing.
        self.log.end(self.number, Some("the client went away".to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::obfuscated;

    #[test]
    fn hidden_strings_are_not_shown() {
        let shown = |text: &str| obfuscated(text).0;
        assert_eq!(shown("T | where k == h'secret' or x == 'h'"), "T | where k == h'***' or x == 'h'");
        assert_eq!(shown("T | where k == h@\"se'cret\""), "T | where k == h'***'");
        assert_eq!(shown("print h'sec' 'ret', 'open'"), "print h'***' h'***', 'open'");
        assert_eq!(obfuscated("print h'sec' 'ret'").1, ["sec", "ret"]);
    }
}
