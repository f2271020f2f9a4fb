//! `mv-expand`: one row for each element of dynamic arrays and bags.

use super::naming::implicit_name;
use super::relation::{Relation, column, unique_name, wrong_type};
use super::{Binder, Names, Result, Scope, Typed, internal};
use crate::functions::dynamic::{INDICES, elements};
use datafusion::common::{Column as PlanColumn, UnnestOptions};
use datafusion::logical_expr::{SortExpr, ident};
use kql::tree::{ExprKind, MvExpand};
use kql::{Diagnostic, Span, Type};

/// The legacy spelling `mvexpand` keeps so many rows of each input row.
const LEGACY_ROWS_MAX: usize = 128;

/// The column that numbers the elements of each row while they are being expanded.
const POSITION: &str = "$position";

impl<'q> Binder<'q> {
    pub(super) fn mv_expand(
        &mut self,
        input: Relation,
        expand: &'q MvExpand,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        // Rows in a known order keep it, with the elements of each row in theirs.
        let input = if input.is_serialized { input.numbered(span)? } else { input };
        let columns = input.columns.clone();
        let scope = Scope { names: names.clone(), columns: &columns };
        let limit = match &expand.limit {
            Some(limit) => {
                let count = self.constant_long(limit, "the limit", &scope)?;
                usize::try_from(count)
                    .map_err(|_| Diagnostic::semantic(limit.span, "the limit must not be negative"))?
            }
            None if expand.is_legacy => LEGACY_ROWS_MAX,
            None => usize::MAX,
        };
        let mut outputs = input.outputs();
        let mut expanded: Vec<(String, Type)> = Vec::new();
        let mut documents = Vec::new();
        for item in &expand.columns {
            let at = item.value.value.span;
            let typed = self.expression(&item.value.value, &scope)?;
            if typed.value_type != Type::Dynamic {
                return Err(wrong_type(at, "the expanded value", typed.value_type, "dynamic"));
            }
            let name = match (item.value.names.first(), &item.value.value.kind) {
                (Some(name), _) => name.text.clone(),
                (None, ExprKind::Name(name)) => name.clone(),
                // A conversion of a column takes its place, as the column itself would.
                (None, _) => implicit_name(&item.value.value, &columns)
                    .unwrap_or_else(|| unique_name("Column1", |n| outputs.iter().any(|(existing, _)| existing == n))),
            };
            documents.push(typed.expr.clone());
            let list = Typed::new(elements(typed.expr, expand.bag_as_array, limit), Type::Dynamic);
            match outputs.iter_mut().find(|(existing, _)| *existing == name) {
                Some(output) => output.1 = list,
                None => outputs.push((name.clone(), list)),
            }
            expanded.push((name, item.to_type.unwrap_or(Type::Dynamic)));
        }
        if let Some(index) = &expand.item_index {
            let indices = elements(INDICES.call(documents.clone()), false, limit);
            outputs.push((index.text.clone(), Typed::new(indices, Type::Dynamic)));
            expanded.push((index.text.clone(), Type::Long));
        }
        if input.row.is_some() {
            let positions = elements(INDICES.call(documents), false, limit);
            outputs.push((POSITION.to_owned(), Typed::new(positions, Type::Dynamic)));
            expanded.push((POSITION.to_owned(), Type::Long));
        }
        let listed = input.project(outputs, span)?;
        let unnested: Vec<PlanColumn> = expanded
            .iter()
            .filter_map(|(name, _)| listed.find(name).map(|c| PlanColumn::from_name(&c.field)))
            .collect();
        let builder = listed
            .builder
            .unnest_columns_with_options(unnested, UnnestOptions::new().with_preserve_nulls(true))
            .map_err(|e| internal(span, &e))?;
        let rows = Relation { builder, ..listed };
        let mut outputs: Vec<(String, Typed)> = Vec::new();
        for c in &rows.columns {
            let target = expanded.iter().find(|(name, _)| *name == c.name).map(|(_, to)| *to);
            let typed = match target {
                Some(to) if to != Type::Dynamic => {
                    self.convert(Typed::new(ident(&c.field), Type::Dynamic), to, span)?
                }
                _ => column(c),
            };
            outputs.push((c.name.clone(), typed));
        }
        let expanded = rows.project(outputs, span)?;
        let Some(position) = expanded.find(POSITION).cloned() else { return Ok(expanded) };
        let mut order = expanded.order.clone();
        order.push(SortExpr::new(ident(&position.field), true, true));
        let columns = expanded.columns.iter().filter(|c| **c != position).cloned().collect();
        Relation { columns, order, row: None, ..expanded }.numbered(span)
    }
}
