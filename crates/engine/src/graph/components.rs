//! The parts of a graph that hang together.

use super::Index;

const NONE: u32 = u32::MAX;

/// The number of the component of each node, counted in the order of their first nodes.
pub(super) fn components(index: &Index, is_strong: bool) -> Vec<i64> {
    let roots = if is_strong { strong_roots(index) } else { weak_roots(index) };
    let mut numbers: Vec<i64> = vec![-1; roots.len()];
    let mut next = 0;
    for root in &roots {
        let number = &mut numbers[*root as usize];
        if *number < 0 {
            *number = next;
            next += 1;
        }
    }
    roots.into_iter().map(|root| numbers[root as usize]).collect()
}

/// A node that stands for the component of each node, whatever the directions of the edges. By union and find.
fn weak_roots(index: &Index) -> Vec<u32> {
    let mut parents: Vec<u32> = (0u32..).take(index.node_count()).collect();
    fn root(parents: &mut [u32], mut node: u32) -> u32 {
        while parents[node as usize] != node {
            parents[node as usize] = parents[parents[node as usize] as usize];
            node = parents[node as usize];
        }
        node
    }
    for edge in &index.outgoing.edges {
        let source = root(&mut parents, index.sources[*edge as usize]);
        let target = root(&mut parents, index.targets[*edge as usize]);
        parents[source.max(target) as usize] = source.min(target);
    }
    (0u32..).take(index.node_count()).map(|node| root(&mut parents, node)).collect()
}

/// A node that stands for the component of each node, all of whose nodes reach each other. By Tarjan's algorithm, with
/// a stack of its own in place of recursion.
fn strong_roots(index: &Index) -> Vec<u32> {
    let count = index.node_count();
    let mut order: Vec<u32> = vec![NONE; count];
    let mut lowest: Vec<u32> = vec![0; count];
    let mut roots: Vec<u32> = vec![NONE; count];
    let mut open: Vec<u32> = Vec::new();
    let mut next = 0u32;
    // The nodes on the way, each with the number of its edges that have been followed.
    let mut way: Vec<(u32, usize)> = Vec::new();
    for start in (0u32..).take(count) {
        if order[start as usize] != NONE {
            continue;
        }
        way.push((start, 0));
        while let Some((node, followed)) = way.last_mut() {
            let node = *node;
            if *followed == 0 {
                order[node as usize] = next;
                lowest[node as usize] = next;
                next += 1;
                open.push(node);
            }
            let edges = index.outgoing.of(node);
            let deeper = edges[*followed..].iter().position(|edge| {
                let target = index.targets[*edge as usize] as usize;
                if order[target] != NONE && roots[target] == NONE {
                    lowest[node as usize] = lowest[node as usize].min(order[target]);
                }
                order[target] == NONE
            });
            match deeper {
                Some(place) => {
                    let target = index.targets[edges[*followed + place] as usize];
                    *followed += place + 1;
                    way.push((target, 0));
                }
                None => {
                    way.pop();
                    if let Some((before, _)) = way.last() {
                        lowest[*before as usize] = lowest[*before as usize].min(lowest[node as usize]);
                    }
                    if lowest[node as usize] == order[node as usize] {
                        while let Some(member) = open.pop() {
                            roots[member as usize] = node;
                            if member == node {
                                break;
                            }
                        }
                    }
                }
            }
        }
    }
    roots
}
