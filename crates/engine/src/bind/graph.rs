//! Graphs: rows as nodes and edges, patterns in them, and the way back to rows.
//!
//! A graph is two relations whose last columns are hidden: the keys that edges and nodes find each other by.

use super::evaluate::names_in;
use super::expression::text;
use super::join::one_row_per_key;
use super::relation::{Column, Relation, column, fresh_field, null};
use super::{Binder, Meaning, Names, Result, Scope, Typed, internal, unknown};
use crate::functions::{codec, string};
use crate::graph::{
    DEGREE_IN, DEGREE_OUT, EdgeVariable, Fold, NodeVariable, Output, Program, Source, Subject, edge_field, matches,
    node_field, with_components,
};
use crate::types::arrow_type;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{JoinType, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr as Plan, LogicalPlanBuilder, ident};
use kql::tree::{
    Argument, Expr, ExprKind, GraphComponents, GraphMatch, GraphNodes, GraphTable, MakeGraph, Name, Operator,
    OperatorKind, Pipeline, Source as PipelineSource, Statement,
};
use kql::{Diagnostic, Span, Type};
use std::collections::HashMap;
use std::sync::Arc;

/// Columns that no query can name: the text that nodes are known by, their name as it was given, the texts of an
/// edge's ends, and the value that partitions the graph.
const KEY: &str = "$key";
const ID: &str = "$id";
const SOURCE_KEY: &str = "$source";
const TARGET_KEY: &str = "$target";
const PARTITION: &str = "$partition";

/// The column of `graph-mark-components`, where the query gives it no name.
const COMPONENT: &str = "ComponentId";

/// A path of a pattern has at most so many edges.
const PATH_EDGES_MAX: i64 = 1000;

/// A graph in the making.
#[derive(Clone)]
pub(crate) struct Graph {
    /// The nodes' columns; then [`ID`], [`PARTITION`] where it is partitioned, and [`KEY`].
    nodes: Relation,
    /// The edges' columns; then [`PARTITION`] where it is partitioned, [`SOURCE_KEY`] and [`TARGET_KEY`].
    edges: Relation,
    is_partitioned: bool,
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

/// What a name in a pattern stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Variable {
    Node(usize),
    Edge(usize),
    Path(usize),
}

/// The pattern whose condition and columns are being bound.
pub(crate) struct Matching {
    variables: Vec<(String, Variable)>,
    nodes: Vec<Column>,
    edges: Vec<Column>,
    /// What functions over paths and nodes have asked for.
    outputs: Vec<Output>,
    /// Whether a function is being computed for each node of a path.
    in_nodes: bool,
}

