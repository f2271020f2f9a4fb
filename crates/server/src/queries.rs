//! Running queries for clients: on threads of their own, within limits of time and size.
//!
//! A query that is large to plan or to compute holds up neither ingestion nor the answers to others. It ends when its
//! time is up, and when nobody waits for its answer any more.

use crate::query_log::QueryLog;
use engine::catalog::Catalog;
use engine::external::ExternalReader;
use engine::within::Within;
use engine::{Caller, QueryOptions, Rows, Session};
use kql::tree::{Expr, ExprKind, Literal, Statement};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};

/// What a query may take when the request says nothing; the figures are Azure's.
const TIMEOUT: Duration = Duration::from_secs(4 * 60);
const RESULT_ROWS_MAX: usize = 500_000;
const RESULT_BYTES_MAX: usize = 64 << 20;
/// What a request can ask for at most.
const TIMEOUT_MAX: Duration = Duration::from_secs(60 * 60);
/// An answer is built in memory, so `notruncation` lifts the limits to this and no further.
const UNTRUNCATED_BYTES_MAX: usize = 1 << 30;

/// The limits of one query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub timeout: Duration,
    /// Rows of each result; what is beyond is cut off, and the answer says so.
    pub rows_max: usize,
    /// Bytes of each result as JSON.
    pub bytes_max: usize,
    /// Whether a result that is cut off counts as one, and only the status says so.
    pub defers_failures: bool,
    /// Whether rows may come in parts of a table.
    pub is_progressive: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            timeout: TIMEOUT,
            rows_max: RESULT_ROWS_MAX,
            bytes_max: RESULT_BYTES_MAX,
            defers_failures: false,
            is_progressive: false,
        }
    }
}

/// What a request says beside the query: limits and the values of query parameters.
#[derive(Debug, Clone, Default)]
pub struct Properties {
    pub limits: Limits,
    pub parameters: HashMap<String, String>,
    /// The rows that tables are asked for.
    pub scope: TimeScope,
    /// What the client calls the request; empty where it says nothing.
    pub client_request_id: String,
    pub caller: Caller,
}

/// The span of time that a request asks about, by a column of the tables; without a column it asks about all rows. Source:
/// Kusto's request properties `query_datetimescope_from`, `query_datetimescope_to` and `query_datetimescope_column`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TimeScope {
    /// Times in ticks; unbounded where nothing is said.
    from: Option<i64>,
    to: Option<i64>,
    column: Option<String>,
}

