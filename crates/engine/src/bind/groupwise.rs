//! Operators that are applied to groups of rows one by one: `mv-apply` and `partition`.
//!
//! A group is told apart by hidden fields that every operator takes into account: an aggregate groups by them too, a
//! limit counts within each, a window is over the rows of one.

use super::naming::implicit_name;
use super::relation::{Column, Relation, column, fresh_field};
use super::{Binder, Meaning, Names, Result, Typed, internal, plan};
use crate::types::null_value;
use datafusion::logical_expr::{Expr as Plan, ident, lit};
use datafusion::scalar::ScalarValue;
use kql::tree::{MvExpand, Name, Operator, Pipeline};
use kql::{Diagnostic, Span, Type};

/// `partition by x { ... }` runs no more queries than these, which is the bound of the original.
const PARTITIONS_MAX: usize = 64;

impl<'q> Binder<'q> {
    /// Expands each row and applies the operators to its elements. The columns of the row stay, but for those that
    /// are expanded in place.
    pub(super) fn mv_apply(
        &mut self,
        input: Relation,
        expand: &'q MvExpand,
        body: &'q [Operator],
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let outer = input.columns.clone();
        let (outer_group, outer_carried) = (input.group.clone(), input.carried.clone());
        if input.order.is_empty() {
            self.needs_single_stream = true;
        }
        let numbered = input.numbered(span)?;
        let Some(row) = numbered.row.clone() else {
            return Err(Diagnostic::semantic(span, "the rows could not be told apart").into());
        };
        // A copy of each column, since operators may drop or replace it.
        let copies: Vec<Column> = outer.iter().map(|c| Column { field: fresh_field(&c.name), ..c.clone() }).collect();
        let mut fields: Vec<Plan> = numbered.columns.iter().map(|c| ident(&c.field)).collect();
        fields.extend(outer_group.iter().map(ident));
        fields.push(ident(&row));
        fields.extend(outer_carried.iter().map(|c| ident(&c.field)));
        fields.extend(outer.iter().zip(&copies).map(|(c, copy)| ident(&c.field).alias(&copy.field)));
        let builder = plan::select(numbered.builder, fields, span)?;
        let mut group = outer_group.clone();
        group.push(row);
        let mut carried = outer_carried.clone();
        carried.extend(copies.iter().cloned());
        let order = numbered.order;
        let grouped = Relation {
            order,
            is_serialized: true,
            row: None,
            group,
            carried,
            ..Relation::new(builder, numbered.columns)
        };
        let expanded = self.mv_expand(grouped, expand, span, names)?;
        let applied = self.operators(expanded, body, names)?;
        let replaced: Vec<String> = expand
            .columns
            .iter()
            .filter_map(|item| match item.value.names.first() {
                Some(name) => Some(name.text.clone()),
                None => implicit_name(&item.value.value, &outer),
            })
            .collect();
        // The outer columns first: as the operators left them, else as they were.
        let mut columns: Vec<Column> = Vec::new();
        for (c, copy) in outer.iter().zip(copies) {
            match applied.find(&c.name) {
                Some(left) => columns.push(left.clone()),
                None if replaced.contains(&c.name) => {}
                None => columns.push(copy),
            }
        }
        for c in &applied.columns {
            if !columns.iter().any(|existing| existing.name == c.name) {
                columns.push(c.clone());
            }
        }
        let applied = if applied.is_serialized { applied.numbered(span)? } else { applied };
        let flat = Relation { columns, group: outer_group, carried: outer_carried, row: None, ..applied };
        if flat.is_serialized {
            return flat.numbered(span);
        }
        flat.trimmed(span)
    }

    /// Applies the operators to the rows of each value of the key.
    pub(super) fn partition(
        &mut self,
        input: Relation,
        by: &'q Name,
        body: &'q [Operator],
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let mut key = column(input.require(by)?);
        if key.value_type == Type::Dynamic {
            key = self.convert(key, Type::String, by.span)?;
        }
        let field = fresh_field("$partition");
        let hidden = input.hidden();
        let mut fields: Vec<Plan> = input.columns.iter().map(|c| ident(&c.field)).collect();
        fields.extend(input.group.iter().map(ident));
        fields.push(key.expr.alias(&field));
        fields.extend(hidden.iter().skip(input.group.len()).map(ident));
        let (outer_group, outer_carried) = (input.group.clone(), input.carried.clone());
        let mut group = input.group.clone();
        group.push(field);
        let builder = plan::select(input.builder, fields, span)?;
        let applied = self.operators(Relation { builder, group, ..input }, body, names)?;
        // Each group has an order of its own, the whole has none.
        let flat = Relation { order: Vec::new(), is_serialized: false, row: None, ..applied };
        Relation { group: outer_group, carried: outer_carried, ..flat }.trimmed(span)
    }

    /// Runs a query of its own for each value of the key.
    pub(super) fn partition_each(
        &mut self,
        input: Relation,
        by: &'q Name,
        body: &'q Pipeline,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let key = input.require(by)?.clone();
        let distinct = input.plain(span)?.aggregate(vec![ident(&key.field).alias("value")], Vec::new(), span)?;
        let distinct = Relation { columns: vec![Column::new("value", key.column_type)], ..distinct };
        let found = self.subquery(distinct, by.span)?;
        let mut values: Vec<ScalarValue> = Vec::new();
        for batch in &found.batches {
            for row in 0..batch.num_rows() {
                values.push(ScalarValue::try_from_array(batch.column(0), row).map_err(|e| internal(by.span, &e))?);
            }
        }
        if values.len() > PARTITIONS_MAX {
            let message = format!("'{}' has {} values, more than {PARTITIONS_MAX}", by.text, values.len());
            return Err(Diagnostic::semantic(by.span, message)
                .with_hint("Operators in parentheses have no such bound: partition by x ( ... ).")
                .into());
        }
        let is_empty = values.is_empty();
        if is_empty {
            values.push(null_value(key.column_type));
        }
        let mut legs: Vec<(String, Relation)> = Vec::with_capacity(values.len());
        for value in values {
            let value = Typed::new(lit(value), key.column_type);
            let rows = self.pipeline(body, &names.with(&by.text, Meaning::Value(value)))?;
            legs.push((String::new(), rows));
        }
        let united = self.unite(legs, None, true, span)?;
        if is_empty { united.limit(0, span) } else { Ok(united) }
    }
}
