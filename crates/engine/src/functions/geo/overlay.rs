//! What shapes have in common, or are together.
//!
//! Their edges are cut where they meet, so that pieces touch at their ends alone. Of each piece it is known how often
//! the loops of either source wind around what is to its left and to its right; a region of the answer is bounded by the
//! pieces that have it on one side only.

use super::sphere::{Point, angle, arc_box, closest, crosses, crossing, is_left, meets_box, normalized, sum, turn};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use s2::cellid::CellID;
use std::collections::{BTreeMap, HashMap, HashSet};

/// More edges than these are refused: the work grows with their square.
const EDGES_MAX: usize = 20_000;

/// Edges that cross each other at more places than these are refused.
const NODES_MAX: usize = 200_000;

/// Points that are closer than this are one: less than a tenth of a micrometer.
const SAME: f64 = 1e-14;

/// How often the loops of both sources wind around a place.
pub type Windings = [i32; 2];

/// A line or a loop of one source. A loop has what it encloses to its left; its first corner is not repeated.
pub struct Path {
    pub points: Vec<Point>,
    pub is_loop: bool,
    pub source: usize,
}

/// A part of edges that meets others at its ends alone.
struct Piece {
    /// How often loops of each source run from the first node to the second, less how often they run back.
    loops: Windings,
    /// The sources that have an edge here.
    is_in: [bool; 2],
    /// The first edge that runs from the first node to the second, and the first one that runs back.
    edges: [Option<usize>; 2],
}

/// The edges of some shapes, cut where they meet.
pub struct Overlay {
    nodes: Vec<Point>,
    /// By their nodes, of which the first is the lower.
    pieces: BTreeMap<(usize, usize), Piece>,
    /// Where each edge begins.
    starts: Vec<Point>,
}

/// A piece in the direction of an answer.
#[derive(Clone, Copy)]
struct Step {
    from: usize,
    to: usize,
    edge: usize,
}

impl Overlay {
    /// Fails for more edges than can be compared.
    pub fn new(paths: &[Path]) -> Result<Overlay> {
        let mut nodes = Nodes::default();
        let mut edges: Vec<Edge> = Vec::new();
        for path in paths {
            let corners: Vec<usize> = path.points.iter().map(|p| nodes.exactly(*p)).collect();
            let last = if path.is_loop { corners.len() } else { corners.len().saturating_sub(1) };
            for i in 0..last {
                let (from, to) = (corners[i], corners[(i + 1) % corners.len()]);
                if from != to {
                    edges.push(Edge { from, to, cuts: HashSet::new(), is_loop: path.is_loop, source: path.source });
                }
            }
        }
        if edges.len() > EDGES_MAX {
            let message = format!("shapes of more than {EDGES_MAX} edges cannot be joined or intersected");
            return Err(DataFusionError::Execution(message));
        }
        cut(&mut edges, &mut nodes)?;
        let mut pieces = BTreeMap::new();
        for (i, edge) in edges.iter().enumerate() {
            let stops = edge.stops(&nodes.points);
            for pair in stops.windows(2) {
                let (from, to) = (pair[0], pair[1]);
                let is_forward = from < to;
                let piece = pieces.entry((from.min(to), from.max(to))).or_insert(Piece {
                    loops: [0; 2],
                    is_in: [false; 2],
                    edges: [None; 2],
                });
                piece.is_in[edge.source] = true;
                piece.edges[usize::from(!is_forward)].get_or_insert(i);
                if edge.is_loop {
                    piece.loops[edge.source] += if is_forward { 1 } else { -1 };
                }
            }
        }
        let starts = edges.iter().map(|edge| nodes.points[edge.from]).collect();
        Ok(Overlay { nodes: nodes.points, pieces, starts })
    }

