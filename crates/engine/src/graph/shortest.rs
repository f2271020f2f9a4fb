//! The search for the shortest paths between two nodes.

use super::search::{BATCH_ROWS, Mask, Masks, Sink, Way, allows, bounds, deeper};
use super::{EdgeVariable, Index, Program};
use crate::formula::holds;
use datafusion::arrow::array::BooleanArray;
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
    let mut search = Search { index, program, edge, which, masks, sink, has_walk: false };
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

/// What a node reaches.
struct Reached {
    first: HashMap<u32, First>,
    /// By their distance.
    nodes: Vec<u32>,
}

struct Search<'a, 'p> {
    index: &'a Index,
    program: &'a Program,
    edge: &'a EdgeVariable,
    which: ShortestPaths,
    masks: Masks,
    sink: Sink<'p>,
    /// Whether there was a walk of the length that was tried last.
    has_walk: bool,
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

    /// Breadth first: each node is reached first by the shortest paths, which come by no node twice.
    fn by_layers(&mut self, source: u32) -> Result<ControlFlow<()>> {
        let (least, most) = bounds(self.edge);
        let ends_at_once = least == 0 && self.may_end(source, source);
        if ends_at_once {
            self.add(source, source, Way::default());
        }
        // Where edges have no direction, the edge that leads away leads back, too; it may come but once.
        let is_undirected = self.direction() == GraphDirection::Either;
        let cycles_apart = is_undirected && self.program.cycles == GraphCycles::UniqueEdges;
        let Some(reached) = self.reach(source, None, most) else { return Ok(ControlFlow::Break(())) };
        for target in &reached.nodes {
            let is_apart = *target == source && (ends_at_once || cycles_apart);
            if is_apart || !self.may_end(source, *target) {
                continue;
            }
            if self.add_ways(source, None, source, *target, &reached)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        if cycles_apart && !ends_at_once && self.may_end(source, source) {
            return self.add_cycles(source, most);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The nodes that a node reaches by at most so many edges, without one of the edges; `None` when nobody waits for
    /// them any more.
    fn reach(&mut self, from: u32, without: Option<u32>, most: usize) -> Option<Reached> {
        let mut reached = Reached { first: HashMap::new(), nodes: Vec::new() };
        let mut layer = vec![from];
        for distance in 1..=most {
            let mut next: Vec<u32> = Vec::new();
            for node in &layer {
                if distance > 1 && (*node == from || !allows(&self.masks.inner[0], *node)) {
                    continue;
                }
                for (edge, target) in self.index.steps(*node, self.direction()) {
                    if self.sink.step().is_break() {
                        return None;
                    }
                    if without == Some(edge) || !allows(&self.masks.edges[0], edge) {
                        continue;
                    }
                    let first = reached.first.entry(target).or_insert_with(|| {
                        next.push(target);
                        First { distance, before: Vec::new() }
                    });
                    let adds = first.before.is_empty() || self.which == ShortestPaths::All;
                    if first.distance == distance && adds {
                        first.before.push((edge, *node));
                    }
                }
            }
            reached.nodes.extend(&next);
            if next.is_empty() {
                break;
            }
            layer = next;
        }
        Some(reached)
    }

    /// The shortest ways from a node back to itself that use no edge twice.
    fn add_cycles(&mut self, source: u32, most: usize) -> Result<ControlFlow<()>> {
        let steps: Vec<(u32, u32)> = self.index.steps(source, self.direction()).collect();
        let mut shortest = usize::MAX;
        // The first edges of the shortest ways, with the node that each leads to and what that one reaches.
        let mut found: Vec<(u32, u32, Option<Reached>)> = Vec::new();
        for (edge, node) in
            steps.into_iter().filter(|(edge, _)| allows(&self.masks.edges[0], *edge)).collect::<Vec<_>>()
        {
            let (length, reached) = if node == source {
                (1, None)
            } else if most > 1 && allows(&self.masks.inner[0], node) {
                let Some(reached) = self.reach(node, Some(edge), (most - 1).min(shortest)) else {
                    return Ok(ControlFlow::Break(()));
                };
                let Some(first) = reached.first.get(&source) else { continue };
                (1 + first.distance, Some(reached))
            } else {
                continue;
            };
            if length < shortest {
                found.clear();
                shortest = length;
            }
            if length == shortest && (found.is_empty() || self.which == ShortestPaths::All) {
                found.push((edge, node, reached));
            }
        }
        for (edge, node, reached) in found {
            let flow = match reached {
                None => {
                    self.add(source, source, Way { edges: vec![edge], inner: Vec::new() });
                    self.passed_on()?
                }
                Some(reached) => self.add_ways(source, Some((edge, node)), node, source, &reached)?,
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Adds the shortest ways from the node `from` to the target, behind a first edge and its node where there is one.
    fn add_ways(
        &mut self,
        source: u32,
        before: Option<(u32, u32)>,
        from: u32,
        target: u32,
        reached: &Reached,
    ) -> Result<ControlFlow<()>> {
        // Ways from their end, each with the node that it has come back to.
        let mut open: Vec<(u32, usize, Way)> = Vec::new();
        open.extend(reached.first.get(&target).map(|first| (target, first.distance, Way::default())));
        while let Some((node, left, way)) = open.pop() {
            if self.sink.step().is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if left > 0 {
                let last = reached.first.get(&node).map(|first| first.before.as_slice()).unwrap_or_default();
                for (edge, previous) in last {
                    let mut longer = way.clone();
                    longer.edges.push(*edge);
                    if left > 1 {
                        longer.inner.push(*previous);
                    }
                    debug_assert!(left > 1 || *previous == from);
                    open.push((*previous, left - 1, longer));
                }
                continue;
            }
            let Way { mut edges, mut inner } = way;
            if let Some((edge, node)) = before {
                edges.push(edge);
                inner.push(node);
            }
            edges.reverse();
            inner.reverse();
            self.add(source, target, Way { edges, inner });
            if self.passed_on()?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if self.which == ShortestPaths::Any {
                break;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// By trying one length after the other, where paths must have several edges or meet a condition of their own: the
    /// shortest that do may come by a node twice.
    fn by_length(&mut self, source: u32) -> Result<ControlFlow<()>> {
        let (least, most) = bounds(self.edge);
        let mut lengths: HashMap<u32, usize> = HashMap::new();
        for length in least..=most {
            let mut found: Vec<(u32, Way)> = Vec::new();
            let mut way = Way::default();
            self.has_walk = false;
            if self.exactly(source, source, length, &mut way, &mut found).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if !self.has_walk {
                // Nor is there a longer one.
                break;
            }
            for ways in found.chunks(BATCH_ROWS) {
                ways.iter().for_each(|(target, way)| self.add(source, *target, way.clone()));
                if self.sink.step().is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                let rows = self.sink.rows()?;
                let met = match &self.program.condition {
                    Some(condition) => holds(condition, &rows)?,
                    None => BooleanArray::from(vec![true; rows.num_rows()]),
                };
                let wanted = ways.iter().zip(met.values()).map(|((target, _), met)| {
                    let is_shortest = match (lengths.get(target), self.which) {
                        (None, _) => true,
                        (Some(first), ShortestPaths::All) => *first == length,
                        (Some(_), ShortestPaths::Any) => false,
                    };
                    if met && is_shortest {
                        lengths.insert(*target, length);
                    }
                    Some(met && is_shortest)
                });
                let wanted: BooleanArray = wanted.collect();
                if self.sink.send(filter_record_batch(&rows, &wanted)?).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
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
            self.has_walk = true;
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
            deeper(|| self.exactly(source, reached, left - 1, way, found))?;
            if left > 1 {
                way.inner.pop();
            }
            way.edges.pop();
        }
        ControlFlow::Continue(())
    }
}
