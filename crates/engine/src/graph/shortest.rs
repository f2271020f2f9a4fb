//! The search for the shortest paths between two nodes.

use super::search::{Mask, Masks, Sink, Way, allows, bounds};
use super::{EdgeVariable, Index, Program};
use crate::formula::holds;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::filter_record_batch;
use datafusion::common::Result;
use kql::tree::{GraphCycles, GraphDirection, ShortestPaths};
use std::collections::HashMap;
use std::ops::ControlFlow;

/// Passes on the shortest ways of the pattern's one edge variable from each node that may be its left end to each that
/// may be its right one.
pub(super) fn shortest_paths(index: &Index, program: &Program, which: ShortestPaths, sink: Sink<'_>) -> Result<()> {
    let masks = Masks::new(index, program)?;
    let [edge] = program.edges.as_slice() else { return Ok(()) };
    let mut search = Search { index, program, edge, which, masks, sink };
    let (least, _) = bounds(edge);
    let by_layers = least <= 1 && program.condition.is_none();
    for source in (0u32..).take(index.node_count()) {
        if !allows(&search.masks.nodes[edge.left], source) {
            continue;
        }
        let flow = if by_layers { search.by_layers(source)? } else { search.by_length(source)? };
        if flow.is_break() {
            return Ok(());
        }
    }
    let rest = search.sink.rows()?;
    let _ = search.sink.send(rest);
    Ok(())
}

/// How a node is reached first.
struct First {
    distance: usize,
    /// The last edges of the ways that lead there, with the nodes before them.
    before: Vec<(u32, u32)>,
}

struct Search<'a, 'p> {
    index: &'a Index,
    program: &'a Program,
    edge: &'a EdgeVariable,
    which: ShortestPaths,
    masks: Masks,
    sink: Sink<'p>,
}

impl Search<'_, '_> {
    fn direction(&self) -> GraphDirection {
        self.edge.direction
    }

    fn target_mask(&self) -> &Mask {
        &self.masks.nodes[self.edge.right]
    }

    /// Whether a path may end at a node.
    fn may_end(&self, source: u32, node: u32) -> bool {
        let is_cycle = source == node;
        let is_wanted = if self.edge.left == self.edge.right { is_cycle } else { true };
        is_wanted && !(is_cycle && self.program.cycles == GraphCycles::None) && allows(self.target_mask(), node)
    }

    fn add(&mut self, source: u32, target: u32, way: Way) {
        let mut nodes = vec![source; self.program.nodes.len()];
        nodes[self.edge.right] = target;
        self.sink.add(&nodes, &[way]);
    }

    fn passed_on(&mut self) -> Result<ControlFlow<()>> {
        if !self.sink.is_full() {
            return Ok(ControlFlow::Continue(()));
        }
        let rows = self.sink.rows()?;
        Ok(self.sink.send(rows))
    }

