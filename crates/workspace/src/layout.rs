//! A table's columns, as queries and as files know them.
//!
//! Columns can be shown in another order than that in which they were added, but what files know of them goes by the
//! latter: it never changes, however the table is altered.

use arrow::datatypes::SchemaRef;
use engine::Column;
use engine::types::arrow_schema;
use kql::Type;
use std::collections::HashSet;

/// A table's columns. Lists have one item for each, in the order in which they are shown.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub columns: Vec<Column>,
    /// By the names that files know them by. Those know no difference between upper and lower case: where a table has
    /// `Name` and `name`, the one that was added later is `name$2`.
    pub stored: Vec<Column>,
    /// The number of datetime columns that were added before.
    pub places: Vec<usize>,
    /// The place of each in the order in which they were added.
    pub added: Vec<usize>,
    /// The engine's schema.
    pub schema: SchemaRef,
}

impl Layout {
    /// The layout of columns that were added in the order in which they are shown.
    pub fn new(columns: Vec<Column>) -> Layout {
        let added = (0..columns.len()).collect();
        Layout::ordered(columns, added)
    }

    /// The layout of columns whose names, in the order in which they were added, are `names`. Columns that are not
    /// among these were added after them.
    pub fn of_names(columns: Vec<Column>, names: &[String]) -> Layout {
        let place = |column: &Column| names.iter().position(|name| *name == column.name).unwrap_or(usize::MAX);
        let mut order: Vec<usize> = (0..columns.len()).collect();
        order.sort_by_key(|at| place(&columns[*at]));
        let mut added = vec![0; columns.len()];
        order.into_iter().enumerate().for_each(|(place, at)| added[at] = place);
        Layout::ordered(columns, added)
    }

    fn ordered(columns: Vec<Column>, added: Vec<usize>) -> Layout {
        let mut order: Vec<usize> = (0..columns.len()).collect();
        order.sort_by_key(|at| added[*at]);
        let mut stored = columns.clone();
        let mut places = vec![0; columns.len()];
        let mut taken: HashSet<String> = HashSet::new();
        let mut datetimes = 0;
        for at in order {
            let column = &columns[at];
            let mut name = column.name.clone();
            let mut count = 1;
            while !taken.insert(name.to_lowercase()) {
                count += 1;
                name = format!("{}${count}", column.name);
            }
            stored[at] = Column::new(name, column.column_type);
            places[at] = datetimes;
            datetimes += usize::from(column.column_type == Type::DateTime);
        }
        Layout { schema: arrow_schema(&columns), columns, stored, places, added }
    }

    /// The same columns and perhaps more, shown in the order of `columns`.
    pub fn shown_as(&self, columns: Vec<Column>) -> Layout {
        Layout::of_names(columns, &self.names_as_added())
    }

    /// The names of the columns in the order in which they were added.
    pub fn names_as_added(&self) -> Vec<String> {
        self.in_order(|at| self.columns[at].name.clone())
    }

    /// The columns as files know them, in the order in which they were added.
    pub fn stored_as_added(&self) -> Vec<Column> {
        self.in_order(|at| self.stored[at].clone())
    }

    fn in_order<T>(&self, of: impl Fn(usize) -> T) -> Vec<T> {
        let mut order: Vec<usize> = (0..self.columns.len()).collect();
        order.sort_by_key(|at| self.added[*at]);
        order.into_iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(columns: &[Column]) -> Vec<&str> {
        columns.iter().map(|c| c.name.as_str()).collect()
    }

    #[test]
    fn names_that_differ_in_case_alone_are_stored_apart() {
        let columns = ["Name", "name", "NAME$2", "NAME"].map(|name| Column::new(name, Type::String));
        assert_eq!(names(&Layout::new(columns.to_vec()).stored), ["Name", "name$2", "NAME$2$2", "NAME$3"]);
    }

    #[test]
    fn what_files_know_of_a_column_stays_when_it_is_shown_elsewhere() {
        let of = |name: &str, column_type| Column::new(name, column_type);
        let first = Layout::new(vec![of("T", Type::DateTime), of("x", Type::Long), of("U", Type::DateTime)]);
        let shown = vec![of("X", Type::Long), of("U", Type::DateTime), of("x", Type::Long), of("T", Type::DateTime)];
        let later = first.shown_as(shown);
        assert_eq!(names(&later.stored), ["X$2", "U", "x", "T"]);
        assert_eq!(later.places, [2, 1, 1, 0]);
        assert_eq!(later.names_as_added(), ["T", "x", "U", "X"]);
        assert_eq!(names(&later.stored_as_added()), ["T", "x", "U", "X$2"]);
    }
}
