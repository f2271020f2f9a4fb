//! Deleting rows: `.delete table T records <| T | where ...`, and `.purge`, which asks twice.
//!
//! Rows for which the condition is true go, from the table and from its files. The condition says nothing of other
//! rows: it is asked of each row by itself.

use super::super::error::KustoError;
use super::super::response::{Table, text};
use super::words::{Properties, Words};
use super::{Command, failed};
use crate::one_table::OneTable;
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use engine::RecordBatch;
use engine::catalog::Catalog;
use kql::Type;
use kql::tree::{Expr, ExprKind, OperatorKind, Source, Statement};
use std::sync::Arc;

/// A column that no table has.
const HIT: &str = "__turnstone_is_hit";

/// Why rows were not deleted.
pub(super) struct NotDeleted(KustoError);

impl From<workspace::Error> for NotDeleted {
    fn from(error: workspace::Error) -> NotDeleted {
        NotDeleted(KustoError::workspace(&error))
    }
}

impl Command<'_> {
    /// `.delete [async] table T records [with (whatif = true)] <| T | where ...`.
    pub(super) async fn delete_records(&self, words: &mut Words<'_>, query: &str) -> Result<Table, KustoError> {
        self.check_database(self.database)?;
        if words.take("async") {
            return Err(self.unsupported());
        }
        if !words.take("table") {
            return Err(words.unexpected("'table'"));
        }
        let name = words.name("a table name")?;
        if !words.take("records") {
            return Err(words.unexpected("'records'"));
        }
        let properties = words.properties()?;
        if !words.at_end() {
            return Err(words.unexpected("'<|'"));
        }
        if let Some(unknown) = properties.keys().find(|name| !matches!(name.as_str(), "whatif")) {
            return Err(KustoError::bad_request(format!("Not supported: the property '{unknown}'; whatif is")));
        }
        let condition = self.condition(&name, query)?;
        let mut table = Table::new(&[
            ("TableName", Type::String),
            ("DeletedRecords", Type::Long),
            ("RewrittenExtents", Type::Long),
        ]);
        if is_true(&properties, "whatif") {
            let rows = self.count_hits(&name, &condition).await?;
            table.push(&[text(&name), rows.to_string(), "0".to_owned()]);
            return Ok(table);
        }
        let deleted = self.delete(&name, &condition).await?;
        table.push(&[text(&name), deleted.rows.to_string(), deleted.files.to_string()]);
        Ok(table)
    }

    /// `.purge table T records [in database D] [with (verificationtoken = "...")] <| where ...`.
    pub(super) async fn purge(&self, words: &mut Words<'_>, query: &str) -> Result<Table, KustoError> {
        let bad = |words: &Words<'_>, wanted: &str| Err(words.unexpected(wanted));
        if !words.take("table") {
            return bad(words, "'table'");
        }
        let name = words.name("a table name")?;
        if !words.take("records") {
            return bad(words, "'records'");
        }
        let database = match words.take("in database") {
            true => words.name("a database name")?,
            false => self.database.to_owned(),
        };
        let properties = words.properties()?;
        if !words.at_end() {
            return bad(words, "'<|'");
        }
        let command = Command { caller: self.caller.clone(), database: &database, ..*self };
        command.check_database(&database)?;
        let condition = command.condition(&name, query)?;
        // A token is of one table and one condition, so that what is confirmed is what was shown.
        let asked = format!("{database}\u{0}{name}\u{0}{condition}");
        let token = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, asked.as_bytes()).simple().to_string();
        let given = properties.get("verificationtoken");
        if !is_true(&properties, "noregrets") && given.is_none() {
            let rows = command.count_hits(&name, &condition).await?;
            let mut table = Table::new(&[
                ("NumRecordsToPurge", Type::Long),
                ("EstimatedPurgeExecutionTime", Type::TimeSpan),
                ("VerificationToken", Type::String),
            ]);
            table.push(&[rows.to_string(), text("00:00:02"), text(&token)]);
            return Ok(table);
        }
        if given.is_some_and(|given| *given != token) {
            let message = "Bad request: the verification token is of another table or condition; ask without it for the right one";
            return Err(KustoError::bad_request(message));
        }
        let begin = kql::datetime::now();
        let deleted = command.delete(&name, &condition).await?;
        let duration = kql::timespan::format(kql::datetime::now() - begin);
        let begin = kql::datetime::format(begin);
        let mut table = Table::new(&[
            ("OperationId", Type::Guid),
            ("DatabaseName", Type::String),
            ("TableName", Type::String),
            ("ScheduledTime", Type::DateTime),
            ("Duration", Type::TimeSpan),
            ("LastUpdatedOn", Type::DateTime),
            ("EngineOperationId", Type::Guid),
            ("State", Type::String),
            ("StateDetails", Type::String),
            ("EngineStartTime", Type::DateTime),
            ("EngineDuration", Type::TimeSpan),
            ("Retries", Type::Int),
            ("ClientRequestId", Type::String),
            ("Principal", Type::String),
        ]);
        let id = uuid::Uuid::new_v4().to_string();
        let details = format!("{} records of {} files were purged", deleted.rows, deleted.files);
        let (request, principal) = (&self.limits.client_request_id, &self.limits.caller.principal);
        let [id, database, name, begin, duration, done, details, request, principal] =
            [id.as_str(), &database, &name, &begin, &duration, "Completed", &details, request, principal].map(text);
        let updated = begin.clone();
        let cells =
            [id.clone(), database, name, begin.clone(), duration.clone(), updated, id, done, details, begin, duration];
        let cells: Vec<String> = cells.into_iter().chain(["0".to_owned(), request, principal]).collect();
        table.push(&cells);
        Ok(table)
    }

    /// The condition in `T | where a | where b`, or `where a`, as one.
    fn condition(&self, name: &str, query: &str) -> Result<String, KustoError> {
        let wrong = |what: &str| {
            KustoError::bad_request(format!(
                "Bad request: {what}; write the rows to delete as: {name} | where condition"
            ))
        };
        let query = query.trim().trim_end_matches(';');
        let whole = match query.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("where")) {
            true => format!("['{name}'] | {query}"),
            false => query.to_owned(),
        };
        let parsed = kql::parse(&whole);
        if !parsed.diagnostics.is_empty() {
            return Err(KustoError::query(&parsed.diagnostics, &whole));
        }
        let [Statement::Query(pipeline)] = parsed.script.statements.as_slice() else {
            return Err(wrong("there must be one query and nothing else"));
        };
        let columns = self.services.workspaces.columns(self.database, name).map_err(failed)?;
        let is_table =
            |source: &Source| matches!(source, Source::Expression(Expr { kind: ExprKind::Name(n), .. }) if n == name);
        if !is_table(&pipeline.source) {
            return Err(wrong("the rows must be those of the table that is named"));
        }
        let mut conditions = Vec::new();
        for operator in &pipeline.operators {
            let OperatorKind::Where(condition) = &operator.kind else {
                return Err(wrong("only 'where' says which rows are to be deleted"));
            };
            if asks_elsewhere(condition, &|other| other == name && !columns.iter().any(|column| column.name == other)) {
                return Err(wrong("a condition can ask nothing but the columns of each row by itself"));
            }
            conditions.push(format!("({})", condition.span.text(&whole)));
        }
        if conditions.is_empty() {
            return Err(wrong("there is no condition; .drop table removes a whole table"));
        }
        Ok(conditions.join(" and "))
    }

    async fn count_hits(&self, name: &str, condition: &str) -> Result<u64, KustoError> {
        let query = format!("['{name}'] | where {condition} | count");
        let counted = self.rows(self.services.catalog_for(&self.caller), name, query).await?;
        let count = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().iter().flatten().sum::<i64>();
        Ok(counted.iter().map(count).sum::<i64>().unsigned_abs())
    }

    async fn delete(&self, name: &str, condition: &str) -> Result<workspace::Deleted, KustoError> {
        let kept = |catalog: Arc<dyn Catalog>| async move {
            let hits = format!("['{name}'] | where {condition} | project {HIT} = 1 | take 1");
            if self.rows(catalog.clone(), name, hits).await.map_err(NotDeleted)?.iter().all(|b| b.num_rows() == 0) {
                return Ok(None);
            }
            // Where the condition is null, the row is none of those that were asked for.
            let rest = format!(
                "['{name}'] | extend {HIT} = iff({condition}, true, false) | where not({HIT}) | project-away {HIT}"
            );
            self.rows(catalog, name, rest).await.map(Some).map_err(NotDeleted)
        };
        self.services.workspaces.delete_rows(self.database, name, kept).await.map_err(|NotDeleted(error)| error)
    }

    /// The rows of a query that knows of one table.
    async fn rows(&self, catalog: Arc<dyn Catalog>, name: &str, query: String) -> Result<Vec<RecordBatch>, KustoError> {
        let missing = || failed(workspace::Error::NoTable(name.to_owned()));
        let table = catalog.table(self.database, name).ok_or_else(missing)?;
        let alone = Arc::new(OneTable { database: self.database.to_owned(), name: name.to_owned(), table });
        let read = |rows: engine::Rows, _| async move { Ok(rows.collect().await?.batches) };
        let ran =
            self.services.queries.run(alone, self.database.to_owned(), query.clone(), self.limits.clone(), read).await;
        let mut results = ran.map_err(|error| KustoError::failed(error, &query))?;
        results.pop().ok_or_else(|| KustoError::internal("the query has no result"))
    }
}

