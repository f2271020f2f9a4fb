//! A table as queries read it: its files and its hot rows, as one.

use crate::delta::{DataFile, TIME_COLUMN};
use crate::storage::{TICKS_COLUMN, from_stored, read_schema, stored_columns, ticks_places};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType, ident, lit};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PhysicalExpr, PlanProperties, ReplaceChildrenOptions, SendableRecordBatchStream,
};
use datafusion::scalar::ScalarValue;
use engine::Column;
use engine::types::arrow_schema;
use kql::Type;
use kql::datetime::to_unix_micros;
use std::fmt;
use std::sync::Arc;

/// The rows of a table at one moment.
#[derive(Debug)]
pub(crate) struct TableSnapshot {
    pub columns: Vec<Column>,
    pub files: Arc<Vec<DataFile>>,
    pub hot: Vec<RecordBatch>,
}

#[derive(Debug)]
pub(crate) struct WorkspaceTable {
    schema: SchemaRef,
    snapshot: TableSnapshot,
}

impl WorkspaceTable {
    pub fn new(snapshot: TableSnapshot) -> WorkspaceTable {
        WorkspaceTable { schema: arrow_schema(&snapshot.columns), snapshot }
    }

    fn scan_files(
        &self,
        state: &dyn Session,
        projection: &[usize],
        filters: &[Expr],
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (least, greatest) = time_bounds(filters);
        let live = |file: &&DataFile| file.times.is_none_or(|(from, to)| from <= greatest && to >= least);
        let files: Vec<&DataFile> = self.snapshot.files.iter().filter(live).collect();
        if files.is_empty() {
            return Ok(None);
        }
        let columns = &self.snapshot.columns;
        let stored = read_schema(columns);
        let ticks_index = columns.len();
        let mut indices = projection.to_vec();
        if projection.iter().any(|i| columns[*i].column_type == Type::DateTime) {
            indices.push(ticks_index);
        }
        let mut source =
            ParquetSource::new(stored.clone()).with_table_parquet_options(state.default_table_options().parquet);
        if let Some(predicate) = stored_predicate(columns, filters) {
            let schema = DFSchema::try_from(stored.as_ref().clone())?;
            source = source.with_predicate(state.create_physical_expr(predicate, &schema)?);
        }
        let partitions = state.config().target_partitions().max(1);
        let mut groups: Vec<Vec<PartitionedFile>> = vec![Vec::new(); partitions.min(files.len())];
        for (i, file) in files.iter().enumerate() {
            let path = object_store::path::Path::from_absolute_path(&file.path)?;
            let n = groups.len();
            groups[i % n].push(PartitionedFile::new_from_meta(object_store::ObjectMeta {
                location: path,
                last_modified: chrono::DateTime::UNIX_EPOCH,
                size: file.size_bytes,
                e_tag: None,
                version: None,
            }));
        }
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
            .with_file_groups(groups.into_iter().map(FileGroup::new).collect())
            .with_projection_indices(Some(indices))?
            .build();
        let all_places = ticks_places(columns);
        let all_stored = stored_columns(columns);
        let wanted: Vec<Column> = projection.iter().map(|i| columns[*i].clone()).collect();
        let converted = StoredExec::new(
            DataSourceExec::from_data_source(config),
            projection.iter().map(|i| all_stored[*i].clone()).collect(),
            projection.iter().map(|i| all_places[*i]).collect(),
            arrow_schema(&wanted),
        );
        Ok(Some(Arc::new(converted)))
    }
}

#[async_trait::async_trait]
impl TableProvider for WorkspaceTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let projection = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let files = self.scan_files(state, &projection, filters)?;
        let hot = &self.snapshot.hot;
        if let Some(files) = &files
            && hot.is_empty()
        {
            return Ok(files.clone());
        }
        let memory =
            MemorySourceConfig::try_new_exec(std::slice::from_ref(hot), self.schema.clone(), Some(projection))?;
        match files {
            Some(files) => UnionExec::try_new(vec![files, memory]),
            None => Ok(memory),
        }
    }
}

