//! Graphs: rows as nodes and edges, and the search for patterns in them.
//!
//! A graph is made of two tables: nodes, each with a key, and edges, each with the keys of its two ends. Both are known
//! when a query is bound; what is done with them is computed when its rows are read.

mod components;
mod search;
mod shortest;

use crate::bind::SubqueryResult;
use crate::types::{Column, arrow_schema};
use components::components;
use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::PartitionStream;
use kql::Type;
use kql::tree::{GraphCycles, GraphDirection, ShortestPaths};
use std::collections::HashMap;
use std::sync::Arc;

/// The columns that searches know the numbers of a node's edges by.
pub const DEGREE_IN: &str = "$degree_in";
pub const DEGREE_OUT: &str = "$degree_out";

/// The tables of a graph. Their fields are named by place, as [`node_field`] and [`edge_field`] say. The last column of
/// the nodes is their key; the last two of the edges are the keys of source and target.
#[derive(Debug)]
pub struct Source {
    nodes: RecordBatch,
    edges: RecordBatch,
}

/// What the column of the nodes at a place is called.
pub fn node_field(place: usize) -> String {
    format!("n{place}")
}

/// What the column of the edges at a place is called.
pub fn edge_field(place: usize) -> String {
    format!("e{place}")
}

impl Source {
    pub fn new(nodes: &SubqueryResult, edges: &SubqueryResult) -> Result<Source> {
        Ok(Source { nodes: one_batch(nodes, node_field)?, edges: one_batch(edges, edge_field)? })
    }
}

fn one_batch(rows: &SubqueryResult, name: fn(usize) -> String) -> Result<RecordBatch> {
    let columns: Vec<Column> =
        rows.columns.iter().enumerate().map(|(i, c)| Column::new(name(i), c.column_type)).collect();
    let schema = arrow_schema(&columns);
    let renamed = rows.batches.iter().map(|b| RecordBatch::try_new(schema.clone(), b.columns().to_vec()));
    Ok(concat_batches(&schema, &renamed.collect::<std::result::Result<Vec<_>, _>>()?)?)
}

/// A pattern, and what is wanted of the places where it fits.
#[derive(Debug)]
pub struct Program {
    pub nodes: Vec<NodeVariable>,
    pub edges: Vec<EdgeVariable>,
    /// The nodes along each sequence of the pattern.
    pub sequences: Vec<Vec<usize>>,
    pub cycles: GraphCycles,
    /// Whether only the shortest matches are wanted, in which case there is one sequence of one edge.
    pub shortest: Option<ShortestPaths>,
    /// What a match must meet besides, in terms of the outputs. Only shortest matches have it here; for others it is a
    /// filter of its own.
    pub condition: Option<Expr>,
    pub outputs: Vec<Output>,
}

#[derive(Debug, Default)]
pub struct NodeVariable {
    /// What the node must meet, in terms of the nodes' fields.
    pub conditions: Vec<Expr>,
}

/// An edge, or a path of several.
#[derive(Debug)]
pub struct EdgeVariable {
    /// The nodes to its left and right in the pattern.
    pub left: usize,
    pub right: usize,
    pub direction: GraphDirection,
    /// The least and the greatest number of edges; `None` for a single edge.
    pub length: Option<(usize, usize)>,
    /// Which sequence it is of.
    pub sequence: usize,
    /// What each edge must meet, in terms of the edges' fields.
    pub conditions: Vec<Expr>,
    /// What each node between its ends must meet, in terms of the nodes' fields.
    pub inner_conditions: Vec<Expr>,
}

/// A column of the result.
#[derive(Debug, Clone)]
pub struct Output {
    pub field: String,
    pub data_type: DataType,
    pub of: Subject,
    /// In terms of the fields of the nodes or the edges.
    pub value: Expr,
    pub fold: Fold,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Node(usize),
    /// An edge, or the edges of a path.
    Edge(usize),
    /// The nodes between the ends of a path.
    Inner(usize),
}

