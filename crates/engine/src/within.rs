//! Tables as they are within a span of time.

use crate::catalog::{Catalog, StoredFunction, Table};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, col, lit};
use datafusion::physical_plan::ExecutionPlan;
use kql::Type;
use std::sync::Arc;

/// The column that says of a row when it came, where a request names no other.
pub const TIME_COLUMN: &str = "TimeGenerated";

/// A catalog whose tables have only the rows of a span, by a column of time. Tables without that column are as they are.
pub struct Within {
    pub inner: Arc<dyn Catalog>,
    pub column: String,
    /// The first and the last moment, in ticks.
    pub span: (i64, i64),
}

impl Catalog for Within {
    fn table(&self, database: &str, name: &str) -> Option<Table> {
        let table = self.inner.table(database, name)?;
        let has_time = table.columns.iter().any(|c| c.name == self.column && c.column_type == Type::DateTime);
        if !has_time {
            return Some(table);
        }
        let time = || col(datafusion::common::Column::from_name(&self.column));
        let (first, last) = self.span;
        let filters = vec![time().gt_eq(lit(first)), time().lt_eq(lit(last))];
        let provider = TableWithin { inner: table.provider, filters };
        Some(Table { columns: table.columns, provider: Arc::new(provider) })
    }

    fn functions(&self, database: &str) -> Vec<Arc<StoredFunction>> {
        self.inner.functions(database)
    }

    fn table_names(&self, database: &str) -> Vec<String> {
        self.inner.table_names(database)
    }

    fn database_names(&self) -> Vec<String> {
        self.inner.database_names()
    }

    fn has_database(&self, database: &str) -> bool {
        self.inner.has_database(database)
    }
}

/// A table behind filters. The table itself must apply all that it is given, as those of a workspace do.
#[derive(Debug)]
struct TableWithin {
    inner: Arc<dyn TableProvider>,
    filters: Vec<Expr>,
}

#[async_trait::async_trait]
impl TableProvider for TableWithin {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    // It has filters of its own, which a plan does not show.
    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.inner.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<Expr> = self.filters.iter().chain(filters).cloned().collect();
        let asked: Vec<&Expr> = all.iter().collect();
        let taken = self.inner.supports_filters_pushdown(&asked)?;
        if taken.iter().any(|taken| *taken != TableProviderFilterPushDown::Exact) {
            return datafusion::common::internal_err!("a table does not apply the span of a request");
        }
        self.inner.scan(state, projection, &all, limit).await
    }
}