    /// The windings left and right of each piece, where those of one place are known.
    fn sides(&self, reference: Point, windings: Windings) -> HashMap<(usize, usize), (Windings, Windings)> {
        let mut known: HashMap<(usize, usize), (Windings, Windings)> = HashMap::new();
        let mut around: HashMap<usize, Vec<(usize, usize)>> = HashMap::new();
        for key in self.pieces.keys() {
            around.entry(key.0).or_default().push(*key);
            around.entry(key.1).or_default().push(*key);
        }
        for (key, piece) in &self.pieces {
            if known.contains_key(key) {
                continue;
            }
            let mut sides = self.look(*key, piece, reference, windings);
            known.insert(*key, sides);
            // Where nothing else meets, the next piece has the same on its sides.
            for start in [key.1, key.0] {
                let (mut at, mut node) = (*key, start);
                while let Some([a, b]) = around.get(&node).map(Vec::as_slice) {
                    let next = if *a == at { *b } else { *a };
                    if known.contains_key(&next) {
                        break;
                    }
                    let turns_around = (at.0 == next.0) || (at.1 == next.1);
                    sides = known[&at];
                    if turns_around {
                        sides = (sides.1, sides.0);
                    }
                    known.insert(next, sides);
                    node = if next.0 == node { next.1 } else { next.0 };
                    at = next;
                }
            }
        }
        known
    }

    /// Counts the loops between a piece and a place.
    fn look(&self, key: (usize, usize), piece: &Piece, reference: Point, windings: Windings) -> (Windings, Windings) {
        let (a, b) = (self.nodes[key.0], self.nodes[key.1]);
        let middle = normalized(sum(a, b)).unwrap_or(a);
        let mut seen = windings;
        for (other, crossed) in &self.pieces {
            let (c, d) = (self.nodes[other.0], self.nodes[other.1]);
            if *other == key || !crosses(middle, reference, c, d) {
                continue;
            }
            let sign = if is_left(c, d, reference) { 1 } else { -1 };
            seen = [seen[0] - sign * crossed.loops[0], seen[1] - sign * crossed.loops[1]];
        }
        let step = piece.loops;
        if is_left(a, b, reference) {
            (seen, [seen[0] - step[0], seen[1] - step[1]])
        } else {
            ([seen[0] + step[0], seen[1] + step[1]], seen)
        }
    }

    /// The loops around what is inside, with it to their left, in the order of the edges they come from.
    fn boundary(
        &self,
        sides: &HashMap<(usize, usize), (Windings, Windings)>,
        is_inside: fn(Windings) -> bool,
    ) -> Vec<Step> {
        let step = |(key, piece): (&(usize, usize), &Piece)| {
            let (left, right) = sides.get(key)?;
            let edge = |forward: usize| piece.edges[forward].or(piece.edges[1 - forward]).unwrap_or_default();
            match (is_inside(*left), is_inside(*right)) {
                (true, false) => Some(Step { from: key.0, to: key.1, edge: edge(0) }),
                (false, true) => Some(Step { from: key.1, to: key.0, edge: edge(1) }),
                _ => None,
            }
        };
        self.pieces.iter().filter_map(step).collect()
    }

    /// The regions that are inside. `windings` are those of the place `reference`, which is on no edge.
    pub fn regions(&self, reference: Point, windings: Windings, is_inside: fn(Windings) -> bool) -> Vec<Vec<Point>> {
        let steps = self.boundary(&self.sides(reference, windings), is_inside);
        self.rings(&steps)
    }

    /// What two regions have in common: where their boundaries cross or touch, points and lines as well.
    pub fn common(&self, reference: Point, windings: Windings) -> Common {
        let steps = self.boundary(&self.sides(reference, windings), |[a, b]| a > 0 && b > 0);
        let mut covered: HashSet<usize> = steps.iter().flat_map(|step| [step.from, step.to]).collect();
        let is_kept: HashSet<(usize, usize)> = steps.iter().map(|s| (s.from.min(s.to), s.from.max(s.to))).collect();
        let shared = |(key, piece): (&(usize, usize), &Piece)| {
            (piece.is_in == [true; 2] && !is_kept.contains(key)).then(|| forward(*key, piece))
        };
        let lines: Vec<Step> = self.pieces.iter().filter_map(shared).collect();
        covered.extend(lines.iter().flat_map(|step| [step.from, step.to]));
        Common { points: self.touching(&covered), lines: self.walks(lines), regions: self.rings(&steps) }
    }