    /// Breadth first: each node is reached first by the shortest paths, which never come by a node twice.
    fn by_layers(&mut self, source: u32) -> Result<ControlFlow<()>> {
        let (least, most) = bounds(self.edge);
        let mut ended: Vec<u32> = Vec::new();
        if least == 0 && self.may_end(source, source) {
            self.add(source, source, Way::default());
            ended.push(source);
        }
        let mut reached: HashMap<u32, First> = HashMap::new();
        let mut layer = vec![source];
        for distance in 1..=most {
            let mut next: Vec<u32> = Vec::new();
            for node in &layer {
                if distance > 1 && (*node == source || !allows(&self.masks.inner[0], *node)) {
                    continue;
                }
                for (edge, target) in self.index.steps(*node, self.direction()) {
                    if self.sink.step().is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    if !allows(&self.masks.edges[0], edge) {
                        continue;
                    }
                    let first = reached.entry(target).or_insert_with(|| {
                        next.push(target);
                        First { distance, before: Vec::new() }
                    });
                    if first.distance == distance {
                        first.before.push((edge, *node));
                    }
                }
            }
            for target in &next {
                if !self.may_end(source, *target) || ended.contains(target) {
                    continue;
                }
                for way in self.ways_back(source, *target, &reached) {
                    self.add(source, *target, way);
                    if self.passed_on()?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
            if next.is_empty() {
                break;
            }
            layer = next;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The shortest ways to a node, told from their beginning.
    fn ways_back(&self, source: u32, target: u32, reached: &HashMap<u32, First>) -> Vec<Way> {
        let mut found = Vec::new();
        // Ways from their end, each with the node that it has come back to.
        let mut open: Vec<(u32, usize, Way)> = Vec::new();
        let Some(first) = reached.get(&target) else { return found };
        open.push((target, first.distance, Way::default()));
        while let Some((node, left, way)) = open.pop() {
            if left == 0 {
                let Way { mut edges, mut inner } = way;
                edges.reverse();
                inner.reverse();
                found.push(Way { edges, inner });
                if self.which == ShortestPaths::Any {
                    return found;
                }
                continue;
            }
            let before = reached.get(&node).map(|first| first.before.as_slice()).unwrap_or_default();
            for (edge, previous) in before {
                let mut longer = way.clone();
                longer.edges.push(*edge);
                if left > 1 {
                    longer.inner.push(*previous);
                }
                debug_assert!(left > 1 || *previous == source);
                open.push((*previous, left - 1, longer));
            }
        }
        found
    }

    /// By trying one length after the other, where paths must have several edges or meet a condition of their own: the
    /// shortest that do may come by a node twice.
    fn by_length(&mut self, source: u32) -> Result<ControlFlow<()>> {
        let (least, most) = bounds(self.edge);
        let mut lengths: HashMap<u32, usize> = HashMap::new();
        for length in least..=most {
            let mut found: Vec<(u32, Way)> = Vec::new();
            let mut way = Way::default();
            if self.exactly(source, source, length, &mut way, &mut found).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            for (target, way) in found {
                let is_wanted = match (lengths.get(&target), self.which) {
                    (None, _) => true,
                    (Some(first), ShortestPaths::All) => *first == length,
                    (Some(_), ShortestPaths::Any) => false,
                };
                if !is_wanted {
                    continue;
                }
                let gathered = self.sink.rows()?;
                if self.sink.send(gathered).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                self.add(source, target, way);
                let rows = self.sink.rows()?;
                let met = self.meeting_the_condition(rows)?;
                if met.num_rows() > 0 {
                    lengths.insert(target, length);
                    if self.sink.send(met).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn meeting_the_condition(&self, rows: RecordBatch) -> Result<RecordBatch> {
        match &self.program.condition {
            Some(condition) => Ok(filter_record_batch(&rows, &holds(condition, &rows)?)?),
            None => Ok(rows),
        }
    }

    /// The ways of so many more edges from a node.
    fn exactly(
        &mut self,
        source: u32,
        node: u32,
        left: usize,
        way: &mut Way,
        found: &mut Vec<(u32, Way)>,
    ) -> ControlFlow<()> {
        if left == 0 {
            if self.may_end(source, node) {
                found.push((node, way.clone()));
            }
            return ControlFlow::Continue(());
        }
        let index = self.index;
        for (edge, reached) in index.steps(node, self.direction()) {
            self.sink.step()?;
            let is_new = match self.program.cycles {
                GraphCycles::All => true,
                GraphCycles::UniqueEdges => !way.edges.contains(&edge),
                GraphCycles::None => reached != source && !way.inner.contains(&reached),
            };
            if !is_new || !allows(&self.masks.edges[0], edge) {
                continue;
            }
            if left > 1 && !allows(&self.masks.inner[0], reached) {
                continue;
            }
            way.edges.push(edge);
            if left > 1 {
                way.inner.push(reached);
            }
            self.exactly(source, reached, left - 1, way, found)?;
            if left > 1 {
                way.inner.pop();
            }
            way.edges.pop();
        }
        ControlFlow::Continue(())
    }
}
