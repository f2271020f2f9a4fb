//! A query over several workspaces: each table has the rows of the tables of that name in all of them.
//!
//! A column that one of them lacks is null there, or empty for texts.

use crate::catalog::{Catalog, StoredFunction, Table};
use crate::types::Column;
use datafusion::arrow::array::StringViewArray;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::datasource::TableType;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::expressions::{Column as PhysicalColumn, Literal};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use std::sync::Arc;

/// A catalog in which the tables of the first database are those of all.
pub struct Together {
    pub inner: Arc<dyn Catalog>,
    /// The one that is asked, then the others.
    pub databases: Vec<String>,
}

impl Catalog for Together {
    fn table(&self, database: &str, name: &str) -> Option<Table> {
        if self.databases.first().is_none_or(|first| first != database) {
            return self.inner.table(database, name);
        }
        let mut found: Vec<Table> = self.databases.iter().filter_map(|of| self.inner.table(of, name)).collect();
        match found.len() {
            0 | 1 => found.pop(),
            _ => Some(together(found)),
        }
    }

    fn functions(&self, database: &str) -> Vec<Arc<StoredFunction>> {
        self.inner.functions(database)
    }

    fn table_names(&self, database: &str) -> Vec<String> {
        if self.databases.first().is_none_or(|first| first != database) {
            return self.inner.table_names(database);
        }
        let mut names: Vec<String> = self.databases.iter().flat_map(|of| self.inner.table_names(of)).collect();
        names.sort();
        names.dedup();
        names
    }

    fn database_names(&self) -> Vec<String> {
        self.inner.database_names()
    }

    fn has_database(&self, database: &str) -> bool {
        self.inner.has_database(database)
    }
}

fn together(members: Vec<Table>) -> Table {
    let mut columns: Vec<Column> = Vec::new();
    let mut fields: Vec<Field> = Vec::new();
    let mut conflict = None;
    for member in &members {
        for (column, field) in member.columns.iter().zip(member.provider.schema().fields()) {
            match columns.iter().find(|known| known.name == column.name) {
                None => {
                    columns.push(column.clone());
                    fields.push(field.as_ref().clone().with_nullable(true));
                }
                Some(known) if known.column_type != column.column_type => conflict = Some(column.name.clone()),
                Some(_) => {}
            }
        }
    }
    let providers = members.into_iter().map(|member| member.provider).collect();
    let provider = TableOfMany { schema: Arc::new(Schema::new(fields)), members: providers, conflict };
    Table { columns, provider: Arc::new(provider) }
}

#[derive(Debug)]
struct TableOfMany {
    schema: SchemaRef,
    members: Vec<Arc<dyn TableProvider>>,
    /// A column that has different types in the members.
    conflict: Option<String>,
}

#[async_trait::async_trait]
impl TableProvider for TableOfMany {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // Members that can, read less; all rows are looked at again.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(column) = &self.conflict {
            return plan_err!("the column '{column}' has different types in the workspaces that are asked together");
        }
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let mut plans: Vec<Arc<dyn ExecutionPlan>> = Vec::with_capacity(self.members.len());
        for member in &self.members {
            let own = member.schema();
            let has_all = |filter: &&Expr| filter.column_refs().iter().all(|c| own.column_with_name(&c.name).is_some());
            let filters: Vec<Expr> = filters.iter().filter(has_all).cloned().collect();
            let taken = member.supports_filters_pushdown(&filters.iter().collect::<Vec<_>>())?;
            let is_taken = |taken: &TableProviderFilterPushDown| *taken != TableProviderFilterPushDown::Unsupported;
            let filters: Vec<Expr> = filters
                .into_iter()
                .zip(&taken)
                .filter(|(_, taken)| is_taken(taken))
                .map(|(filter, _)| filter)
                .collect();
            let names: Vec<&Field> = wanted.iter().map(|at| self.schema.field(*at)).collect();
            let places: Vec<usize> = names.iter().filter_map(|field| own.index_of(field.name()).ok()).collect();
            let plan = member.scan(state, Some(&places), &filters, limit).await?;
            let read = plan.schema();
            let expressions = names.iter().map(|field| {
                let expression: Arc<dyn PhysicalExpr> = match read.index_of(field.name()) {
                    Ok(at) => Arc::new(PhysicalColumn::new(field.name(), at)),
                    Err(_) => Arc::new(Literal::new(absent(field.data_type())?)),
                };
                Ok((expression, field.name().clone()))
            });
            plans.push(Arc::new(ProjectionExec::try_new(expressions.collect::<Result<Vec<_>>>()?, plan)?));
        }
        UnionExec::try_new(plans)
    }
}

/// The value of a column that is not there. Texts are never null.
fn absent(data_type: &DataType) -> Result<ScalarValue> {
    match data_type {
        DataType::Utf8View => ScalarValue::try_from_array(&StringViewArray::from_iter_values([""]), 0),
        other => ScalarValue::try_from(other),
    }
}