    /// What lines, the first source, have in common with regions, the second.
    pub fn within(&self, reference: Point, windings: Windings) -> Common {
        let sides = self.sides(reference, windings);
        let is_within = |(key, piece): (&(usize, usize), &Piece)| {
            let (left, right) = sides.get(key)?;
            (piece.is_in[0] && (left[1] > 0 || right[1] > 0)).then(|| forward(*key, piece))
        };
        self.common_lines(self.pieces.iter().filter_map(is_within).collect())
    }

    /// What lines have in common.
    pub fn shared(&self) -> Common {
        let is_shared =
            |(key, piece): (&(usize, usize), &Piece)| (piece.is_in == [true; 2]).then(|| forward(*key, piece));
        self.common_lines(self.pieces.iter().filter_map(is_shared).collect())
    }

    fn common_lines(&self, lines: Vec<Step>) -> Common {
        let covered: HashSet<usize> = lines.iter().flat_map(|step| [step.from, step.to]).collect();
        Common { points: self.touching(&covered), lines: self.walks(lines), regions: Vec::new() }
    }

    /// All lines together; a part that several share comes once.
    pub fn lines(&self) -> Vec<Vec<Point>> {
        self.walks(self.pieces.iter().map(|(key, piece)| forward(*key, piece)).collect())
    }

    /// The nodes that both sources have, but those already covered.
    fn touching(&self, covered: &HashSet<usize>) -> Vec<Point> {
        let mut sources: BTreeMap<usize, [bool; 2]> = BTreeMap::new();
        for (key, piece) in &self.pieces {
            for node in [key.0, key.1] {
                let found = sources.entry(node).or_default();
                *found = [found[0] || piece.is_in[0], found[1] || piece.is_in[1]];
            }
        }
        let is_touching = |(node, found): &(usize, [bool; 2])| *found == [true; 2] && !covered.contains(node);
        sources.into_iter().filter(is_touching).map(|(node, _)| self.nodes[node]).collect()
    }

    /// Joins the steps around regions, turning left where regions touch.
    fn rings(&self, steps: &[Step]) -> Vec<Vec<Point>> {
        let mut from: HashMap<usize, Vec<usize>> = HashMap::new();
        steps.iter().enumerate().for_each(|(i, step)| from.entry(step.from).or_default().push(i));
        let mut is_used = vec![false; steps.len()];
        let mut rings: Vec<Vec<Step>> = Vec::new();
        let mut starts: Vec<usize> = (0..steps.len()).collect();
        starts.sort_by_cached_key(|i| [steps[*i].from, steps[*i].to].map(|node| cell_number(self.nodes[node])));
        for first in starts {
            let mut ring: Vec<Step> = Vec::new();
            let mut at = first;
            while !is_used[at] {
                is_used[at] = true;
                ring.push(steps[at]);
                let Step { from: before, to: here, .. } = steps[at];
                let ways = from.get(&here).into_iter().flatten().copied().filter(|way| !is_used[*way]);
                let bearing = |way: &usize| turn(self.nodes[here], self.nodes[before], self.nodes[steps[*way].to]);
                match ways.min_by(|a, b| bearing(a).total_cmp(&bearing(b))) {
                    Some(way) => at = way,
                    None => break,
                }
            }
            if ring.len() >= 3 {
                rings.push(canonical(ring));
            }
        }
        rings.sort_by_key(|ring| ring[0].edge);
        rings.iter().map(|ring| ring.iter().map(|step| self.nodes[step.from]).collect()).collect()
    }

