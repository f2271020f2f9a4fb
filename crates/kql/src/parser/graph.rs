//! The graph operators.

use super::Parser;
use crate::Diagnostic;
use crate::token::{Symbol, TokenKind};
use crate::tree::{
    Expr, ExprKind, GraphComponents, GraphCycles, GraphDirection, GraphEdge, GraphMatch, GraphNodes, GraphPartition,
    GraphPattern, GraphTable, Literal, MakeGraph, Name, OperatorKind, ShortestPaths,
};

impl Parser<'_> {
    /// What follows the word of a graph operator; `None` for any other word.
    pub(super) fn graph_operator(&mut self, word: &str) -> Option<OperatorKind> {
        Some(match word {
            "make-graph" => OperatorKind::MakeGraph(self.make_graph()),
            "graph-match" => OperatorKind::GraphMatch(self.graph_match(None)),
            "graph-shortest-paths" => OperatorKind::GraphMatch(self.graph_match(Some(ShortestPaths::Any))),
            "graph-where-nodes" => OperatorKind::GraphWhereNodes(self.expression()),
            "graph-where-edges" => OperatorKind::GraphWhereEdges(self.expression()),
            "graph-mark-components" => OperatorKind::GraphMarkComponents(self.graph_components()),
            "graph-to-table" => OperatorKind::GraphToTable(self.comma_separated(Self::graph_table)),
            _ => return None,
        })
    }

    fn make_graph(&mut self) -> MakeGraph {
        self.hints(&[]);
        let source = self.name("the column with the source of an edge");
        self.arrow();
        let target = self.name("the column with the target of an edge");
        let mut nodes = GraphNodes::Implied;
        if self.take_word("with") {
            nodes = GraphNodes::Tables(self.comma_separated(|p| {
                let table = p.operand_pipeline();
                p.expect_word("on");
                (table, p.name("the column that names the node"))
            }));
        }
        for (_, value) in self.hints(&["with_node_id"]) {
            if let Some(name) = self.word_of(value) {
                nodes = GraphNodes::Named(name);
            }
        }
        let mut partition = None;
        if self.at_word("partitioned") && self.dashed_word() == "partitioned-by" {
            let by = self.name("a column");
            partition = Some(GraphPartition { by, body: self.body() });
        }
        MakeGraph { source, target, nodes, partition }
    }

    /// `-->`.
    fn arrow(&mut self) {
        let is_arrow = self.take_symbol(Symbol::Minus) && self.take_symbol(Symbol::Minus);
        if !(is_arrow && self.take_symbol(Symbol::Greater)) {
            self.error_expected("'-->'");
        }
    }

    fn graph_match(&mut self, mut shortest: Option<ShortestPaths>) -> GraphMatch {
        let mut cycles = GraphCycles::UniqueEdges;
        let wanted: &[&str] = if shortest.is_some() { &["cycles", "output"] } else { &["cycles"] };
        for (name, value) in self.hints(wanted) {
            let Some(word) = self.word_of(value) else { continue };
            match (name.text.as_str(), word.text.as_str()) {
                ("cycles", "all") => cycles = GraphCycles::All,
                ("cycles", "none") => cycles = GraphCycles::None,
                ("cycles", "unique_edges") => cycles = GraphCycles::UniqueEdges,
                ("output", "any") => shortest = Some(ShortestPaths::Any),
                ("output", "all") => shortest = Some(ShortestPaths::All),
                ("cycles", _) => {
                    self.report(Diagnostic::syntax(word.span, "expected 'all', 'none' or 'unique_edges'"));
                }
                _ => self.report(Diagnostic::syntax(word.span, "expected 'any' or 'all'")),
            }
        }
        let patterns = self.comma_separated(Self::graph_pattern);
        let condition = self.take_word("where").then(|| self.expression());
        self.expect_word("project");
        let project = self.comma_separated(Self::named_expression);
        GraphMatch { cycles, shortest, patterns, condition, project }
    }

    fn graph_pattern(&mut self) -> GraphPattern {
        let mut pattern = GraphPattern { nodes: vec![self.graph_node()], edges: Vec::new() };
        while !self.silenced && (self.at_symbol(Symbol::Minus) || self.at_symbol(Symbol::Less)) {
            pattern.edges.push(self.graph_edge());
            pattern.nodes.push(self.graph_node());
        }
        pattern
    }

    fn graph_node(&mut self) -> Option<Name> {
        self.expect_symbol(Symbol::OpenParen);
        let name = (!self.at_symbol(Symbol::CloseParen)).then(|| self.name("a name for the node"));
        self.expect_symbol(Symbol::CloseParen);
        name
    }

    fn graph_edge(&mut self) -> GraphEdge {
        let is_backward = self.take_symbol(Symbol::Less);
        self.expect_symbol(Symbol::Minus);
        let mut edge = GraphEdge { name: None, direction: GraphDirection::Either, length: None };
        if self.take_symbol(Symbol::OpenBracket) {
            if self.peek().kind == TokenKind::Name {
                edge.name = Some(self.name("a name for the edge"));
            }
            if self.take_symbol(Symbol::Star) {
                edge.length = Some(self.graph_length());
            }
            self.expect_symbol(Symbol::CloseBracket);
        }
        self.expect_symbol(Symbol::Minus);
        let is_forward = !is_backward && self.take_symbol(Symbol::Greater);
        edge.direction = match (is_backward, is_forward) {
            (true, _) => GraphDirection::Backward,
            (_, true) => GraphDirection::Forward,
            _ => GraphDirection::Either,
        };
        edge
    }

    /// `1..3`, or `3` alone for just as many.
    fn graph_length(&mut self) -> (Expr, Expr) {
        let from = self.bound();
        let to = if self.take_symbol(Symbol::DotDot) { self.bound() } else { from.clone() };
        (from, to)
    }

    /// A number, or a name that stands for one.
    fn bound(&mut self) -> Expr {
        let value = self.parameter_value();
        if !matches!(value.kind, ExprKind::Literal(Literal::Long(_)) | ExprKind::Name(_) | ExprKind::Error) {
            self.report(Diagnostic::syntax(value.span, "expected a number of edges"));
        }
        value
    }

    fn graph_components(&mut self) -> GraphComponents {
        let mut components = GraphComponents { is_strong: false, column: None };
        for (name, value) in self.hints(&["kind", "with_component_id"]) {
            let Some(word) = self.word_of(value) else { continue };
            match (name.text.as_str(), word.text.as_str()) {
                ("with_component_id", _) => components.column = Some(word),
                (_, "weak") => components.is_strong = false,
                (_, "strong") => components.is_strong = true,
                _ => self.report(Diagnostic::syntax(word.span, "expected 'weak' or 'strong'")),
            }
        }
        components
    }

    fn graph_table(&mut self) -> GraphTable {
        let is_edges = self.at_word("edges");
        if !self.take_word("nodes") && !self.take_word("edges") {
            self.error_expected("'nodes' or 'edges'");
        }
        let name = self.take_word("as").then(|| self.name("a name for the rows"));
        let wanted: &[&str] = if is_edges { &["with_source_id", "with_target_id"] } else { &["with_node_id"] };
        let mut columns: Vec<(Name, Name)> = Vec::new();
        for (option, value) in self.hints(wanted) {
            if let Some(word) = self.word_of(value) {
                columns.push((option, word));
            }
        }
        let given = |option: &str| columns.iter().find(|(name, _)| name.text == option).map(|(_, word)| word.clone());
        if is_edges {
            GraphTable::Edges { name, source_id: given("with_source_id"), target_id: given("with_target_id") }
        } else {
            GraphTable::Nodes { name, node_id: given("with_node_id") }
        }
    }
}
