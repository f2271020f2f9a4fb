//! The graph operators.

use super::Printer;
use crate::tree::{
    GraphComponents, GraphCycles, GraphDirection, GraphEdge, GraphMatch, GraphNodes, GraphPattern, GraphTable,
    MakeGraph, Name, ShortestPaths,
};

impl Printer {
    pub(super) fn make_graph(&mut self, graph: &MakeGraph) {
        self.write("make-graph ");
        self.name(&graph.source);
        self.write(" --> ");
        self.name(&graph.target);
        match &graph.nodes {
            GraphNodes::Implied => {}
            GraphNodes::Named(name) => self.option("with_node_id", Some(name)),
            GraphNodes::Tables(tables) => {
                self.write(" with ");
                self.listed(tables, |p, (table, id)| {
                    p.operand(table);
                    p.write(" on ");
                    p.name(id);
                });
            }
        }
        if let Some(partition) = &graph.partition {
            self.write(" partitioned-by ");
            self.name(&partition.by);
            self.write(" ");
            self.body(&partition.body);
        }
    }

    pub(super) fn graph_match(&mut self, graph: &GraphMatch) {
        self.write(if graph.shortest.is_some() { "graph-shortest-paths" } else { "graph-match" });
        if graph.shortest == Some(ShortestPaths::All) {
            self.write(" output=all");
        }
        self.write(match graph.cycles {
            GraphCycles::All => " cycles=all ",
            GraphCycles::None => " cycles=none ",
            GraphCycles::UniqueEdges => " ",
        });
        self.listed(&graph.patterns, Self::graph_pattern);
        if let Some(condition) = &graph.condition {
            self.write(" where ");
            self.expression(condition);
        }
        self.write(" project ");
        self.listed(&graph.project, Self::named_expression);
    }

    fn graph_pattern(&mut self, pattern: &GraphPattern) {
        for (i, node) in pattern.nodes.iter().enumerate() {
            if let Some(edge) = i.checked_sub(1).and_then(|before| pattern.edges.get(before)) {
                self.graph_edge(edge);
            }
            self.write("(");
            if let Some(name) = node {
                self.name(name);
            }
            self.write(")");
        }
    }

    fn graph_edge(&mut self, edge: &GraphEdge) {
        self.write(if edge.direction == GraphDirection::Backward { "<-" } else { "-" });
        if edge.name.is_some() || edge.length.is_some() {
            self.write("[");
            // The name of an edge cannot be quoted.
            self.write(edge.name.as_ref().map_or("", |name| &name.text));
            if let Some((from, to)) = &edge.length {
                self.write("*");
                self.option_value(from);
                if from.kind != to.kind {
                    self.write("..");
                    self.option_value(to);
                }
            }
            self.write("]");
        }
        self.write(if edge.direction == GraphDirection::Forward { "->" } else { "-" });
    }

    pub(super) fn graph_components(&mut self, components: &GraphComponents) {
        self.write("graph-mark-components");
        self.write(if components.is_strong { " kind=strong" } else { "" });
        self.option("with_component_id", components.column.as_ref());
    }

    pub(super) fn graph_table(&mut self, table: &GraphTable) {
        let named = |p: &mut Self, word: &str, name: &Option<Name>| {
            p.write(word);
            if let Some(name) = name {
                p.write(" as ");
                p.name(name);
            }
        };
        match table {
            GraphTable::Nodes { name, node_id } => {
                named(self, "nodes", name);
                self.option("with_node_id", node_id.as_ref());
            }
            GraphTable::Edges { name, source_id, target_id } => {
                named(self, "edges", name);
                self.option("with_source_id", source_id.as_ref());
                self.option("with_target_id", target_id.as_ref());
            }
        }
    }
}
