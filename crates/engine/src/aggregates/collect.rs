//! `make_list` and `make_set`: the values of each group as an array.

use super::Groups;
use crate::json;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringViewArray, StringViewBuilder};
use datafusion::common::Result;
use datafusion::logical_expr::EmitTo;
use std::collections::HashSet;
use std::sync::Arc;

/// Values are JSON texts; a null is passed over (the binder turns a dynamic null into the text `null`).
pub(super) struct Collect {
    distinct: bool,
    limit: usize,
    groups: Vec<Collected>,
    bytes: usize,
}

#[derive(Default)]
struct Collected {
    items: Vec<Arc<str>>,
    seen: HashSet<Arc<str>>,
}

impl Collect {
    pub(super) fn new(distinct: bool, limit: usize) -> Collect {
        Collect { distinct, limit, groups: Vec::new(), bytes: 0 }
    }

    fn add(&mut self, group: usize, value: &str) {
        let collected = &mut self.groups[group];
        if collected.items.len() >= self.limit || (self.distinct && collected.seen.contains(value)) {
            return;
        }
        let item: Arc<str> = Arc::from(value);
        self.bytes += value.len() + 2 * size_of::<Arc<str>>();
        if self.distinct {
            collected.seen.insert(item.clone());
        }
        collected.items.push(item);
    }
}

impl Groups for Collect {
    fn resize(&mut self, groups: usize) {
        self.groups.resize_with(groups, Collected::default);
    }

    fn update(&mut self, values: &[ArrayRef], group: &[usize], counts: &dyn Fn(usize) -> bool) -> Result<()> {
        let values = values[0].as_string_view();
        for (row, g) in group.iter().enumerate() {
            if counts(row) && values.is_valid(row) {
                let value = values.value(row);
                // The elements of an array are collected one by one.
                match json::kind(value) {
                    json::Kind::Array => {
                        for item in json::tree(value).as_array().into_iter().flatten() {
                            self.add(*g, &json::compact(&item.to_string()));
                        }
                    }
                    _ => self.add(*g, value),
                }
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], group: &[usize]) -> Result<()> {
        let lists = states[0].as_list::<i32>();
        for (row, g) in group.iter().enumerate().filter(|(row, _)| lists.is_valid(*row)) {
            let items = lists.value(row);
            for value in items.as_string_view().iter().flatten() {
                self.add(*g, value);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let groups = emit.take_needed(&mut self.groups);
        let arrays = groups.iter().map(|g| Some(json::array(&g.items)));
        Ok(Arc::new(arrays.collect::<StringViewArray>()))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        for group in emit.take_needed(&mut self.groups) {
            group.items.iter().for_each(|item| lists.values().append_value(item));
            lists.append(true);
        }
        Ok(vec![Arc::new(lists.finish())])
    }

    fn size(&self) -> usize {
        self.bytes + self.groups.capacity() * size_of::<Collected>()
    }
}
