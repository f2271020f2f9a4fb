//! The tree of the graph operators.

use super::{Expr, Name, NamedExpr, Operator, Pipeline};

/// `make-graph source --> target with nodes on id partitioned-by column (operators)`.
#[derive(Debug, Clone, PartialEq)]
pub struct MakeGraph {
    /// The columns of the edges that name the two nodes.
    pub source: Name,
    pub target: Name,
    pub nodes: GraphNodes,
    pub partition: Option<GraphPartition>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum GraphNodes {
    /// The nodes are those that the edges name, and have no columns.
    Implied,
    /// `with_node_id=name`: as before, with their name as a column.
    Named(Name),
    /// `with nodes on id, ...`: tables, each with the column that names its nodes.
    Tables(Vec<(Pipeline, Name)>),
}

/// A graph of its own for each value of a column, and what is done with each.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphPartition {
    pub by: Name,
    pub body: Vec<Operator>,
}

/// `graph-match` and `graph-shortest-paths`.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphMatch {
    pub cycles: GraphCycles,
    /// `None` for all matches, else which of the shortest ones.
    pub shortest: Option<ShortestPaths>,
    pub patterns: Vec<GraphPattern>,
    pub condition: Option<Expr>,
    pub project: Vec<NamedExpr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GraphCycles {
    /// Nodes and edges may come again.
    All,
    /// No node comes twice.
    None,
    /// No edge comes twice.
    UniqueEdges,
}

/// The shortest paths from each first to each last node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShortestPaths {
    Any,
    All,
}

/// `(a)-[e]->(b)<--(c)`: nodes, and between each two of them an edge.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphPattern {
    /// The names of the nodes; `None` for `()`.
    pub nodes: Vec<Option<Name>>,
    /// One less than nodes.
    pub edges: Vec<GraphEdge>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct GraphEdge {
    pub name: Option<Name>,
    pub direction: GraphDirection,
    /// The numbers of edges in `*1..3`, for a path instead of a single edge.
    pub length: Option<(Expr, Expr)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GraphDirection {
    /// `-->`
    Forward,
    /// `<--`
    Backward,
    /// `--`
    Either,
}

/// `graph-mark-components kind=weak with_component_id=name`.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphComponents {
    /// Whether each node of a component must reach each other along the edges' directions.
    pub is_strong: bool,
    pub column: Option<Name>,
}

/// One of the tables of `graph-to-table`.
#[derive(Debug, Clone, PartialEq)]
pub enum GraphTable {
    Nodes { name: Option<Name>, node_id: Option<Name> },
    Edges { name: Option<Name>, source_id: Option<Name>, target_id: Option<Name> },
}

impl GraphTable {
    /// The name that the rest of the query knows the rows by.
    pub fn name(&self) -> Option<&Name> {
        match self {
            GraphTable::Nodes { name, .. } | GraphTable::Edges { name, .. } => name.as_ref(),
        }
    }
}
