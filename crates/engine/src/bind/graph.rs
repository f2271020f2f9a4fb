//! Graphs: rows as nodes and edges, patterns in them, and the way back to rows.
//!
//! A graph is two relations whose last columns are hidden: the keys that edges and nodes find each other by.

use super::expression::text;
use super::join::one_row_per_key;
use super::relation::{Column, Relation, column, fresh_field, null};
use super::{Binder, Meaning, Names, Result, Scope, Typed, internal};
use crate::aggregates::{self, Kind, field_name};
use crate::functions::{codec, string};
use crate::graph::{Source, edge_field, node_field, with_components};
use datafusion::catalog::TableProvider;
use datafusion::common::{JoinType, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::functions::expr_fn::get_field;
use datafusion::logical_expr::{LogicalPlanBuilder, ident};
use kql::tree::{
    Argument, Expr, ExprKind, GraphComponents, GraphNodes, GraphTable, MakeGraph, Name, Operator, OperatorKind,
    Pipeline, Source as PipelineSource, Statement,
};
use kql::{Diagnostic, Span, Type};
use std::sync::Arc;

/// Columns that no query can name: the text that nodes are known by, their name as it was given, the texts of an
/// edge's ends, and the value that partitions the graph.
pub(super) const KEY: &str = "$key";
pub(super) const ID: &str = "$id";
const SOURCE_KEY: &str = "$source";
const TARGET_KEY: &str = "$target";
pub(super) const PARTITION: &str = "$partition";

/// The column of `graph-mark-components`, where the query gives it no name.
const COMPONENT: &str = "ComponentId";

/// A graph in the making.
#[derive(Clone)]
pub(crate) struct Graph {
    /// The nodes' columns; then [`ID`], [`PARTITION`] where it is partitioned, and [`KEY`].
    nodes: Relation,
    /// The edges' columns; then [`PARTITION`] where it is partitioned, [`SOURCE_KEY`] and [`TARGET_KEY`].
    edges: Relation,
    pub(super) is_partitioned: bool,
}

/// What a pipeline passes on.
pub(crate) enum Stage {
    Rows(Relation),
    Graph(Graph),
}

impl Stage {
    pub fn rows(self, span: Span) -> Result<Relation> {
        match self {
            Stage::Rows(relation) => Ok(relation),
            Stage::Graph(_) => Err(no_rows(span)),
        }
    }
}

fn no_rows(span: Span) -> super::Stop {
    let diagnostic = Diagnostic::semantic(span, "a graph has no rows");
    diagnostic.with_hint("End it with graph-match, graph-shortest-paths or graph-to-table.").into()
}

/// A graph whose rows are known, and their columns by the fields that the search knows.
pub(super) struct Known {
    pub source: Source,
    pub nodes: Vec<Column>,
    pub edges: Vec<Column>,
}

impl<'q> Binder<'q> {
    /// Whether a pipeline gives a graph.
    pub(super) fn makes_graph(&self, pipeline: &Pipeline, names: &Names<'q>) -> bool {
        let called = match &pipeline.source {
            PipelineSource::Expression(Expr { kind: ExprKind::Name(name), .. }) => Some(name.as_str()),
            PipelineSource::Expression(Expr { kind: ExprKind::Call { function, .. }, .. }) => {
                Some(function.text.as_str())
            }
            _ => None,
        };
        let mut is_graph = match called.and_then(|name| names.find(name)) {
            Some(Meaning::Graph(_)) => true,
            Some(Meaning::Function { function, scope }) => match function.body.statements.last() {
                Some(Statement::Query(last)) => self.makes_graph(last, scope),
                _ => false,
            },
            _ => false,
        };
        for operator in &pipeline.operators {
            match &operator.kind {
                OperatorKind::MakeGraph(made) => is_graph = made.partition.is_none(),
                OperatorKind::GraphMatch(_) | OperatorKind::GraphToTable(_) => is_graph = false,
                _ => {}
            }
        }
        is_graph
    }

    /// What a pipeline gives.
    pub(super) fn stage(&mut self, pipeline: &'q Pipeline, names: &Names<'q>) -> Result<Stage> {
        let source = self.source_stage(pipeline, names)?;
        self.stages(source, &pipeline.operators, names)
    }

    /// What the source of a pipeline gives.
    pub(super) fn source_stage(&mut self, pipeline: &'q Pipeline, names: &Names<'q>) -> Result<Stage> {
        if let PipelineSource::Expression(expr) = &pipeline.source {
            let (name, arguments): (_, &'q [Argument]) = match &expr.kind {
                ExprKind::Name(name) => (Some(name.as_str()), &[]),
                ExprKind::Call { function, arguments } => (Some(function.text.as_str()), arguments),
                _ => (None, &[]),
            };
            match name.and_then(|name| names.find(name)).cloned() {
                Some(Meaning::Graph(graph)) => return Ok(Stage::Graph(*graph)),
                Some(Meaning::Function { function, scope: defined_in }) => {
                    if let Some(Statement::Query(last)) = function.body.statements.last()
                        && self.makes_graph(last, &defined_in)
                    {
                        let scope = Scope { names: names.clone(), columns: &[] };
                        let inner = self.bind_parameters(None, function, &defined_in, arguments, &scope, expr.span)?;
                        return self.inside(function, expr.span, |b| {
                            let (inner, last) = b.body(&function.body, inner, expr.span)?;
                            b.nested(expr.span, |b| b.stage(last, &inner))
                        });
                    }
                }
                _ => {}
            }
        }
        self.pipeline_source(pipeline, names).map(Stage::Rows)
    }

    /// Passes a graph through one of its operators.
    pub(super) fn graph_operator(&mut self, graph: Graph, operator: &'q Operator, names: &Names<'q>) -> Result<Stage> {
        let span = operator.span;
        match &operator.kind {
            OperatorKind::GraphMatch(wanted) => self.graph_match(graph, wanted, span, names).map(Stage::Rows),
            OperatorKind::GraphWhereNodes(condition) => {
                let columns = graph.nodes.columns.clone();
                let scope = Scope { names: names.clone(), columns: &columns };
                let condition = self.condition(condition, "the condition of 'graph-where-nodes'", &scope)?;
                let nodes = graph.nodes.filter(condition, span)?;
                // An edge stays where both of its ends do.
                let mut edges = graph.edges;
                for end in [SOURCE_KEY, TARGET_KEY] {
                    edges = self.join_by(edges, end, nodes.clone(), JoinType::LeftSemi, span)?;
                }
                Ok(Stage::Graph(Graph { nodes, edges, ..graph }))
            }
            OperatorKind::GraphWhereEdges(condition) => {
                let columns = graph.edges.columns.clone();
                let scope = Scope { names: names.clone(), columns: &columns };
                let condition = self.condition(condition, "the condition of 'graph-where-edges'", &scope)?;
                Ok(Stage::Graph(Graph { edges: graph.edges.filter(condition, span)?, ..graph }))
            }
            OperatorKind::GraphMarkComponents(marked) => self.mark_components(graph, marked, span).map(Stage::Graph),
            OperatorKind::GraphToTable(tables) => match tables.as_slice() {
                [table] => self.graph_table(graph, table, span).map(Stage::Rows),
                _ => {
                    let diagnostic = Diagnostic::semantic(span, "this gives two tables");
                    Err(diagnostic.with_hint("Name both with 'as', at the end of a statement.").into())
                }
            },
            _ => Err(no_rows(span)),
        }
    }

    /// The tables of a statement that ends in `graph-to-table` of several, by their names; `None` for any other.
    pub(super) fn named_graph_tables(
        &mut self,
        pipeline: &'q Pipeline,
        names: &Names<'q>,
    ) -> Result<Option<Names<'q>>> {
        let Some((last, before)) = pipeline.operators.split_last() else { return Ok(None) };
        let OperatorKind::GraphToTable(tables) = &last.kind else { return Ok(None) };
        if tables.len() < 2 {
            return Ok(None);
        }
        let source = self.source_stage(pipeline, names)?;
        let Stage::Graph(graph) = self.stages(source, before, names)? else {
            return Err(needs_graph(last.span));
        };
        let mut names = names.clone();
        for table in tables {
            let Some(name) = table.name() else {
                let diagnostic = Diagnostic::semantic(last.span, "each of several tables needs a name");
                return Err(diagnostic.with_hint("Write: nodes as N, edges as E.").into());
            };
            let rows = self.graph_table(graph.clone(), table, last.span)?;
            names = names.with(&name.text, Meaning::Table(rows));
        }
        Ok(Some(names))
    }

    pub(super) fn make_graph(
        &mut self,
        input: Relation,
        made: &'q MakeGraph,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Stage> {
        if !input.group.is_empty() {
            let diagnostic = Diagnostic::unsupported(span, "make-graph within mv-apply or partition");
            return Err(diagnostic.with_hint("make-graph ... partitioned-by makes a graph of each value.").into());
        }
        let edges = input.plain(span)?;
        let (source, target) = (edges.require(&made.source)?.clone(), edges.require(&made.target)?.clone());
        let id_type = if source.column_type == target.column_type { source.column_type } else { Type::String };
        let partition = match &made.partition {
            Some(partition) => Some((&partition.by, column(edges.require(&partition.by)?))),
            None => None,
        };
        let mut outputs = edges.outputs();
        if let Some((by, value)) = &partition {
            outputs.push((PARTITION.to_owned(), self.convert(value.clone(), Type::String, by.span)?));
        }
        let partition_of = |relation: &Relation| relation.find(PARTITION).map(column);
        let keyed = edges.project(outputs, span)?;
        let own = partition_of(&keyed);
        let mut outputs = keyed.outputs();
        outputs.push((SOURCE_KEY.to_owned(), self.node_key(column(&source), own.clone(), span)?));
        outputs.push((TARGET_KEY.to_owned(), self.node_key(column(&target), own, span)?));
        let edges = keyed.project(outputs, span)?;

        // The nodes that the edges name.
        let mut ends: Vec<(String, Relation)> = Vec::new();
        for (end, key) in [(&source, SOURCE_KEY), (&target, TARGET_KEY)] {
            let mut outputs = vec![(ID.to_owned(), self.convert(column(end), id_type, span)?)];
            outputs.extend(partition_of(&edges).map(|value| (PARTITION.to_owned(), value)));
            outputs.extend(edges.find(key).map(|c| (KEY.to_owned(), column(c))));
            ends.push((String::new(), edges.clone().project(outputs, span)?));
        }
        let ends = self.unite(ends, None, true, span)?;
        let ends = one_per_key(ends, span)?;
        let nodes = match &made.nodes {
            GraphNodes::Implied => ends,
            GraphNodes::Named(name) => {
                let id = ends.find(ID).map(|c| (name.text.clone(), column(c)));
                let outputs = id.into_iter().chain(ends.outputs()).collect();
                ends.project(outputs, span)?
            }
            GraphNodes::Tables(tables) => {
                let mut legs: Vec<(String, Relation)> = Vec::new();
                for (table, id) in tables {
                    let rows = self.pipeline(table, names)?.plain(span)?;
                    let value = column(rows.require(id)?);
                    let mut outputs = rows.outputs();
                    let mut own = None;
                    if let Some((by, _)) = &partition {
                        let value = column(rows.require(by)?);
                        own = Some(self.convert(value, Type::String, by.span)?);
                    }
                    outputs.push((ID.to_owned(), self.convert(value.clone(), id_type, id.span)?));
                    outputs.extend(own.clone().map(|value| (PARTITION.to_owned(), value)));
                    outputs.push((KEY.to_owned(), self.node_key(value, own, id.span)?));
                    legs.push((String::new(), rows.project(outputs, span)?));
                }
                let united = hidden_last(self.unite(legs, None, true, span)?, span)?;
                let known = match tables.as_slice() {
                    [_] => one_per_key(united, span)?,
                    _ => merged_per_key(united, span)?,
                };
                // A node that only edges name has its name and nothing else.
                let missing = self.join_by(ends, KEY, known.clone(), JoinType::LeftAnti, span)?;
                let mut outputs: Vec<(String, Typed)> = Vec::new();
                for c in &known.columns {
                    let is_id = tables.iter().any(|(_, id)| id.text == c.name);
                    let is_partition = partition.as_ref().is_some_and(|(by, _)| by.text == c.name);
                    let from = match c.name.as_str() {
                        ID | KEY | PARTITION => missing.find(&c.name),
                        _ if is_partition => missing.find(PARTITION),
                        _ if is_id => missing.find(ID),
                        _ => None,
                    };
                    let value = match from {
                        Some(from) => self.convert(column(from), c.column_type, span)?,
                        None => null(c.column_type),
                    };
                    outputs.push((c.name.clone(), value));
                }
                let missing = missing.project(outputs, span)?;
                self.unite(vec![(String::new(), known), (String::new(), missing)], None, true, span)?
            }
        };
        let graph = Graph { nodes, edges, is_partitioned: partition.is_some() };
        let Some(partition) = &made.partition else { return Ok(Stage::Graph(graph)) };
        let rows = self.stages(Stage::Graph(graph), &partition.body, names)?.rows(span)?;
        let flat = Relation { order: Vec::new(), is_serialized: false, row: None, group: Vec::new(), ..rows };
        Ok(Stage::Rows(flat.trimmed(span)?))
    }

    /// The text that a node is known by: its name, within its partition.
    fn node_key(&mut self, id: Typed, partition: Option<Typed>, span: Span) -> Result<Typed> {
        const SEPARATOR: &str = "\u{0}";
        let id = self.convert(id, Type::String, span)?;
        let Some(partition) = partition else { return Ok(id) };
        Ok(Typed::new(string::STRCAT.call(vec![partition.expr, text(SEPARATOR), id.expr]), Type::String))
    }

    /// The rows of the left side that have, or lack, a node with the key in a column.
    fn join_by(&mut self, left: Relation, key: &str, nodes: Relation, kind: JoinType, span: Span) -> Result<Relation> {
        let keys = match (left.find(key), nodes.find(KEY)) {
            (Some(a), Some(b)) => vec![(column(a), column(b))],
            _ => Vec::new(),
        };
        self.join_relations(left, nodes, keys, kind, span)
    }

    /// The rows of a graph, from queries of their own.
    pub(super) fn known_graph(&mut self, graph: &Graph, span: Span) -> Result<Known> {
        let nodes = self.subquery(graph.nodes.clone(), span)?;
        let edges = self.subquery(graph.edges.clone(), span)?;
        let source = Source::new(&nodes, &edges).map_err(|e| internal(span, &e))?;
        let columns = |relation: &Relation, field: fn(usize) -> String| {
            let places = relation.columns.iter().enumerate();
            places.map(|(i, c)| Column { field: field(i), ..c.clone() }).collect::<Vec<_>>()
        };
        Ok(Known { source, nodes: columns(&graph.nodes, node_field), edges: columns(&graph.edges, edge_field) })
    }

    fn mark_components(&mut self, graph: Graph, marked: &GraphComponents, span: Span) -> Result<Graph> {
        let name = marked.column.clone().unwrap_or(Name { text: COMPONENT.to_owned(), span });
        if graph.nodes.find(&name.text).is_some() {
            let message = format!("there already is a column named '{}'", name.text);
            return Err(Diagnostic::semantic(name.span, message).into());
        }
        let known = self.known_graph(&graph, span)?;
        let field = fresh_field(&name.text);
        let table = with_components(known.source, &field, marked.is_strong).map_err(|e| internal(span, &e))?;
        let mut columns = known.nodes;
        columns.push(Column { name: name.text, column_type: Type::Long, field });
        let all = Relation::new(scan_of("components", table, span)?, columns);
        Ok(Graph { nodes: hidden_last(all, span)?, ..graph })
    }

    fn graph_table(&mut self, graph: Graph, table: &GraphTable, span: Span) -> Result<Relation> {
        let (rows, ids): (Relation, Vec<(&Name, &str)>) = match table {
            GraphTable::Nodes { node_id, .. } => (graph.nodes, node_id.iter().map(|name| (name, KEY)).collect()),
            GraphTable::Edges { source_id, target_id, .. } => {
                let source = source_id.iter().map(|name| (name, SOURCE_KEY));
                let target = target_id.iter().map(|name| (name, TARGET_KEY));
                (graph.edges, source.chain(target).collect())
            }
        };
        let partition = rows.find(PARTITION).map(|c| c.field.clone()).filter(|_| graph.is_partitioned);
        let mut outputs: Vec<(String, Typed)> = Vec::new();
        for (name, key) in ids {
            if rows.find(&name.text).is_some() {
                let message = format!("there already is a column named '{}'", name.text);
                return Err(Diagnostic::semantic(name.span, message).into());
            }
            let key = rows.find(key).map_or_else(|| null(Type::String), column);
            outputs.push((name.text.clone(), Typed::new(codec::XXHASH64.call(vec![key.expr]), Type::Long)));
        }
        let shown = rows.columns.iter().filter(|c| !c.name.starts_with('$'));
        outputs.extend(shown.map(|c| (c.name.clone(), column(c))));
        match partition {
            None => rows.project(outputs, span),
            Some(field) => grouped(rows, outputs, &field, span),
        }
    }
}