/// A column of the nodes or edges of a graph whose rows are known.
struct Known {
    source: Source,
    nodes: Vec<Column>,
    edges: Vec<Column>,
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
                        let (inner, last) = self.body(function, inner, expr.span)?;
                        return self.nested(expr.span, |b| b.stage(last, &inner));
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
                let known = one_per_key(self.unite(legs, None, true, span)?, span)?;
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
    fn known_graph(&mut self, graph: &Graph, span: Span) -> Result<Known> {
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
        // The hidden columns stay behind the others.
        let (hidden, mut outputs): (Vec<_>, Vec<_>) =
            all.outputs().into_iter().partition(|(name, _)| name.starts_with('$'));
        outputs.extend(hidden);
        Ok(Graph { nodes: all.project(outputs, span)?, ..graph })
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

    fn graph_match(&mut self, graph: Graph, wanted: &'q GraphMatch, span: Span, names: &Names<'q>) -> Result<Relation> {
        let Known { source, nodes, edges } = self.known_graph(&graph, span)?;
        let (mut program, variables) = self.pattern(wanted, span, names)?;
        // Each variable is a row, whose columns are fields that the search may be asked for.
        let mut fields: HashMap<String, (Variable, usize)> = HashMap::new();
        let mut inner = names.clone();
        for (name, variable) in &variables {
            let (columns, of): (&[Column], fn(Type) -> Type) = match variable {
                Variable::Node(_) => (&nodes, |own| own),
                Variable::Edge(_) => (&edges, |own| own),
                Variable::Path(_) => (&edges, |_| Type::Dynamic),
            };
            let mut row: Vec<Column> = Vec::with_capacity(columns.len());
            for (place, c) in columns.iter().enumerate().filter(|(_, c)| !c.name.starts_with('$')) {
                let field = fresh_field(&format!("{name}.{}", c.name));
                fields.insert(field.clone(), (*variable, place));
                row.push(Column { name: c.name.clone(), column_type: of(c.column_type), field });
            }
            inner = inner.with(name, Meaning::Row(Arc::new(row)));
        }
        let matching =
            Matching { variables, nodes: nodes.clone(), edges: edges.clone(), outputs: Vec::new(), in_nodes: false };
        let around = self.matching.replace(matching);
        let scope = Scope { names: inner, columns: &[] };
        let condition = self.match_condition(wanted, &scope);
        let project = self.named_expressions(&wanted.project, &scope, &[], false);
        let matching = std::mem::replace(&mut self.matching, around);
        let (condition, project) = (condition?, project?);
        program.outputs = matching.map(|m| m.outputs).unwrap_or_default();

        // What is asked of the rows of variables.
        let mut asked: Vec<String> = Vec::new();
        for expr in condition.iter().chain(project.iter().map(|(_, typed)| &typed.expr)) {
            for c in expr.column_refs() {
                if fields.contains_key(&c.name) && !asked.contains(&c.name) {
                    asked.push(c.name.clone());
                }
            }
        }
        for field in asked {
            let Some((variable, place)) = fields.get(&field).copied() else { continue };
            let (of, c, is_list) = match variable {
                Variable::Node(i) => (Subject::Node(i), &nodes[place], false),
                Variable::Edge(i) => (Subject::Edge(i), &edges[place], false),
                Variable::Path(i) => (Subject::Edge(i), &edges[place], true),
            };
            let value = if is_list { self.in_json(column(c), span)? } else { column(c) };
            let fold = if is_list { Fold::List } else { Fold::One };
            let data_type = arrow_type(value.value_type);
            program.outputs.push(Output { field, data_type, of, value: value.expr, fold });
        }
        let mut rest: Vec<Plan> = Vec::new();
        if let Some(condition) = &condition {
            for part in split_conjunction(condition) {
                if !push_down(part, &mut program, span)? {
                    rest.push(part.clone());
                }
            }
        }
        let rest = rest.into_iter().reduce(Plan::and);
        // A partition is told by any node of the match, as all are in it.
        let partition = nodes.iter().find(|c| c.name == PARTITION).filter(|_| graph.is_partitioned);
        let marker = partition.or_else(|| nodes.iter().find(|c| c.name == KEY));
        let marker_field = fresh_field("$match");
        program.outputs.extend(marker.map(|c| Output {
            field: marker_field.clone(),
            data_type: arrow_type(c.column_type),
            of: Subject::Node(0),
            value: ident(&c.field),
            fold: Fold::One,
        }));
        let filter = match program.shortest {
            Some(_) => {
                program.condition = rest;
                None
            }
            None => rest,
        };
        let is_partitioned = partition.is_some();
        let table = matches(source, program).map_err(|e| internal(span, &e))?;
        let mut rows = Relation::new(scan_of("matches", table, span)?, Vec::new());
        if let Some(filter) = filter {
            rows = rows.filter(filter, span)?;
        }
        if is_partitioned { grouped(rows, project, &marker_field, span) } else { rows.project(project, span) }
    }

    /// The condition of a match, in terms of the fields of its variables.
    fn match_condition(&mut self, wanted: &'q GraphMatch, scope: &Scope<'q, '_>) -> Result<Option<Plan>> {
        let bound = wanted.condition.as_ref().map(|c| self.condition(c, "the condition of the match", scope));
        bound.transpose()
    }

    /// The variables of the patterns, and what stands between them.
    fn pattern(
        &mut self,
        wanted: &'q GraphMatch,
        span: Span,
        names: &Names<'q>,
    ) -> Result<(Program, Vec<(String, Variable)>)> {
        let mut variables: Vec<(String, Variable)> = Vec::new();
        let mut program = Program {
            nodes: Vec::new(),
            edges: Vec::new(),
            sequences: Vec::new(),
            cycles: wanted.cycles,
            shortest: wanted.shortest,
            condition: None,
            outputs: Vec::new(),
        };
        for (sequence, pattern) in wanted.patterns.iter().enumerate() {
            let mut along: Vec<usize> = Vec::new();
            for name in &pattern.nodes {
                let known = name.as_ref().and_then(|name| variables.iter().find(|(n, _)| *n == name.text));
                let node = match (known.map(|(_, variable)| *variable), name) {
                    (Some(Variable::Node(node)), _) => node,
                    (Some(_), Some(name)) => {
                        let message = format!("'{}' is an edge already", name.text);
                        return Err(Diagnostic::semantic(name.span, message).into());
                    }
                    _ => {
                        program.nodes.push(NodeVariable::default());
                        program.nodes.len() - 1
                    }
                };
                if let (None, Some(name)) = (known, name) {
                    variables.push((name.text.clone(), Variable::Node(node)));
                }
                along.push(node);
            }
            for (edge, ends) in pattern.edges.iter().zip(along.windows(2)) {
                let length = match &edge.length {
                    Some((least, most)) => Some(self.path_length(least, most, names)?),
                    None => None,
                };
                let place = program.edges.len();
                if let Some(name) = &edge.name {
                    if variables.iter().any(|(existing, _)| *existing == name.text) {
                        let message = format!("'{}' stands in the pattern already", name.text);
                        return Err(Diagnostic::semantic(name.span, message).into());
                    }
                    let variable = if length.is_some() { Variable::Path(place) } else { Variable::Edge(place) };
                    variables.push((name.text.clone(), variable));
                }
                program.edges.push(EdgeVariable {
                    left: ends[0],
                    right: ends[1],
                    direction: edge.direction,
                    length,
                    sequence,
                    conditions: Vec::new(),
                    inner_conditions: Vec::new(),
                });
            }
            program.sequences.push(along);
        }
        if wanted.shortest.is_some() && (program.sequences.len() != 1 || program.edges.len() != 1) {
            let diagnostic = Diagnostic::unsupported(span, "graph-shortest-paths over several edges");
            return Err(diagnostic.with_hint("Write one edge with a length: (a)-[e*1..5]->(b).").into());
        }
        Ok((program, variables))
    }

    fn path_length(&mut self, least: &'q Expr, most: &'q Expr, names: &Names<'q>) -> Result<(usize, usize)> {
        let scope = Scope { names: names.clone(), columns: &[] };
        let low = self.constant_long(least, "the least number of edges", &scope)?;
        let high = self.constant_long(most, "the greatest number of edges", &scope)?;
        if low < 0 || high < low || high == 0 || high > PATH_EDGES_MAX {
            let message = format!("a path cannot have {low} to {high} edges");
            let diagnostic = Diagnostic::semantic(most.span, message);
            return Err(diagnostic.with_hint(format!("The bounds are 0 to {PATH_EDGES_MAX}.")).into());
        }
        let count = |n: i64| usize::try_from(n).unwrap_or_default();
        Ok((count(low), count(high)))
    }

    /// A call of one of the functions over the nodes and paths of a match; `None` for any other.
    pub(super) fn graph_call(
        &mut self,
        function: &Name,
        arguments: &'q [Argument],
        span: Span,
        scope: &Scope<'q, '_>,
    ) -> Result<Option<Typed>> {
        if self.matching.is_none() {
            return Ok(None);
        }
        match function.text.as_str() {
            "map" | "all" | "any" => self.fold_path(function, arguments, span, scope).map(Some),
            "inner_nodes" => {
                let diagnostic = Diagnostic::semantic(span, "inner_nodes() gives no value by itself");
                Err(diagnostic.with_hint("It is the first argument of map(), all() or any().").into())
            }
            "node_degree_in" => self.of_node(function, DEGREE_IN, arguments, span).map(Some),
            "node_degree_out" => self.of_node(function, DEGREE_OUT, arguments, span).map(Some),
            "node_id" => self.of_node(function, ID, arguments, span).map(Some),
            _ => Ok(None),
        }
    }

    /// `map(path, value)`, `all(path, condition)`, `any(path, condition)`, where the path may be its inner nodes.
    fn fold_path(
        &mut self,
        function: &Name,
        arguments: &'q [Argument],
        span: Span,
        scope: &Scope<'q, '_>,
    ) -> Result<Typed> {
        let [path, value] = arguments else {
            let message = format!("{}() takes a path and an expression over it", function.text);
            return Err(Diagnostic::semantic(span, message).into());
        };
        let (named, is_nodes) = match &path.value.kind {
            ExprKind::Call { function, arguments } if function.text == "inner_nodes" => match arguments.as_slice() {
                [argument] => (&argument.value, true),
                _ => (&path.value, true),
            },
            _ => (&path.value, false),
        };
        let edge = match self.variable(named)? {
            Variable::Path(edge) | Variable::Edge(edge) => edge,
            Variable::Node(_) => {
                return Err(Diagnostic::semantic(named.span, "a node is no path").into());
            }
        };
        let Some(matching) = &mut self.matching else {
            return Err(Diagnostic::semantic(span, "this stands in graph-match alone").into());
        };
        let columns = if is_nodes { matching.nodes.clone() } else { matching.edges.clone() };
        let around = std::mem::replace(&mut matching.in_nodes, is_nodes);
        let bound = self.expression(&value.value, &Scope { names: scope.names.clone(), columns: &columns });
        if let Some(matching) = &mut self.matching {
            matching.in_nodes = around;
        }
        let typed = bound?;
        let (fold, typed) = match function.text.as_str() {
            "map" => (Fold::List, self.in_json(typed, value.value.span)?),
            "all" => (Fold::All, self.coerce(typed, Type::Bool, value.value.span)?),
            _ => (Fold::Any, self.coerce(typed, Type::Bool, value.value.span)?),
        };
        let foreign = typed.expr.column_refs().into_iter().any(|c| {
            let is_degree = c.name == DEGREE_IN || c.name == DEGREE_OUT;
            !is_degree && !columns.iter().any(|own| own.field == c.name)
        });
        if foreign {
            let message = "an expression over a path can only use the columns of the path";
            return Err(Diagnostic::semantic(value.value.span, message).into());
        }
        let of = if is_nodes { Subject::Inner(edge) } else { Subject::Edge(edge) };
        let result = if fold == Fold::List { Type::Dynamic } else { Type::Bool };
        Ok(self.asked(of, typed, fold, result))
    }

    /// A property that each node has: of the node that is named, or of each node of a path.
    fn of_node(&mut self, function: &Name, property: &str, arguments: &'q [Argument], span: Span) -> Result<Typed> {
        let found = self.matching.as_ref().and_then(|m| m.nodes.iter().find(|c| c.name == property));
        let value = found.map_or_else(|| Typed::new(ident(property), Type::Long), column);
        match arguments {
            [] if self.matching.as_ref().is_some_and(|m| m.in_nodes) => Ok(value),
            [node] => match self.variable(&node.value)? {
                Variable::Node(variable) => {
                    let result = value.value_type;
                    Ok(self.asked(Subject::Node(variable), value, Fold::One, result))
                }
                _ => Err(Diagnostic::semantic(node.value.span, "this is no node").into()),
            },
            _ => Err(Diagnostic::semantic(span, format!("{}() takes a node of the pattern", function.text)).into()),
        }
    }

    /// A new field of the search.
    fn asked(&mut self, of: Subject, value: Typed, fold: Fold, result: Type) -> Typed {
        let field = fresh_field("$asked");
        let output = Output { field: field.clone(), data_type: arrow_type(result), of, value: value.expr, fold };
        if let Some(matching) = &mut self.matching {
            matching.outputs.push(output);
        }
        Typed::new(ident(field), result)
    }

    /// What a name in the pattern stands for.
    fn variable(&self, expr: &Expr) -> Result<Variable> {
        let mut names = Vec::new();
        names_in(expr, &mut names);
        let known = || self.matching.iter().flat_map(|m| &m.variables);
        match (&expr.kind, names.first()) {
            (ExprKind::Name(name), Some(_)) => match known().find(|(existing, _)| existing == name) {
                Some((_, variable)) => Ok(*variable),
                None => {
                    let name = Name { text: name.clone(), span: expr.span };
                    Err(unknown("node or edge", &name, known().map(|(n, _)| n.as_str())).into())
                }
            },
            _ => Err(Diagnostic::semantic(expr.span, "expected the name of a node or an edge of the pattern").into()),
        }
    }
}

/// Makes a part of the condition one of the variable that alone it is about, where there is one: the search then meets
/// no others.
fn push_down(part: &Plan, program: &mut Program, span: Span) -> Result<bool> {
    if part.is_volatile() {
        return Ok(false);
    }
    let refs = part.column_refs();
    let asked: Vec<Output> =
        (program.outputs.iter()).filter(|output| refs.iter().any(|c| c.name == output.field)).cloned().collect();
    let Some(first) = asked.first() else { return Ok(false) };
    if let (Plan::Column(_), Fold::All) = (part, first.fold) {
        match first.of {
            Subject::Edge(edge) => program.edges[edge].conditions.push(first.value.clone()),
            Subject::Inner(edge) => program.edges[edge].inner_conditions.push(first.value.clone()),
            Subject::Node(_) => return Ok(false),
        }
        return Ok(true);
    }
    if asked.iter().any(|output| output.of != first.of || output.fold != Fold::One) {
        return Ok(false);
    }
    let own = part.clone().transform(|expr| {
        let value = match &expr {
            Plan::Column(c) => asked.iter().find(|output| output.field == c.name).map(|output| output.value.clone()),
            _ => None,
        };
        Ok(value.map_or_else(|| Transformed::no(expr), Transformed::yes))
    });
    let own = own.map_err(|e| internal(span, &e))?.data;
    match first.of {
        Subject::Node(node) => program.nodes[node].conditions.push(own),
        Subject::Edge(edge) => program.edges[edge].conditions.push(own),
        Subject::Inner(_) => return Ok(false),
    }
    Ok(true)
}

pub(super) fn needs_graph(span: Span) -> super::Stop {
    let diagnostic = Diagnostic::semantic(span, "this operator needs a graph before it");
    diagnostic.with_hint("make-graph makes one of rows: T | make-graph Source --> Target.").into()
}

/// Columns of rows that are in groups by a field.
fn grouped(rows: Relation, mut outputs: Vec<(String, Typed)>, field: &str, span: Span) -> Result<Relation> {
    outputs.push((PARTITION.to_owned(), Typed::new(ident(field), Type::String)));
    let mut projected = rows.project(outputs, span)?;
    projected.group = projected.columns.pop().into_iter().map(|c| c.field).collect();
    Ok(projected)
}

fn one_per_key(rows: Relation, span: Span) -> Result<Relation> {
    let keys: Vec<(Typed, Typed)> = rows.find(KEY).map(|c| (column(c), column(c))).into_iter().collect();
    one_row_per_key(rows, &keys, span)
}

fn scan_of(name: &str, table: Arc<dyn TableProvider>, span: Span) -> Result<LogicalPlanBuilder> {
    LogicalPlanBuilder::scan(TableReference::bare(name), provider_as_source(table), None)
        .map_err(|e| internal(span, &e))
}
