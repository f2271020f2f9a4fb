//! `graph-match` and `graph-shortest-paths`: the pattern, its condition, and the columns of its matches.

use super::expression::text;
use super::graph::{Graph, ID, KEY, Known, PARTITION, grouped, scan_of};
use super::relation::{Column, Relation, column, fresh_field};
use super::{Binder, Meaning, Names, Result, Scope, Typed, internal, unknown};
use crate::graph::{DEGREE_IN, DEGREE_OUT, EdgeVariable, Fold, NodeVariable, Output, Program, Subject, matches};
use crate::types::arrow_type;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr as Plan, ident};
use kql::tree::{Argument, Expr, ExprKind, GraphMatch, Name};
use kql::{Diagnostic, Span, Type};
use std::collections::HashMap;
use std::sync::Arc;

/// The functions over nodes and paths, but for `any`, which is an aggregate elsewhere.
const FUNCTIONS: &[&str] = &["map", "all", "inner_nodes", "node_degree_in", "node_degree_out", "node_id", "labels"];

/// A match has at most so many edges, those of paths included.
const EDGES_MAX: usize = 1000;

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

impl<'q> Binder<'q> {
    pub(super) fn graph_match(
        &mut self,
        graph: Graph,
        wanted: &'q GraphMatch,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
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
        // What is said of the ends alone holds for all paths between them or none, so that it counts afterwards too.
        let is_of_path = |part: &Plan| {
            let refs = part.column_refs();
            let asked = |output: &&Output| refs.iter().any(|c| c.name == output.field);
            part.is_volatile()
                || program.outputs.iter().filter(asked).any(|output| !matches!(output.of, Subject::Node(_)))
        };
        let (of_paths, rest): (Vec<Plan>, Vec<Plan>) =
            rest.into_iter().partition(|part| program.shortest.is_some() && is_of_path(part));
        program.condition = of_paths.into_iter().reduce(Plan::and);
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
        let is_partitioned = partition.is_some();
        let table = matches(source, program).map_err(|e| internal(span, &e))?;
        let mut rows = Relation::new(scan_of("matches", table, span)?, Vec::new());
        if let Some(condition) = rest {
            rows = rows.filter(condition, span)?;
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
        let edges: usize = program.edges.iter().map(|edge| edge.length.map_or(1, |(_, most)| most)).sum();
        if edges > EDGES_MAX {
            let message = format!("the pattern has up to {edges} edges, more than {EDGES_MAX}");
            return Err(Diagnostic::semantic(span, message).into());
        }
        if !hangs_together(&program) {
            let diagnostic = Diagnostic::semantic(span, "the patterns have no node in common");
            return Err(diagnostic.with_hint("Give a node of one the name of a node of the other.").into());
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
        match (usize::try_from(low), usize::try_from(high)) {
            (Ok(low), Ok(high)) if low <= high && (1..=EDGES_MAX).contains(&high) => Ok((low, high)),
            _ => {
                let message = format!("a path cannot have {low} to {high} edges");
                let diagnostic = Diagnostic::semantic(most.span, message);
                Err(diagnostic.with_hint(format!("The bounds are 0 to {EDGES_MAX}.")).into())
            }
        }
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
            if !FUNCTIONS.contains(&function.text.as_str()) {
                return Ok(None);
            }
            let message = format!("{}() stands in graph-match alone", function.text);
            return Err(Diagnostic::semantic(function.span, message).into());
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
            "labels" => self.labels(arguments, span).map(Some),
            _ => Ok(None),
        }
    }

    /// `labels(node or edge)`: graphs that a query makes have none.
    fn labels(&mut self, arguments: &'q [Argument], span: Span) -> Result<Typed> {
        match arguments {
            [] => {}
            [argument] => {
                self.variable(&argument.value)?;
            }
            _ => return Err(Diagnostic::semantic(span, "labels() takes a node or an edge of the pattern").into()),
        }
        Ok(Typed::new(text("[]"), Type::Dynamic))
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
        let known = || self.matching.iter().flat_map(|m| &m.variables);
        match &expr.kind {
            ExprKind::Name(name) => match known().find(|(existing, _)| existing == name) {
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

/// Whether each node of a pattern is tied to each other by its edges.
fn hangs_together(program: &Program) -> bool {
    let mut groups: Vec<usize> = (0..program.nodes.len()).collect();
    for edge in &program.edges {
        let (from, to) = (groups[edge.right], groups[edge.left]);
        groups.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
    }
    groups.windows(2).all(|pair| pair[0] == pair[1])
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