/// What is made of the values along a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// The value itself, where there is one.
    One,
    /// An array; the values are JSON.
    List,
    /// Whether all are true.
    All,
    /// Whether any is true.
    Any,
}

/// The edges of each node.
#[derive(Debug)]
struct Adjacency {
    /// The edges of node `i` stand at `offsets[i]..offsets[i + 1]`.
    offsets: Vec<usize>,
    edges: Vec<u32>,
}

impl Adjacency {
    /// `ends[e]` is the node of edge `e`.
    fn new(nodes: usize, ends: &[u32], edges: &[u32]) -> Adjacency {
        let mut offsets = vec![0usize; nodes + 1];
        for edge in edges {
            offsets[ends[*edge as usize] as usize + 1] += 1;
        }
        for i in 0..nodes {
            offsets[i + 1] += offsets[i];
        }
        let mut next = offsets.clone();
        let mut sorted = vec![0u32; edges.len()];
        for edge in edges {
            let place = &mut next[ends[*edge as usize] as usize];
            sorted[*place] = *edge;
            *place += 1;
        }
        Adjacency { offsets, edges: sorted }
    }

    fn of(&self, node: u32) -> &[u32] {
        &self.edges[self.offsets[node as usize]..self.offsets[node as usize + 1]]
    }

    fn degrees(&self) -> ArrayRef {
        let degrees = self.offsets.windows(2).map(|pair| i64::try_from(pair[1] - pair[0]).unwrap_or(i64::MAX));
        Arc::new(degrees.collect::<Int64Array>())
    }
}

/// A graph that is ready to be walked. Nodes and edges are known by the numbers of their rows.
#[derive(Debug)]
struct Index {
    /// With the degrees behind the columns of the source.
    nodes: RecordBatch,
    edges: RecordBatch,
    /// The ends of each edge. An edge that lacks one is in neither adjacency.
    sources: Vec<u32>,
    targets: Vec<u32>,
    outgoing: Adjacency,
    incoming: Adjacency,
}

impl Index {
    fn new(source: &Source) -> Result<Index> {
        let too_many = |_| DataFusionError::Execution("a graph of more than 4,294,967,295 nodes or edges".to_owned());
        let node_count = source.nodes.num_rows();
        u32::try_from(node_count.max(source.edges.num_rows())).map_err(too_many)?;
        let keys = source.nodes.column(source.nodes.num_columns() - 1).as_string_view();
        let mut places: HashMap<&str, u32> = HashMap::with_capacity(node_count);
        for (place, key) in (0u32..).zip(keys.iter()) {
            places.entry(key.unwrap_or_default()).or_insert(place);
        }
        let width = source.edges.num_columns();
        let ends = |column: usize| -> Vec<Option<u32>> {
            let keys = source.edges.column(column).as_string_view();
            keys.iter().map(|key| places.get(key.unwrap_or_default()).copied()).collect()
        };
        let (sources, targets) = (ends(width - 2), ends(width - 1));
        let whole: Vec<u32> = (0u32..)
            .zip(sources.iter().zip(&targets))
            .filter(|(_, (source, target))| source.is_some() && target.is_some())
            .map(|(edge, _)| edge)
            .collect();
        let known = |ends: Vec<Option<u32>>| ends.into_iter().map(Option::unwrap_or_default).collect::<Vec<u32>>();
        let (sources, targets) = (known(sources), known(targets));
        let outgoing = Adjacency::new(node_count, &sources, &whole);
        let incoming = Adjacency::new(node_count, &targets, &whole);
        let mut fields: Vec<Arc<Field>> = source.nodes.schema().fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(DEGREE_IN, DataType::Int64, true)));
        fields.push(Arc::new(Field::new(DEGREE_OUT, DataType::Int64, true)));
        let mut columns = source.nodes.columns().to_vec();
        columns.push(incoming.degrees());
        columns.push(outgoing.degrees());
        let nodes = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        Ok(Index { nodes, edges: source.edges.clone(), sources, targets, outgoing, incoming })
    }

    fn node_count(&self) -> usize {
        self.nodes.num_rows()
    }

    /// The steps that lead from a node along a direction: each edge with the node that it leads to.
    fn steps(&self, node: u32, direction: GraphDirection) -> impl Iterator<Item = (u32, u32)> {
        let forward = if direction == GraphDirection::Backward { &[] } else { self.outgoing.of(node) };
        let backward = if direction == GraphDirection::Forward { &[] } else { self.incoming.of(node) };
        let forward = forward.iter().map(|edge| (*edge, self.targets[*edge as usize]));
        let backward = backward.iter().map(|edge| (*edge, self.sources[*edge as usize]));
        // An edge from a node to itself is one step, not two.
        let is_loop = move |edge: u32| self.sources[edge as usize] == self.targets[edge as usize];
        let both = direction == GraphDirection::Either;
        forward.chain(backward.filter(move |(edge, _)| !(both && is_loop(*edge))))
    }
}