pub(super) fn needs_graph(span: Span) -> super::Stop {
    let diagnostic = Diagnostic::semantic(span, "this operator needs a graph before it");
    diagnostic.with_hint("make-graph makes one of rows: T | make-graph Source --> Target.").into()
}

/// Columns of rows that are in groups by a field.
pub(super) fn grouped(rows: Relation, mut outputs: Vec<(String, Typed)>, field: &str, span: Span) -> Result<Relation> {
    outputs.push((PARTITION.to_owned(), Typed::new(ident(field), Type::String)));
    let mut projected = rows.project(outputs, span)?;
    projected.group = projected.columns.pop().into_iter().map(|c| c.field).collect();
    Ok(projected)
}

/// The hidden columns behind the others, in their order.
fn hidden_last(rows: Relation, span: Span) -> Result<Relation> {
    let (hidden, mut outputs): (Vec<_>, Vec<_>) =
        rows.outputs().into_iter().partition(|(name, _)| name.starts_with('$'));
    outputs.extend(hidden);
    rows.project(outputs, span)
}

/// One node of each key, with what any of its rows says in each column.
fn merged_per_key(rows: Relation, span: Span) -> Result<Relation> {
    let Some(key) = rows.find(KEY).map(|c| c.field.clone()) else { return Ok(rows) };
    let columns = rows.columns.clone();
    let any = |i: usize| format!("$any{i}");
    let others = columns.iter().enumerate().filter(|(_, c)| c.name != KEY);
    let values =
        others.map(|(i, c)| aggregates::call(Kind::AnyRow, vec![ident(&c.field)], None, Vec::new()).alias(any(i)));
    let merged = rows.aggregate(vec![ident(&key).alias(KEY)], values.collect(), span)?;
    let outputs = columns.iter().enumerate().map(|(i, c)| {
        let value = if c.name == KEY { ident(KEY) } else { get_field(ident(any(i)), field_name(0)) };
        (c.name.clone(), Typed::new(value, c.column_type))
    });
    merged.project(outputs.collect(), span)
}

fn one_per_key(rows: Relation, span: Span) -> Result<Relation> {
    let keys: Vec<(Typed, Typed)> = rows.find(KEY).map(|c| (column(c), column(c))).into_iter().collect();
    one_row_per_key(rows, &keys, span)
}

pub(super) fn scan_of(name: &str, table: Arc<dyn TableProvider>, span: Span) -> Result<LogicalPlanBuilder> {
    LogicalPlanBuilder::scan(TableReference::bare(name), provider_as_source(table), None)
        .map_err(|e| internal(span, &e))
}
