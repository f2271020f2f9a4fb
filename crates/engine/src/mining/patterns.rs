//! Sets of values, each of a column of its own, that stand together in many rows.
//!
//! A row is a list of codes, one for each column; a code that is `None` is a value that no pattern has. Patterns are
//! found by depth first, each column in turn. Of patterns that match the same rows only the longest is told: it is
//! *closed*.

use std::collections::BTreeMap;

/// A row: the code of its value in each column.
pub type Row = Vec<Option<u32>>;

/// The values that a pattern sets, by column.
pub type Pattern = Vec<Option<u32>>;

/// More patterns than these are not looked at.
const PATTERNS_MAX: usize = 100_000;

/// There are too many patterns for a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

/// A pattern and the weight of the rows that match it.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub pattern: Pattern,
    pub weight: f64,
}

/// Rows with weights.
pub struct Rows {
    pub rows: Vec<Row>,
    pub weights: Vec<f64>,
    pub columns: usize,
}

fn set(pattern: &Pattern) -> usize {
    pattern.iter().filter(|value| value.is_some()).count()
}

impl Rows {
    pub fn total(&self) -> f64 {
        self.weights.iter().sum()
    }

    fn weight_of(&self, rows: &[usize]) -> f64 {
        rows.iter().map(|row| self.weights[*row]).sum()
    }

    pub fn matches(&self, row: usize, pattern: &Pattern) -> bool {
        pattern.iter().zip(&self.rows[row]).all(|(wanted, value)| wanted.is_none() || wanted == value)
    }

    /// The weight of the rows that match a pattern.
    pub fn weight(&self, pattern: &Pattern) -> f64 {
        (0..self.rows.len()).filter(|row| self.matches(*row, pattern)).map(|row| self.weights[row]).sum()
    }

    /// All closed patterns that rows of at least this weight match, with at most so many values.
    pub fn closed(&self, least: f64, values_max: usize) -> Result<Vec<Found>, TooMany> {
        let mut search = Search { rows: self, least, values_max, found: Vec::new(), seen: 0 };
        let all: Vec<usize> = (0..self.rows.len()).collect();
        // What all rows have in common is a pattern already.
        let common = self.common(&all);
        if (1..=values_max).contains(&set(&common)) && self.total() >= least {
            search.found.push(Found { pattern: common.clone(), weight: self.total() });
        }
        search.extend(&common, &all, 0)?;
        Ok(search.found)
    }

    /// The pattern that all of some rows match, as long as it can be.
    fn common(&self, rows: &[usize]) -> Pattern {
        let Some((first, rest)) = rows.split_first() else { return vec![None; self.columns] };
        let mut pattern = self.rows[*first].clone();
        for row in rest {
            for (kept, value) in pattern.iter_mut().zip(&self.rows[*row]) {
                if kept != value {
                    *kept = None;
                }
            }
        }
        pattern
    }

    /// A few patterns that together say much: each found from a frequent row by dropping and adding values as long as
    /// its score grows, the best first, without those whose rows others have mostly told of. `size_weight`, from 0 to
    /// 1, is how much the number of rows counts against the number of values.
    pub fn clusters(&self, size_weight: f64, seeds: usize) -> Vec<Found> {
        /// A pattern must say something of at least this share of its rows that none before it has.
        const NEW_SHARE: f64 = 0.5;
        /// Fewer rows than this share are no cluster.
        const SHARE_MIN: f64 = 0.01;
        let total = self.total();
        let score = |pattern: &Pattern, weight: f64| {
            let informative = set(pattern) as f64 / self.columns as f64;
            (weight / total).powf(size_weight) * informative.powf(1.0 - size_weight)
        };
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by(|a, b| self.weights[*b].total_cmp(&self.weights[*a]));
        let mut candidates: Vec<(f64, Found)> = Vec::new();
        for seed in order.into_iter().take(seeds.max(1)) {
            let row = &self.rows[seed];
            let mut pattern: Pattern = row.clone();
            let mut best = score(&pattern, self.weight(&pattern));
            loop {
                let turned = (0..self.columns).filter(|column| row[*column].is_some()).map(|column| {
                    let mut other = pattern.clone();
                    other[column] = if other[column].is_some() { None } else { row[column] };
                    let found = score(&other, self.weight(&other));
                    (found, other)
                });
                match turned.max_by(|a, b| a.0.total_cmp(&b.0)) {
                    Some((found, other)) if found > best => (best, pattern) = (found, other),
                    _ => break,
                }
            }
            let weight = self.weight(&pattern);
            let is_new = candidates.iter().all(|(_, known)| known.pattern != pattern);
            if set(&pattern) > 0 && weight >= SHARE_MIN * total && is_new {
                candidates.push((best, Found { pattern, weight }));
            }
        }
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut told = vec![false; self.rows.len()];
        let mut kept = Vec::new();
        for (_, found) in candidates {
            let rows: Vec<usize> = (0..self.rows.len()).filter(|row| self.matches(*row, &found.pattern)).collect();
            let new: f64 = rows.iter().filter(|row| !told[**row]).map(|row| self.weights[*row]).sum();
            if new >= NEW_SHARE * found.weight {
                rows.iter().for_each(|row| told[*row] = true);
                kept.push(found);
            }
        }
        kept
    }
}