/// The matches of a pattern, as rows of its outputs.
#[derive(Debug)]
struct Matches {
    source: Arc<Source>,
    program: Arc<Program>,
    schema: SchemaRef,
}

/// A table of the matches of a pattern.
pub fn matches(source: Source, program: Program) -> Result<Arc<dyn TableProvider>> {
    let fields: Vec<Field> =
        program.outputs.iter().map(|output| Field::new(&output.field, output.data_type.clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let table = Matches { source: Arc::new(source), program: Arc::new(program), schema: schema.clone() };
    Ok(Arc::new(StreamingTable::try_new(schema, vec![Arc::new(table)])?))
}

impl PartitionStream for Matches {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        const BATCHES_AHEAD: usize = 2;
        let mut stream = RecordBatchReceiverStreamBuilder::new(self.schema.clone(), BATCHES_AHEAD);
        let (sender, source, program, schema) =
            (stream.tx(), self.source.clone(), self.program.clone(), self.schema.clone());
        stream.spawn_blocking(move || {
            let index = Index::new(&source)?;
            let sink = search::Sink::new(&index, &program, schema, sender)?;
            match program.shortest {
                None => search::all_matches(&index, &program, sink),
                Some(which) => shortest::shortest_paths(&index, &program, which, sink),
            }
        });
        stream.build()
    }
}

/// The nodes with the number of the component that each is in.
#[derive(Debug)]
struct Components {
    source: Arc<Source>,
    is_strong: bool,
    schema: SchemaRef,
}

/// A table of the nodes of a graph, in their order, with a column for the number of their component behind the others.
/// Each component is numbered by its first node.
pub fn with_components(source: Source, column: &str, is_strong: bool) -> Result<Arc<dyn TableProvider>> {
    let mut fields: Vec<Arc<Field>> = source.nodes.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(column, crate::types::arrow_type(Type::Long), true)));
    let schema = Arc::new(Schema::new(fields));
    let table = Components { source: Arc::new(source), is_strong, schema: schema.clone() };
    Ok(Arc::new(StreamingTable::try_new(schema, vec![Arc::new(table)])?))
}

impl PartitionStream for Components {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStreamBuilder::new(self.schema.clone(), 1);
        let (sender, source, schema, is_strong) =
            (stream.tx(), self.source.clone(), self.schema.clone(), self.is_strong);
        stream.spawn_blocking(move || {
            let index = Index::new(&source)?;
            let numbers: Int64Array = components(&index, is_strong).into_iter().collect();
            let mut columns = source.nodes.columns().to_vec();
            columns.push(Arc::new(numbers));
            // Nobody reads what cannot be sent.
            let _ = sender.blocking_send(Ok(RecordBatch::try_new(schema, columns)?));
            Ok(())
        });
        stream.build()
    }
}