    /// Joins steps into lines that are as long as can be.
    fn walks(&self, mut steps: Vec<Step>) -> Vec<Vec<Point>> {
        steps.sort_by(|a, b| a.edge.cmp(&b.edge).then_with(|| self.along(a).total_cmp(&self.along(b))));
        let mut from: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut balance: HashMap<usize, i64> = HashMap::new();
        for (i, step) in steps.iter().enumerate() {
            from.entry(step.from).or_default().push(i);
            *balance.entry(step.from).or_default() += 1;
            *balance.entry(step.to).or_default() -= 1;
        }
        let mut is_used = vec![false; steps.len()];
        let mut lines = Vec::new();
        // Lines that begin somewhere come before those that are closed.
        for wants_start in [true, false] {
            for first in 0..steps.len() {
                let is_start = balance.get(&steps[first].from).is_some_and(|balance| *balance > 0);
                if is_used[first] || (wants_start && !is_start) {
                    continue;
                }
                *balance.entry(steps[first].from).or_default() -= 1;
                let mut line = vec![self.nodes[steps[first].from]];
                let mut at = first;
                loop {
                    is_used[at] = true;
                    line.push(self.nodes[steps[at].to]);
                    match from.get(&steps[at].to).into_iter().flatten().find(|way| !is_used[**way]) {
                        Some(way) => at = *way,
                        None => break,
                    }
                }
                *balance.entry(steps[at].to).or_default() += 1;
                lines.push(line);
            }
        }
        lines
    }

    /// How far along its edge a step begins.
    fn along(&self, step: &Step) -> f64 {
        angle(self.starts[step.edge], self.nodes[step.from])
    }
}

/// What two shapes have in common.
pub struct Common {
    pub points: Vec<Point>,
    pub lines: Vec<Vec<Point>>,
    pub regions: Vec<Vec<Point>>,
}

fn forward(key: (usize, usize), piece: &Piece) -> Step {
    match piece.edges {
        [Some(there), Some(back)] if back < there => Step { from: key.1, to: key.0, edge: back },
        [Some(there), _] => Step { from: key.0, to: key.1, edge: there },
        [None, back] => Step { from: key.1, to: key.0, edge: back.unwrap_or_default() },
    }
}

/// Where S2's curve over the Earth comes by a point. S2 sorts nodes by it.
fn cell_number([x, y, z]: Point) -> u64 {
    CellID::from(s2::point::Point::from_coords(x, y, z)).0
}

/// A ring that begins behind the last step of its last edge, as S2's builder has it. Where an edge was cut and other
/// edges come between its steps, the first of its steps count.
fn canonical(mut ring: Vec<Step>) -> Vec<Step> {
    let mut last = 0;
    let mut has_gap = false;
    for i in 1..ring.len() {
        let order = ring[i].edge.cmp(&ring[last].edge);
        if order.is_lt() {
            has_gap = true;
        } else if order.is_gt() || !has_gap {
            last = i;
            has_gap = false;
        }
    }
    let count = ring.len();
    ring.rotate_left((last + 1) % count);
    ring
}

struct Edge {
    from: usize,
    to: usize,
    /// The nodes at which others meet it, besides its ends.
    cuts: HashSet<usize>,
    is_loop: bool,
    source: usize,
}

impl Edge {
    /// Its nodes from one end to the other.
    fn stops(&self, nodes: &[Point]) -> Vec<usize> {
        let mut stops: Vec<usize> = self.cuts.iter().copied().collect();
        let start = nodes[self.from];
        stops.sort_by(|a, b| angle(start, nodes[*a]).total_cmp(&angle(start, nodes[*b])));
        stops.insert(0, self.from);
        stops.push(self.to);
        stops.dedup();
        stops
    }

    fn has(&self, node: usize) -> bool {
        self.from == node || self.to == node || self.cuts.contains(&node)
    }
}

