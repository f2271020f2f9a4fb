//! The search for all matches of a pattern, by going from node to node and back.

use super::{EdgeVariable, Fold, Index, Output, Program, Subject};
use crate::formula::{evaluate, holds};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::array::{StringViewBuilder, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use kql::tree::{GraphCycles, GraphDirection};
use std::ops::ControlFlow;
use tokio::sync::mpsc::Sender;

/// Matches are passed on in batches of so many.
pub(super) const BATCH_ROWS: usize = 8192;
/// Or when their paths have so many nodes and edges.
const BATCH_ITEMS: usize = 1 << 16;
/// After so many steps the search looks whether anyone still waits for it.
const STEPS_PER_LOOK: u32 = 1 << 14;

const NONE: u32 = u32::MAX;

/// The way that an edge variable of a match took.
#[derive(Debug, Clone, Default)]
pub(super) struct Way {
    /// The edges in the order of the walk.
    pub edges: Vec<u32>,
    /// The nodes between the ends.
    pub inner: Vec<u32>,
}

/// Which rows meet the conditions of a variable; `None` where it has none.
pub(super) type Mask = Option<BooleanArray>;

pub(super) fn allows(mask: &Mask, row: u32) -> bool {
    mask.as_ref().is_none_or(|mask| mask.value(row as usize))
}

/// The rows that meet the conditions of each variable.
pub(super) struct Masks {
    pub nodes: Vec<Mask>,
    pub edges: Vec<Mask>,
    pub inner: Vec<Mask>,
}

impl Masks {
    pub fn new(index: &Index, program: &Program) -> Result<Masks> {
        let mask = |conditions: &[datafusion::logical_expr::Expr], rows: &RecordBatch| -> Result<Mask> {
            let all = conditions.iter().cloned().reduce(datafusion::logical_expr::Expr::and);
            all.map(|condition| holds(&condition, rows)).transpose()
        };
        Ok(Masks {
            nodes: program.nodes.iter().map(|n| mask(&n.conditions, &index.nodes)).collect::<Result<_>>()?,
            edges: program.edges.iter().map(|e| mask(&e.conditions, &index.edges)).collect::<Result<_>>()?,
            inner: program.edges.iter().map(|e| mask(&e.inner_conditions, &index.nodes)).collect::<Result<_>>()?,
        })
    }
}

/// Where matches are gathered, made into rows and passed on.
pub(super) struct Sink<'a> {
    program: &'a Program,
    schema: SchemaRef,
    sender: Sender<Result<RecordBatch>>,
    /// The value of each output for each node or edge.
    values: Vec<ArrayRef>,
    nodes: Vec<Vec<u32>>,
    ways: Vec<Ways>,
    rows: usize,
    steps: u32,
}

/// The ways of one variable in the gathered matches.
#[derive(Default)]
struct Ways {
    edges: Vec<u32>,
    edge_ends: Vec<usize>,
    inner: Vec<u32>,
    inner_ends: Vec<usize>,
}

