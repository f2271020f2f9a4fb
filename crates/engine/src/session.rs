//! Running queries: parse, bind, plan, execute.

use crate::bind::{Binder, Bound, Stop, SubqueryResult, Surroundings, Visualization};
use crate::catalog::Catalog;
use crate::external::ExternalReader;
use crate::memory::{QueryMemory, SharedMemory};
use crate::rules::Shape;
use crate::types::Column;
use datafusion::arrow::array::RecordBatch;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable, execute_stream};
use datafusion::prelude::SessionConfig;
use futures::TryStreamExt;
use kql::Diagnostic;
use std::collections::HashMap;
use std::sync::Arc;

/// A query may depend on at most this many others (`toscalar`, `in (T | …)`).
const SUBQUERIES_MAX: usize = 100;

/// Why a query gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The query is wrong or not supported; at least one finding.
    #[error("{}", first_message(.0))]
    Query(Vec<Diagnostic>),
    /// The query is right but running it failed: out of memory, a bad regular expression in a column, a damaged
    /// file.
    #[error("failed to run the query: {0}")]
    Run(String),
}

fn first_message(diagnostics: &[Diagnostic]) -> String {
    diagnostics.first().map_or_else(|| "the query is wrong".to_owned(), |d| d.message.clone())
}

impl From<datafusion::common::DataFusionError> for Error {
    fn from(error: datafusion::common::DataFusionError) -> Error {
        Error::Run(error.strip_backtrace())
    }
}

/// What queries may use of the machine.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Memory of all running queries together; what needs more spills to disk or fails.
    pub memory_bytes: usize,
    /// Memory of one query.
    pub query_memory_bytes: usize,
    /// Threads that one query spreads over.
    pub parallelism: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let parallelism = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Limits { memory_bytes: 2 << 30, query_memory_bytes: 1 << 30, parallelism }
    }
}

/// A place to run queries in. Cheap to clone; clones share the memory bound.
#[derive(Clone)]
pub struct Session {
    runtime: Arc<RuntimeEnv>,
    memory: Arc<SharedMemory>,
    limits: Limits,
}

/// What a request says beside the query.
#[derive(Clone, Default)]
pub struct QueryOptions {
    /// What `now()` means, in ticks; the time of the call where none is given.
    pub now_ticks: Option<i64>,
    /// The values of `declare query_parameters(...)`, by name: literals of KQL, or texts.
    pub parameters: HashMap<String, String>,
    pub caller: Caller,
    /// What reads `externaldata`; without it, such queries are refused.
    pub external: Option<Arc<dyn ExternalReader>>,
}

/// Who asks, and where.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// The name that `current_principal()` gives, such as `aaduser=...`.
    pub principal: String,
    /// The address of the service as the caller knows it.
    pub endpoint: String,
}

/// The rows of one statement, as they come.
pub struct Rows {
    /// What the query calls this result, where it names it.
    pub name: Option<String>,
    pub columns: Vec<Column>,
    pub visualization: Option<Visualization>,
    /// Batches in the engine's Arrow types, fields in the order of `columns`.
    pub stream: SendableRecordBatchStream,
}

/// The rows of one statement, all of them.
#[derive(Debug, Clone)]
pub struct Answer {
    pub name: Option<String>,
    pub columns: Vec<Column>,
    pub visualization: Option<Visualization>,
    pub batches: Vec<RecordBatch>,
}

/// A query that is planned and can be run again and again.
pub struct Prepared {
    pub columns: Vec<Column>,
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
}

impl Prepared {
    pub async fn run(&self) -> Result<Vec<RecordBatch>, Error> {
        let fresh = reset_plan_states(self.plan.clone())?;
        Ok(collect(fresh, self.context.clone()).await?)
    }
}

impl Rows {
    /// The next rows; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        Ok(self.stream.try_next().await?)
    }

    pub async fn collect(self) -> Result<Answer, Error> {
        let batches = self.stream.try_collect().await?;
        Ok(Answer { name: self.name, columns: self.columns, visualization: self.visualization, batches })
    }
}