fn is_true(properties: &Properties, name: &str) -> bool {
    properties.get(name).is_some_and(|said| said.eq_ignore_ascii_case("true"))
}

/// Whether an expression asks more than the columns of a row. Names of other tables are known to nobody here.
fn asks_elsewhere(expr: &Expr, is_table: &dyn Fn(&str) -> bool) -> bool {
    let asks = |inner: &Expr| asks_elsewhere(inner, is_table);
    match &expr.kind {
        ExprKind::Name(name) => is_table(name),
        ExprKind::Literal(_) | ExprKind::TypeOf(_) => false,
        ExprKind::Member { base, .. } => asks(base),
        ExprKind::Index { base, index } => asks(base) || asks(index),
        ExprKind::Call { arguments, .. } => arguments.iter().any(|argument| asks(&argument.value)),
        ExprKind::Negate(inner) => asks(inner),
        ExprKind::Binary { left, right, .. } => asks(left) || asks(right),
        ExprKind::Between { value, low, high, .. } => asks(value) || asks(low) || asks(high),
        ExprKind::Membership { value, list, .. } => asks(value) || list.iter().any(asks),
        ExprKind::Star => false,
        ExprKind::Pipeline(_) | ExprKind::DataTable { .. } | ExprKind::Error => true,
    }
}
