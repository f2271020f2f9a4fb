//! The query of a data collection rule, `transformKql`: what becomes of each record, by itself.

use crate::one_table::OneTable;
use crate::queries::{Failed, Properties, Queries};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use engine::Column;
use engine::slot::Slot;
use kql::Type;
use kql::tree::{OperatorKind, Pipeline, Source, Statement};
use std::sync::Arc;

/// What a transformation calls the records.
const SOURCE: &str = "source";
const TIME_COLUMN: &str = "TimeGenerated";
/// The name of the database that a transformation is run in.
const NOWHERE: &str = "transformation";

/// Checks that a transformation looks at each record by itself: rows come in parts, and what is asked of several at
/// once would be asked of parts by chance.
pub(super) fn check(transform: &str) -> Result<(), String> {
    let parsed = kql::parse(transform);
    if let Some(problem) = parsed.diagnostics.first() {
        return Err(problem.one_line(transform));
    }
    let mut queries = 0;
    for statement in &parsed.script.statements {
        match statement {
            Statement::Let { .. } => {}
            Statement::Query(pipeline) => {
                queries += 1;
                check_pipeline(pipeline)?;
            }
            _ => return Err("only let statements and one query make a transformation".to_owned()),
        }
    }
    if queries == 1 { Ok(()) } else { Err("a transformation is one query".to_owned()) }
}

fn check_pipeline(pipeline: &Pipeline) -> Result<(), String> {
    if let Source::Operator(operator) = &pipeline.source
        && !matches!(operator.kind, OperatorKind::Print(_))
    {
        return Err(format!("a transformation begins with '{SOURCE}'"));
    }
    for operator in &pipeline.operators {
        let is_by_row = matches!(
            operator.kind,
            OperatorKind::Where(_)
                | OperatorKind::Extend(_)
                | OperatorKind::Project(_)
                | OperatorKind::ProjectAway(_)
                | OperatorKind::ProjectKeep(_)
                | OperatorKind::ProjectRename(_)
                | OperatorKind::ProjectReorder(_)
                | OperatorKind::Parse(_)
                | OperatorKind::ParseKv(_)
                | OperatorKind::MvExpand(_)
        );
        if !is_by_row {
            return Err("a transformation looks at each record by itself: where, extend, project and its kin, parse, parse-kv and mv-expand can be used".to_owned());
        }
    }
    Ok(())
}

/// Records after a transformation.
pub(super) struct Transformed {
    pub columns: Vec<Column>,
    pub batch: RecordBatch,
}

/// Runs a transformation over records. The error reads after the name of the rule.
pub(super) async fn run(
    queries: &Queries,
    transform: &str,
    columns: &[Column],
    records: RecordBatch,
) -> Result<Transformed, String> {
    let slot = Slot::default();
    let table = slot.table(columns);
    slot.set(vec![records]);
    let source = OneTable { database: NOWHERE.to_owned(), name: SOURCE.to_owned(), table };
    let read = |rows: engine::Rows, _| async move {
        let columns = rows.columns.clone();
        let schema = engine::types::arrow_schema(&columns);
        Ok((columns, schema, rows.collect().await?.batches))
    };
    let ran =
        queries.run(Arc::new(source), NOWHERE.to_owned(), transform.to_owned(), Properties::default(), read).await;
    let mut results = ran.map_err(|failed| match failed {
        Failed::Engine(engine::Error::Query(problems)) => {
            problems.iter().map(|problem| problem.one_line(transform)).collect::<Vec<_>>().join("; ")
        }
        Failed::Engine(error) => error.to_string(),
        Failed::TimedOut(limit) => format!("it took longer than {} seconds", limit.as_secs()),
        Failed::Cancelled => "it was cancelled".to_owned(),
        Failed::Stopped(problem) => problem,
    })?;
    let (columns, schema, batches) = results.pop().ok_or("it has no result")?;
    let batch = concat_batches(&schema, &batches).map_err(|error| error.to_string())?;
    Ok(Transformed { columns, batch })
}

impl Transformed {
    /// What is wrong with the columns for a table, if anything: one of another type, or none that the table has.
    pub fn misfit(&self, table: &[Column]) -> Option<String> {
        let of_table = |column: &Column| table.iter().find(|known| known.name == column.name);
        let wrong = |column: &Column| {
            let known = of_table(column).filter(|known| known.column_type != column.column_type)?;
            let (name, given, wanted) = (&column.name, column.column_type, known.column_type);
            Some(format!("the column '{name}' is of type {given}, in the table it is of type {wanted}"))
        };
        if let Some(wrong) = self.columns.iter().find_map(wrong) {
            return Some(wrong);
        }
        let has_any = self.columns.iter().any(|column| of_table(column).is_some());
        (!has_any).then(|| "none of the columns is one of the table's".to_owned())
    }

    /// The rows with all columns of a table: what it does not have is left out, and where a time is missing it is
    /// `now_ticks`.
    pub fn rows(&self, table: &[Column], now_ticks: i64) -> Result<RecordBatch, arrow::error::ArrowError> {
        let rows = self.batch.num_rows();
        let array = |column: &Column| -> ArrayRef {
            let found = self.columns.iter().position(|made| made.name == column.name).map(|at| self.batch.column(at));
            let is_time = column.name == TIME_COLUMN && column.column_type == Type::DateTime;
            match found {
                Some(times) if is_time && times.null_count() > 0 => {
                    let times = times.as_primitive::<Int64Type>();
                    Arc::new(times.iter().map(|time| time.or(Some(now_ticks))).collect::<Int64Array>())
                }
                Some(array) => array.clone(),
                None if is_time => Arc::new(Int64Array::from(vec![now_ticks; rows])),
                None if column.column_type == Type::String => {
                    Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n("", rows)))
                }
                None => new_null_array(&engine::types::arrow_type(column.column_type), rows),
            }
        };
        RecordBatch::try_new(engine::types::arrow_schema(table), table.iter().map(array).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transformation_looks_at_each_record_by_itself() {
        for right in
            ["source", "source | where a > 1 | extend b = a * 2 | project-away a", "let x = 1; source | where a == x"]
        {
            check(right).expect(right);
        }
        for (wrong, wanted) in [
            ("source | summarize count()", "by itself"),
            ("source | take 1", "by itself"),
            ("union source, source", "begins with 'source'"),
            ("source; source", "one query"),
            ("set notruncation; source", "only let"),
            ("source | where", "line 1"),
        ] {
            let error = check(wrong).expect_err(wrong);
            assert!(error.contains(wanted), "{wrong}: {error}");
        }
    }
}