impl Answer {
    pub fn row_count(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

impl Session {
    pub fn new(limits: Limits) -> Result<Session, Error> {
        let spill = DiskManagerBuilder::default().with_mode(DiskManagerMode::OsTmpDirectory);
        let runtime = RuntimeEnvBuilder::new().with_disk_manager_builder(spill).build_arc()?;
        Ok(Session { runtime, memory: SharedMemory::new(limits.memory_bytes), limits })
    }

    /// Where one query runs, with all that it depends on: memory of its own, the rest shared.
    fn query_runtime(&self) -> Arc<RuntimeEnv> {
        let memory = QueryMemory::new(self.memory.clone(), self.limits.query_memory_bytes);
        Arc::new(RuntimeEnv { memory_pool: Arc::new(memory), ..self.runtime.as_ref().clone() })
    }

    /// What a plan is made physical with.
    fn state(&self, plan: &LogicalPlan, parallelism: usize, runtime: Arc<RuntimeEnv>) -> SessionState {
        let shape = Shape::of(plan);
        let parallelism = shape.parallelism(parallelism);
        let rules = shape.rules().clone();
        let mut config = SessionConfig::new()
            .with_target_partitions(parallelism)
            // Names are resolved by the binder; a catalog of DataFusion's would be made for nothing.
            .with_create_default_catalog_and_schema(false);
        config.options_mut().execution.parquet.pushdown_filters = true;
        // It takes the fields of a struct for columns of a table, and gives two columns one name.
        config.options_mut().optimizer.enable_leaf_expression_pushdown = false;
        // Nobody asks for what a least or greatest value leaves out.
        config.options_mut().optimizer.enable_aggregate_dynamic_filter_pushdown = false;
        SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_optimizer_rules(rules.logical)
            .with_physical_optimizer_rules(rules.physical)
            .build()
    }

    /// Runs all statements of `text` against `database`; one result for each that returns rows, in order.
    pub async fn query(&self, catalog: &dyn Catalog, database: &str, text: &str) -> Result<Vec<Rows>, Error> {
        self.query_with(catalog, database, text, &QueryOptions::default()).await
    }

    /// As [`Session::query`], with what the request says beside the query.
    pub async fn query_with(
        &self,
        catalog: &dyn Catalog,
        database: &str,
        text: &str,
        options: &QueryOptions,
    ) -> Result<Vec<Rows>, Error> {
        let runtime = self.query_runtime();
        let bound = self.bind(catalog, database, text, options, &runtime).await?;
        let mut results = Vec::with_capacity(bound.len());
        for statement in bound {
            results.push(self.run(statement, runtime.clone()).await?);
        }
        Ok(results)
    }

    /// The statements of `text`, ready to run. What their meaning depends on is run.
    async fn bind(
        &self,
        catalog: &dyn Catalog,
        database: &str,
        text: &str,
        options: &QueryOptions,
        runtime: &Arc<RuntimeEnv>,
    ) -> Result<Vec<Bound>, Error> {
        let now_ticks = options.now_ticks.unwrap_or_else(kql::datetime::now);
        let parsed = kql::parse(text);
        if !parsed.diagnostics.is_empty() {
            return Err(Error::Query(parsed.diagnostics));
        }
        let functions = catalog.functions(database);
        let surroundings = Surroundings {
            catalog,
            functions: &functions,
            database,
            now_ticks,
            parameters: &options.parameters,
            caller: &options.caller,
        };
        let mut known: Vec<SubqueryResult> = Vec::new();
        loop {
            // The binder borrows from this scope only, so nothing of it lives across the await below.
            let outcome = Binder::new(surroundings, &known).script(&parsed.script);
            match outcome {
                Ok(bound) => return Ok(bound),
                Err(Stop::Wrong(found)) => return Err(Error::Query(found)),
                Err(Stop::Needs(_) | Stop::Fetch { .. }) if known.len() >= SUBQUERIES_MAX => {
                    return Err(Error::Run(format!("the query depends on more than {SUBQUERIES_MAX} others")));
                }
                Err(Stop::Needs(subquery)) => {
                    let answer = self.run(*subquery, runtime.clone()).await?.collect().await?;
                    known.push(SubqueryResult { columns: answer.columns, batches: answer.batches });
                }
                Err(Stop::Fetch { wanted, span }) => {
                    let Some(reader) = &options.external else {
                        let diagnostic = Diagnostic::unsupported(span, "externaldata");
                        let hint = "This server reads nothing from elsewhere; its owner can allow hosts.";
                        return Err(Error::Query(vec![diagnostic.with_hint(hint)]));
                    };
                    let columns = wanted.columns.clone();
                    let batches = reader.read(*wanted).await.map_err(Error::Run)?;
                    known.push(SubqueryResult { columns, batches });
                }
            }
        }
    }

    /// The columns that the statements of `text` would give; nothing is run but what `toscalar` needs.
    pub async fn columns(&self, catalog: &dyn Catalog, database: &str, text: &str) -> Result<Vec<Vec<Column>>, Error> {
        let rows = self.query(catalog, database, text).await?;
        Ok(rows.into_iter().map(|r| r.columns).collect())
    }

    /// The plans of the statements of `text` as text, for people who look into what takes long.
    pub async fn explain(&self, catalog: &dyn Catalog, database: &str, text: &str) -> Result<String, Error> {
        let runtime = self.query_runtime();
        let bound = self.bind(catalog, database, text, &QueryOptions::default(), &runtime).await?;
        let mut plans = Vec::with_capacity(bound.len());
        for statement in bound {
            let physical = self
                .state(&statement.plan, self.limits.parallelism, runtime.clone())
                .create_physical_plan(&statement.plan)
                .await?;
            plans.push(displayable(physical.as_ref()).indent(true).to_string());
        }
        Ok(plans.join("\n"))
    }

    /// Plans a query of one statement, to be run many times over tables whose rows change ([`crate::slot`]). What
    /// `now()` and `toscalar(...)` mean is fixed here.
    pub async fn prepare(&self, catalog: &dyn Catalog, database: &str, text: &str) -> Result<Prepared, Error> {
        let parsed = kql::parse(text);
        if !parsed.diagnostics.is_empty() {
            return Err(Error::Query(parsed.diagnostics));
        }
        let (no_parameters, nobody) = (HashMap::new(), Caller::default());
        let functions = catalog.functions(database);
        let now_ticks = kql::datetime::now();
        let surroundings = Surroundings {
            catalog,
            functions: &functions,
            database,
            now_ticks,
            parameters: &no_parameters,
            caller: &nobody,
        };
        let outcome = Binder::new(surroundings, &[]).script(&parsed.script);
        let mut bound = match outcome {
            Ok(bound) => bound,
            Err(Stop::Wrong(found)) => return Err(Error::Query(found)),
            Err(Stop::Needs(_) | Stop::Fetch { .. }) => {
                return Err(Error::Run("a prepared query cannot depend on the result of another".to_owned()));
            }
        };
        let (Some(statement), true) = (bound.pop(), bound.is_empty()) else {
            return Err(Error::Run("a prepared query must have one statement".to_owned()));
        };
        let state = self.state(&statement.plan, 1, self.query_runtime());
        let plan = state.create_physical_plan(&statement.plan).await?;
        Ok(Prepared { columns: statement.columns, plan, context: state.task_ctx() })
    }

    async fn run(&self, bound: Bound, runtime: Arc<RuntimeEnv>) -> Result<Rows, Error> {
        let parallelism = if bound.needs_single_stream { 1 } else { self.limits.parallelism };
        let state = self.state(&bound.plan, parallelism, runtime);
        let physical = state.create_physical_plan(&bound.plan).await?;
        let stream = execute_stream(physical, state.task_ctx())?;
        Ok(Rows { name: bound.name, columns: bound.columns, visualization: bound.visualization, stream })
    }
}