struct Search<'r> {
    rows: &'r Rows,
    least: f64,
    values_max: usize,
    found: Vec<Found>,
    seen: usize,
}

impl Search<'_> {
    /// Adds the closed patterns that have `pattern`, which is one, and a further value of a column from `from` on. Each
    /// is found once: from the pattern that it extends by its first further column.
    fn extend(&mut self, pattern: &Pattern, rows: &[usize], from: usize) -> Result<(), TooMany> {
        for column in from..self.rows.columns {
            if pattern[column].is_some() {
                continue;
            }
            let mut by_value: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
            for row in rows {
                if let Some(value) = self.rows.rows[*row][column] {
                    by_value.entry(value).or_default().push(*row);
                }
            }
            for matching in by_value.into_values() {
                let weight = self.rows.weight_of(&matching);
                if weight < self.least {
                    continue;
                }
                self.seen += 1;
                if self.seen > PATTERNS_MAX {
                    return Err(TooMany);
                }
                // All that these rows have in common.
                let mut common = self.rows.common(&matching);
                if (0..column).any(|before| common[before].is_some() && pattern[before].is_none()) {
                    continue;
                }
                if set(&common) < self.values_max {
                    self.found.push(Found { pattern: common.clone(), weight });
                    self.extend(&common, &matching, column + 1)?;
                    continue;
                }
                // No longer pattern is wanted; of a longer one its first values are told.
                let surplus = (0..self.rows.columns).filter(|c| common[*c].is_some()).nth(self.values_max);
                if let Some(surplus) = surplus {
                    common[surplus..].iter_mut().for_each(|value| *value = None);
                }
                if self.found.iter().all(|found| found.pattern != common) {
                    let weight = self.rows.weight(&common);
                    self.found.push(Found { pattern: common, weight });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]

    use super::*;

    fn rows() -> Rows {
        let rows = [[1, 1, 1], [1, 1, 2], [1, 1, 3], [2, 1, 4], [2, 2, 5]];
        let rows: Vec<Row> = rows.iter().map(|row| row.iter().map(|n| Some(*n)).collect()).collect();
        Rows { weights: vec![1.0; rows.len()], rows, columns: 3 }
    }

    #[test]
    fn only_closed_patterns_are_told() {
        let found = rows().closed(2.0, 5).expect("few patterns");
        let patterns: Vec<(Pattern, f64)> = found.into_iter().map(|f| (f.pattern, f.weight)).collect();
        // All rows with a 1 in the first column have one in the second.
        let wanted =
            [(vec![Some(1), Some(1), None], 3.0), (vec![Some(2), None, None], 2.0), (vec![None, Some(1), None], 4.0)];
        assert_eq!(patterns, wanted);
    }

    #[test]
    fn many_columns_that_say_the_same_are_one_pattern() {
        let rows: Vec<Row> =
            (0..20).map(|i| (0..30).map(|c| Some(if c == 29 { i % 2 } else { 0 })).collect()).collect();
        let rows = Rows { weights: vec![1.0; rows.len()], rows, columns: 30 };
        let found = rows.closed(8.0, usize::MAX).expect("few patterns");
        assert_eq!(
            found.iter().map(|f| (set(&f.pattern), f.weight)).collect::<Vec<_>>(),
            [(29, 20.0), (30, 10.0), (30, 10.0)]
        );
        let short = rows.closed(8.0, 5).expect("few patterns");
        assert!(short.iter().all(|f| set(&f.pattern) == 5), "{short:?}");
    }

    #[test]
    fn the_best_cluster_comes_first() {
        let found = rows().clusters(0.5, 25);
        assert_eq!(found[0].pattern, vec![Some(1), Some(1), None]);
    }
}