impl TimeScope {
    /// Takes an option that is one of these; whether it is. The error is that its value cannot be read.
    fn set(&mut self, option: &str, value: &str) -> Result<bool, String> {
        if value.is_empty() || value == "null" {
            return Ok(option.to_ascii_lowercase().starts_with("query_datetimescope_"));
        }
        let moment = || {
            let bare = value.strip_prefix("datetime(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(value);
            kql::datetime::parse(bare.trim()).map(Some).ok_or_else(|| option.to_owned())
        };
        match option.to_ascii_lowercase().as_str() {
            "query_datetimescope_from" => self.from = moment()?,
            "query_datetimescope_to" => self.to = moment()?,
            "query_datetimescope_column" => self.column = Some(value.to_owned()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The catalog as the request sees it.
    pub fn apply(&self, catalog: Arc<dyn Catalog>) -> Arc<dyn Catalog> {
        let Some(column) = self.column.clone().filter(|_| self.is_bounded()) else { return catalog };
        let span = (self.from.unwrap_or(0), self.to.unwrap_or(kql::datetime::MAX_TICKS));
        Arc::new(Within { inner: catalog, column, span })
    }

    /// Whether some rows are not asked about.
    pub fn is_bounded(&self) -> bool {
        self.column.is_some() && (self.from.is_some() || self.to.is_some())
    }
}

impl Properties {
    /// Reads the member `properties` of a request: an object, or a text that holds one. Names are taken without regard
    /// to case, since clients differ. Options that change no answer here are passed over; for a value that cannot be
    /// read, the name of the option is the error.
    pub fn read(given: &Value) -> Result<Properties, String> {
        let parsed;
        let object = match given {
            Value::String(text) => {
                parsed = serde_json::from_str(text).map_err(|_| "properties".to_owned())?;
                &parsed
            }
            other => other,
        };
        let mut properties = Properties::default();
        for (name, value) in members(object, "Options") {
            properties.set(name, &plain_text(value))?;
        }
        for (name, value) in members(object, "Parameters") {
            properties.parameters.insert(name.clone(), plain_text(value));
        }
        Ok(properties)
    }

    /// Adds what the `set` statements of the query say, which goes before what the request says.
    pub fn add_statements(&mut self, text: &str) -> Result<(), String> {
        for statement in kql::parse(text).script.statements {
            if let Statement::Set { option, value, .. } = statement {
                self.set(&option.text, &value.as_ref().map_or_else(|| "true".to_owned(), value_text))?;
            }
        }
        Ok(())
    }

    fn set(&mut self, option: &str, value: &str) -> Result<(), String> {
        match self.scope.set(option, value)? {
            true => Ok(()),
            false => self.limits.set(option, value),
        }
    }
}

fn members<'v>(object: &'v Value, wanted: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    let found = object.as_object().into_iter().flatten().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.and_then(|(_, value)| value.as_object()).into_iter().flatten()
}

fn plain_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A literal of a `set` statement in the form that requests use.
fn value_text(value: &Expr) -> String {
    match &value.kind {
        ExprKind::Literal(Literal::String(text)) => text.clone(),
        ExprKind::Literal(Literal::Long(Some(n))) => n.to_string(),
        ExprKind::Literal(Literal::Bool(Some(flag))) => flag.to_string(),
        ExprKind::Literal(Literal::TimeSpan(Some(ticks))) => kql::timespan::format(*ticks),
        ExprKind::Literal(Literal::DateTime(Some(ticks))) => kql::datetime::format(*ticks),
        ExprKind::Name(word) => word.clone(),
        _ => String::new(),
    }
}

impl Limits {
    fn set(&mut self, option: &str, value: &str) -> Result<(), String> {
        let number = || value.parse::<usize>().map_err(|_| option.to_owned());
        let flag = || match value.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(option.to_owned()),
        };
        match option.to_ascii_lowercase().as_str() {
            "servertimeout" => self.timeout = timeout(value).ok_or_else(|| option.to_owned())?,
            "norequesttimeout" if flag()? => self.timeout = TIMEOUT_MAX,
            "deferpartialqueryfailures" => self.defers_failures = flag()?,
            "results_progressive_enabled" => self.is_progressive = flag()?,
            "truncationmaxrecords" => self.rows_max = number()?,
            "truncationmaxsize" => self.bytes_max = number()?.min(UNTRUNCATED_BYTES_MAX),
            "notruncation" if flag()? => {
                self.rows_max = usize::MAX;
                self.bytes_max = UNTRUNCATED_BYTES_MAX;
            }
            _ => {}
        }
        Ok(())
    }
}

/// A time as clients send it: `00:01:00`, `1.00:00:00`, and Python's `1 day, 0:00:00`.
fn timeout(text: &str) -> Option<Duration> {
    let (days, rest) = match text.split_once(" day") {
        Some((days, rest)) => (days.trim().parse::<u64>().ok()?, rest.trim_start_matches(['s', ',', ' '])),
        None => (0, text),
    };
    let ticks = u64::try_from(kql::timespan::parse(rest)?).ok()?;
    let given = Duration::from_nanos(ticks.checked_mul(100)?).checked_add(Duration::from_secs(days * 24 * 60 * 60))?;
    (!given.is_zero()).then(|| given.min(TIMEOUT_MAX))
}

/// Why a query gave no answer.
#[derive(Debug)]
pub enum Failed {
    Engine(engine::Error),
    TimedOut(Duration),
    /// Somebody asked for its end.
    Cancelled,
    /// A fault of this program.
    Stopped(String),
}

/// Runs queries on the threads of a runtime of their own.
#[derive(Clone)]
pub struct Queries {
    session: Session,
    runtime: Handle,
    /// What reads `externaldata`, where that is allowed.
    external: Option<Arc<dyn ExternalReader>>,
    pub log: Arc<QueryLog>,
}

impl Queries {
    /// `runtime` should not be the one that answers requests: queries keep its threads busy.
    pub fn new(session: Session, runtime: Handle, external: Option<Arc<dyn ExternalReader>>) -> Queries {
        Queries { session, runtime, external, log: Arc::default() }
    }

    /// Does something else that takes a processor for a while, on the threads of queries.
    pub(crate) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.runtime.spawn(work)
    }

    /// Runs `text` and makes a `T` of the rows of each result, with whatever else `finish` says of them. What is still
    /// running when this future is dropped, ends.
    pub async fn run<T, F, R>(
        &self,
        catalog: Arc<dyn Catalog>,
        database: String,
        text: String,
        properties: Properties,
        finish: F,
    ) -> Result<Vec<T>, Failed>
    where
        T: Send + 'static,
        F: Fn(Rows, Limits) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, engine::Error>> + Send,
    {
        let finish_all = |results: Vec<Rows>, limits| async move {
            let mut finished = Vec::with_capacity(results.len());
            for rows in results {
                finished.push(finish(rows, limits).await?);
            }
            Ok(finished)
        };
        self.run_all(catalog, database, text, properties, finish_all).await
    }

    /// Runs `text` and makes a `T` of all results together. Their rows come as they are asked for.
    pub async fn run_all<T, F, R>(
        &self,
        catalog: Arc<dyn Catalog>,
        database: String,
        text: String,
        properties: Properties,
        finish: F,
    ) -> Result<T, Failed>
    where
        T: Send + 'static,
        F: FnOnce(Vec<Rows>, Limits) -> R + Send + 'static,
        R: Future<Output = Result<T, engine::Error>> + Send,
    {
        let session = self.session.clone();
        let logged = database.clone();
        let limits = properties.limits;
        let principal = properties.caller.principal.clone();
        let options = QueryOptions {
            now_ticks: None,
            parameters: properties.parameters,
            caller: properties.caller,
            external: self.external.clone(),
        };
        let mut task = JoinSet::new();
        let shown = text.clone();
        let handle = task.spawn_on(
            async move {
                let results = session.query_with(catalog.as_ref(), &database, &text, &options).await?;
                finish(results, limits).await
            },
            &self.runtime,
        );
        let running = self.log.begin(&shown, &logged, &principal, properties.client_request_id, handle);
        let outcome = match tokio::time::timeout(limits.timeout, task.join_next()).await {
            Err(_) => Err(Failed::TimedOut(limits.timeout)),
            Ok(Some(Ok(outcome))) => outcome.map_err(Failed::Engine),
            Ok(Some(Err(error))) if error.is_cancelled() => Err(Failed::Cancelled),
            Ok(Some(Err(error))) => Err(Failed::Stopped(error.to_string())),
            Ok(None) => Err(Failed::Stopped("the query was never started".to_owned())),
        };
        running.end(match &outcome {
            Ok(_) => Ok(()),
            Err(Failed::Engine(error)) => Err(error.to_string()),
            Err(Failed::TimedOut(_)) => Err("timed out".to_owned()),
            Err(Failed::Cancelled) => Err("cancelled".to_owned()),
            Err(Failed::Stopped(problem)) => Err(problem.clone()),
        });
        outcome
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]

    use super::*;
    use serde_json::json;

    #[test]
    fn properties_are_read_from_objects_and_texts_in_any_case() {
        let object =
            json!({"options": {"ServerTimeout": "0:01:30", "truncationmaxrecords": 5}, "parameters": {"n": 41}});
        for given in [object.clone(), Value::String(object.to_string())] {
            let read = Properties::read(&given).expect("properties");
            assert_eq!(read.limits.timeout, Duration::from_secs(90));
            assert_eq!(read.limits.rows_max, 5);
            assert_eq!(read.parameters["n"], "41");
        }
        assert_eq!(Properties::read(&Value::Null).expect("none").limits, Limits::default());
        Properties::read(&json!({"Options": {"servertimeout": "soon"}})).expect_err("no time");
    }

    #[test]
    fn statements_go_before_properties() {
        let mut properties = Properties::read(&json!({"Options": {"truncationmaxrecords": "7"}})).expect("properties");
        properties.add_statements("set truncationmaxrecords = 9; set servertimeout = 2m; print 1").expect("options");
        assert_eq!(properties.limits.rows_max, 9);
        assert_eq!(properties.limits.timeout, Duration::from_secs(120));
        properties.add_statements("set notruncation; print 1").expect("options");
        assert_eq!(properties.limits.rows_max, usize::MAX);
    }

    #[test]
    fn a_scope_of_time_is_read_and_what_is_no_time_refused() {
        let read = Properties::read(&json!({"Options": {
            "query_datetimescope_from": "2026-03-02T00:00:00Z", "query_datetimescope_to": "datetime(2026-03-03)",
            "query_datetimescope_column": "TimeStamp",
        }}));
        let scope = read.expect("properties").scope;
        assert_eq!(scope.to.zip(scope.from).map(|(to, from)| to - from), Some(kql::timespan::TICKS_PER_DAY));
        assert_eq!(scope.column.as_deref(), Some("TimeStamp"));
        let unset =
            Properties::read(&json!({"Options": {"query_datetimescope_to": null, "query_datetimescope_from": ""}}));
        assert_eq!(unset.expect("properties").scope, TimeScope::default());
        Properties::read(&json!({"Options": {"query_datetimescope_to": "tomorrow"}})).expect_err("no time");
    }

    #[test]
    fn times_of_python_and_net() {
        assert_eq!(timeout("1 day, 0:00:00"), Some(TIMEOUT_MAX));
        assert_eq!(timeout("00:00:30"), Some(Duration::from_secs(30)));
        assert_eq!(timeout("00:00:00"), None);
    }
}