/// The span of time that the filters leave, in ticks.
fn time_bounds(filters: &[Expr]) -> (i64, i64) {
    let (mut least, mut greatest) = (i64::MIN, i64::MAX);
    for filter in filters {
        for (operator, ticks) in conjuncts(filter).into_iter().filter_map(time_comparison) {
            match operator {
                Operator::Gt | Operator::GtEq => least = least.max(ticks),
                Operator::Lt | Operator::LtEq => greatest = greatest.min(ticks),
                Operator::Eq => (least, greatest) = (least.max(ticks), greatest.min(ticks)),
                _ => {}
            }
        }
    }
    (least, greatest)
}

fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            let mut all = conjuncts(left);
            all.extend(conjuncts(right));
            all
        }
        other => vec![other],
    }
}

/// `column op literal`, whichever way round it stands.
fn comparison(expr: &Expr) -> Option<(&str, Operator, &ScalarValue)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return None };
    match (left.as_ref(), right.as_ref()) {
        (Expr::Column(c), Expr::Literal(value, _)) => Some((&c.name, *op, value)),
        (Expr::Literal(value, _), Expr::Column(c)) => Some((&c.name, op.swap()?, value)),
        _ => None,
    }
}

fn time_comparison(expr: &Expr) -> Option<(Operator, i64)> {
    match comparison(expr)? {
        (TIME_COLUMN, operator, ScalarValue::Int64(Some(ticks))) => Some((operator, *ticks)),
        _ => None,
    }
}

/// What of the filters can be asked of stored values: a condition that holds for every row that they let pass.
fn stored_predicate(columns: &[Column], filters: &[Expr]) -> Option<Expr> {
    let stored_names = stored_columns(columns);
    let mut parts = Vec::new();
    for expr in filters.iter().flat_map(conjuncts) {
        let Some((name, operator, value)) = comparison(expr) else { continue };
        let Some(at) = columns.iter().position(|c| c.name == name) else { continue };
        let column = &columns[at];
        let stored = match (column.column_type, value) {
            (Type::DateTime, ScalarValue::Int64(Some(ticks))) => {
                let micros = ScalarValue::TimestampMicrosecond(Some(to_unix_micros(*ticks)), Some("UTC".into()));
                // Rounding down makes strict comparisons of µs too narrow.
                let operator = match operator {
                    Operator::Gt | Operator::GtEq => Operator::GtEq,
                    Operator::Lt | Operator::LtEq => Operator::LtEq,
                    Operator::Eq => Operator::Eq,
                    _ => continue,
                };
                (operator, micros)
            }
            (Type::String, ScalarValue::Utf8View(Some(text))) if operator == Operator::Eq && !text.is_empty() => {
                (operator, value.clone())
            }
            (Type::Long | Type::Int | Type::Bool, _)
                if matches!(operator, Operator::Eq | Operator::Gt | Operator::GtEq | Operator::Lt | Operator::LtEq) =>
            {
                (operator, value.clone())
            }
            _ => continue,
        };
        parts.push(datafusion::logical_expr::binary_expr(ident(&stored_names[at].name), stored.0, lit(stored.1)));
    }
    parts.into_iter().reduce(Expr::and)
}

/// Turns stored rows into the engine's types, batch by batch.
#[derive(Debug)]
struct StoredExec {
    input: Arc<dyn ExecutionPlan>,
    /// The wanted columns, by their stored names.
    columns: Vec<Column>,
    places: Vec<usize>,
    /// The wanted columns, by their own names.
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl StoredExec {
    fn new(input: Arc<dyn ExecutionPlan>, columns: Vec<Column>, places: Vec<usize>, schema: SchemaRef) -> StoredExec {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            input.pipeline_behavior(),
            input.boundedness(),
        ));
        StoredExec { input, columns, places, schema, properties }
    }
}

impl DisplayAs for StoredExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
        write!(f, "StoredExec: columns=[{}], {TICKS_COLUMN} folded in", names.join(", "))
    }
}

impl ExecutionPlan for StoredExec {
    fn name(&self) -> &str {
        "StoredExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| DataFusionError::Internal("StoredExec needs an input".to_owned()))?;
        Ok(Arc::new(StoredExec::new(input, self.columns.clone(), self.places.clone(), self.schema.clone())))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        use futures::StreamExt;
        let input = self.input.execute(partition, context)?;
        let (columns, places, schema) = (self.columns.clone(), self.places.clone(), self.schema.clone());
        let converted = input.map(move |batch| {
            from_stored(&columns, &places, &schema, &batch?).map_err(|e| DataFusionError::External(Box::new(e)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), converted)))
    }
}