impl<'a> Sink<'a> {
    pub fn new(
        index: &Index,
        program: &'a Program,
        schema: SchemaRef,
        sender: Sender<Result<RecordBatch>>,
    ) -> Result<Sink<'a>> {
        let values = program.outputs.iter().map(|output| match output.of {
            Subject::Node(_) | Subject::Inner(_) => evaluate(&output.value, &index.nodes),
            Subject::Edge(_) => evaluate(&output.value, &index.edges),
        });
        Ok(Sink {
            program,
            schema,
            sender,
            values: values.collect::<Result<_>>()?,
            nodes: program.nodes.iter().map(|_| Vec::new()).collect(),
            ways: program.edges.iter().map(|_| Ways::default()).collect(),
            rows: 0,
            steps: 0,
        })
    }

    /// Called now and then; breaks when nobody waits for matches any more.
    pub fn step(&mut self) -> ControlFlow<()> {
        self.steps += 1;
        if self.steps < STEPS_PER_LOOK {
            return ControlFlow::Continue(());
        }
        self.steps = 0;
        if self.sender.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    pub fn add(&mut self, nodes: &[u32], ways: &[Way]) {
        for (column, node) in self.nodes.iter_mut().zip(nodes) {
            column.push(*node);
        }
        for (column, way) in self.ways.iter_mut().zip(ways) {
            column.edges.extend(&way.edges);
            column.edge_ends.push(column.edges.len());
            column.inner.extend(&way.inner);
            column.inner_ends.push(column.inner.len());
        }
        self.rows += 1;
    }

    pub fn is_full(&self) -> bool {
        let items = self.ways.iter().map(|ways| ways.edges.len() + ways.inner.len()).sum::<usize>();
        self.rows >= BATCH_ROWS || items >= BATCH_ITEMS
    }

    /// The gathered matches as rows; none are gathered then.
    pub fn rows(&mut self) -> Result<RecordBatch> {
        let columns = self.program.outputs.iter().zip(&self.values).map(|(output, values)| self.column(output, values));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        self.nodes.iter_mut().for_each(Vec::clear);
        self.ways.iter_mut().for_each(|ways| *ways = Ways::default());
        self.rows = 0;
        Ok(batch)
    }

    fn column(&self, output: &Output, values: &ArrayRef) -> Result<ArrayRef> {
        let (rows, ends) = match output.of {
            Subject::Node(node) => return Ok(take(values, &UInt32Array::from(self.nodes[node].clone()), None)?),
            Subject::Edge(edge) => (&self.ways[edge].edges, &self.ways[edge].edge_ends),
            Subject::Inner(edge) => (&self.ways[edge].inner, &self.ways[edge].inner_ends),
        };
        let lists = ends.iter().scan(0, |start, end| {
            let list = &rows[*start..*end];
            *start = *end;
            Some(list)
        });
        Ok(match output.fold {
            // A single edge is the one of its way.
            Fold::One => take(values, &UInt32Array::from(rows.clone()), None)?,
            Fold::List => {
                let items = values.as_string_view();
                let mut built = StringViewBuilder::with_capacity(ends.len());
                let mut text = String::new();
                for list in lists {
                    text.clear();
                    text.push('[');
                    for (i, row) in list.iter().enumerate() {
                        let row = *row as usize;
                        text.push_str(if i > 0 { "," } else { "" });
                        text.push_str(if items.is_valid(row) { items.value(row) } else { "null" });
                    }
                    text.push(']');
                    built.append_value(&text);
                }
                std::sync::Arc::new(built.finish())
            }
            Fold::All | Fold::Any => {
                let flags = values.as_boolean();
                let is_true = |row: &u32| flags.is_valid(*row as usize) && flags.value(*row as usize);
                let folded = lists.map(|list| match output.fold {
                    Fold::All => Some(list.iter().all(is_true)),
                    _ => Some(list.iter().any(is_true)),
                });
                std::sync::Arc::new(folded.collect::<BooleanArray>())
            }
        })
    }

    /// Passes rows on; breaks when nobody waits for them.
    pub fn send(&self, rows: RecordBatch) -> ControlFlow<()> {
        match rows.num_rows() == 0 || self.sender.blocking_send(Ok(rows)).is_ok() {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }

    /// Passes the gathered matches on.
    fn flush(&mut self) -> Result<ControlFlow<()>> {
        let rows = self.rows()?;
        Ok(self.send(rows))
    }
}

/// What the search does next.
enum Step {
    /// Tries each node for the variable.
    Node(usize),
    /// Follows edges from the end of the variable that is known to the other.
    Edge { edge: usize, from: usize, to: usize, direction: GraphDirection, is_reversed: bool },
}

/// The order in which the variables are found: from the node with the fewest candidates along the edges that touch what
/// is known.
fn plan(index: &Index, program: &Program, masks: &Masks) -> Vec<Step> {
    let candidates = |node: usize| masks.nodes[node].as_ref().map_or(index.node_count(), BooleanArray::true_count);
    let mut is_known = vec![false; program.nodes.len()];
    let mut open: Vec<usize> = (0..program.edges.len()).collect();
    let mut steps = Vec::new();
    loop {
        let ends = |edge: usize| [program.edges[edge].left, program.edges[edge].right];
        let known_ends = |edge: &usize| ends(*edge).into_iter().filter(|node| is_known[*node]).count();
        // An edge between two known nodes only narrows; the first in the pattern among equals.
        let best = open.iter().copied().enumerate().max_by_key(|(i, edge)| (known_ends(edge), usize::MAX - i));
        match best {
            Some((place, edge)) if known_ends(&edge) > 0 => {
                let variable = &program.edges[edge];
                let is_reversed = !is_known[variable.left];
                let (from, to) =
                    if is_reversed { (variable.right, variable.left) } else { (variable.left, variable.right) };
                let direction = match (variable.direction, is_reversed) {
                    (GraphDirection::Forward, true) => GraphDirection::Backward,
                    (GraphDirection::Backward, true) => GraphDirection::Forward,
                    (direction, _) => direction,
                };
                steps.push(Step::Edge { edge, from, to, direction, is_reversed });
                is_known[to] = true;
                open.remove(place);
            }
            _ => {
                let unknown = (0..program.nodes.len()).filter(|node| !is_known[*node]);
                let Some(node) = unknown.min_by_key(|node| candidates(*node)) else { return steps };
                steps.push(Step::Node(node));
                is_known[node] = true;
            }
        }
    }
}

struct Search<'a, 'p> {
    index: &'a Index,
    program: &'a Program,
    masks: Masks,
    steps: Vec<Step>,
    nodes: Vec<u32>,
    ways: Vec<Way>,
    /// The nodes and edges of each sequence so far, which may not come again.
    visited: Vec<Vec<u32>>,
    used: Vec<Vec<u32>>,
    sink: Sink<'p>,
    failure: Option<datafusion::error::DataFusionError>,
}

/// Passes all matches of the pattern on.
pub(super) fn all_matches(index: &Index, program: &Program, sink: Sink<'_>) -> Result<()> {
    let comes_twice = |sequence: &Vec<usize>| sequence.iter().enumerate().any(|(i, node)| sequence[..i].contains(node));
    if program.cycles == GraphCycles::None && program.sequences.iter().any(comes_twice) {
        // The pattern itself is a cycle.
        return Ok(());
    }
    let masks = Masks::new(index, program)?;
    let steps = plan(index, program, &masks);
    let mut search = Search {
        index,
        program,
        masks,
        steps,
        nodes: vec![NONE; program.nodes.len()],
        ways: vec![Way::default(); program.edges.len()],
        visited: vec![Vec::new(); program.sequences.len()],
        used: vec![Vec::new(); program.sequences.len()],
        sink,
        failure: None,
    };
    if search.next(0).is_continue()
        && let Err(error) = search.sink.flush()
    {
        return Err(error);
    }
    search.failure.map_or(Ok(()), Err)
}

impl Search<'_, '_> {
    /// Finds what is left from a step on. Breaks when the search is to end.
    fn next(&mut self, step: usize) -> ControlFlow<()> {
        self.sink.step()?;
        match self.steps.get(step) {
            None => self.found(),
            Some(Step::Node(node)) => {
                let node = *node;
                for candidate in (0u32..).take(self.index.node_count()) {
                    self.with_node(node, candidate, step + 1)?;
                }
                ControlFlow::Continue(())
            }
            Some(Step::Edge { edge, from, to, direction, is_reversed: _ }) => {
                let (edge, to, direction, start) = (*edge, *to, *direction, self.nodes[*from]);
                match self.program.edges[edge].length {
                    None => self.along(edge, start, 1, 1, to, direction, step),
                    Some((0, most)) => {
                        self.arrive(to, start, step)?;
                        self.along(edge, start, 1, most, to, direction, step)
                    }
                    Some((least, most)) => self.along(edge, start, least, most, to, direction, step),
                }
            }
        }
    }

    /// Takes a node for a variable, where it may be one, and goes on.
    fn with_node(&mut self, variable: usize, node: u32, step: usize) -> ControlFlow<()> {
        if !allows(&self.masks.nodes[variable], node) {
            return ControlFlow::Continue(());
        }
        let tells_nodes = self.program.cycles == GraphCycles::None;
        let sequences = || {
            let all = self.program.sequences.iter().enumerate();
            all.filter(|(_, nodes)| tells_nodes && nodes.contains(&variable)).map(|(i, _)| i)
        };
        if sequences().any(|sequence| self.visited[sequence].contains(&node)) {
            return ControlFlow::Continue(());
        }
        let sequences: Vec<usize> = sequences().collect();
        sequences.iter().for_each(|sequence| self.visited[*sequence].push(node));
        self.nodes[variable] = node;
        deeper(|| self.next(step))?;
        self.nodes[variable] = NONE;
        for sequence in sequences {
            self.visited[sequence].pop();
        }
        ControlFlow::Continue(())
    }

    /// Ends a way at a node.
    fn arrive(&mut self, variable: usize, node: u32, step: usize) -> ControlFlow<()> {
        match self.nodes[variable] {
            NONE => self.with_node(variable, node, step + 1),
            known if known == node => deeper(|| self.next(step + 1)),
            _ => ControlFlow::Continue(()),
        }
    }

    /// Follows edges from a node, `least` to `most` of them.
    #[allow(clippy::too_many_arguments)]
    fn along(
        &mut self,
        edge: usize,
        node: u32,
        least: usize,
        most: usize,
        to: usize,
        direction: GraphDirection,
        step: usize,
    ) -> ControlFlow<()> {
        let index = self.index;
        let sequence = self.program.edges[edge].sequence;
        for (taken, reached) in index.steps(node, direction) {
            self.sink.step()?;
            if !allows(&self.masks.edges[edge], taken) || !self.may_use(sequence, taken) {
                continue;
            }
            self.used[sequence].push(taken);
            self.ways[edge].edges.push(taken);
            let length = self.ways[edge].edges.len();
            if length >= least {
                self.arrive(to, reached, step)?;
            }
            if length < most && allows(&self.masks.inner[edge], reached) && self.may_visit(sequence, reached) {
                self.visited[sequence].push(reached);
                self.ways[edge].inner.push(reached);
                deeper(|| self.along(edge, reached, least, most, to, direction, step))?;
                self.ways[edge].inner.pop();
                self.visited[sequence].pop();
            }
            self.ways[edge].edges.pop();
            self.used[sequence].pop();
        }
        ControlFlow::Continue(())
    }

    fn may_use(&self, sequence: usize, edge: u32) -> bool {
        self.program.cycles != GraphCycles::UniqueEdges || !self.used[sequence].contains(&edge)
    }

    fn may_visit(&self, sequence: usize, node: u32) -> bool {
        self.program.cycles != GraphCycles::None || !self.visited[sequence].contains(&node)
    }

    fn found(&mut self) -> ControlFlow<()> {
        // A way that was walked from its right end is told from its left one.
        let mut ways = self.ways.clone();
        for step in &self.steps {
            if let Step::Edge { edge, is_reversed: true, .. } = step {
                ways[*edge].edges.reverse();
                ways[*edge].inner.reverse();
            }
        }
        self.sink.add(&self.nodes, &ways);
        if !self.sink.is_full() {
            return ControlFlow::Continue(());
        }
        match self.sink.flush() {
            Ok(flow) => flow,
            Err(error) => {
                self.failure = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

/// Goes on one step deeper, with more stack when it runs short: a search is as deep as its pattern has edges.
pub(super) fn deeper<T>(search: impl FnOnce() -> T) -> T {
    const RED_ZONE_BYTES: usize = 128 << 10;
    const SEGMENT_BYTES: usize = 2 << 20;
    stacker::maybe_grow(RED_ZONE_BYTES, SEGMENT_BYTES, search)
}

/// The least and the greatest number of edges that a variable stands for.
pub(super) fn bounds(edge: &EdgeVariable) -> (usize, usize) {
    edge.length.unwrap_or((1, 1))
}