#[derive(Default)]
struct Nodes {
    points: Vec<Point>,
    by_bits: HashMap<[u64; 3], usize>,
    /// The crossings in each small cube of space.
    by_cube: HashMap<[i64; 3], Vec<usize>>,
}

impl Nodes {
    /// The node at exactly this point.
    fn exactly(&mut self, p: Point) -> usize {
        // The sum makes 0 of -0.
        let bits = p.map(|x| (x + 0.0).to_bits());
        *self.by_bits.entry(bits).or_insert_with(|| {
            self.points.push(p);
            self.points.len() - 1
        })
    }
}

impl Nodes {
    /// The crossing at this place, or so near that it is the same.
    fn near(&mut self, p: Point) -> usize {
        /// Far larger than what is the same place, so that few places are near the side of a cube.
        const CUBE: f64 = 1e-11;
        let cube = |by: Point| [0, 1, 2].map(|i| ((p[i] + by[i] * SAME) / CUBE).floor() as i64);
        let corners = [-1.0, 1.0]
            .into_iter()
            .flat_map(|x| [-1.0, 1.0].into_iter().flat_map(move |y| [[x, y, -1.0], [x, y, 1.0]]));
        let cubes: HashSet<[i64; 3]> = corners.map(cube).collect();
        let known = cubes.iter().filter_map(|cube| self.by_cube.get(cube)).flatten().copied();
        if let Some(node) = known.into_iter().find(|node| angle(self.points[*node], p) < SAME) {
            return node;
        }
        let node = self.exactly(p);
        cubes.into_iter().for_each(|cube| self.by_cube.entry(cube).or_default().push(node));
        node
    }
}

/// Cuts edges where they cross, and where an end of one is on another.
fn cut(edges: &mut [Edge], nodes: &mut Nodes) -> Result<()> {
    let reaches: Vec<(Point, Point)> =
        edges.iter().map(|edge| arc_box(nodes.points[edge.from], nodes.points[edge.to])).collect();
    let mut order: Vec<usize> = (0..edges.len()).collect();
    order.sort_by(|a, b| reaches[*a].0[0].total_cmp(&reaches[*b].0[0]));
    let mut open: Vec<usize> = Vec::new();
    for i in order {
        open.retain(|j| reaches[*j].1[0] >= reaches[i].0[0]);
        for &j in &open {
            if meets_box(reaches[i], reaches[j]) {
                let (first, second) = (i.min(j), i.max(j));
                let (head, tail) = edges.split_at_mut(second);
                cut_pair(&mut head[first], &mut tail[0], nodes);
            }
        }
        if nodes.points.len() > NODES_MAX {
            let message = format!("the edges of the shapes meet at more than {NODES_MAX} places");
            return Err(DataFusionError::Execution(message));
        }
        open.push(i);
    }
    Ok(())
}

fn cut_pair(x: &mut Edge, y: &mut Edge, nodes: &mut Nodes) {
    fn touch(edge: &mut Edge, node: usize, points: &[Point]) -> bool {
        let (a, b, p) = (points[edge.from], points[edge.to], points[node]);
        let is_on = !edge.has(node) && angle(p, closest(p, a, b)) < SAME;
        if is_on {
            edge.cuts.insert(node);
        }
        is_on || edge.has(node)
    }
    let points = &nodes.points;
    let touches = [touch(x, y.from, points), touch(x, y.to, points), touch(y, x.from, points), touch(y, x.to, points)];
    if touches.contains(&true) {
        return;
    }
    let (a, b, c, d) = (points[x.from], points[x.to], points[y.from], points[y.to]);
    if !crosses(a, b, c, d) {
        return;
    }
    let Some(p) = crossing(a, b, c, d) else { return };
    // Three edges may cross at one place.
    let node = nodes.near(p);
    for edge in [x, y] {
        if !edge.has(node) {
            edge.cuts.insert(node);
        }
    }
}
