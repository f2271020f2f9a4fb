//! `top-nested` and `top-hitters`.

use super::relation::{Column, Relation, column, unique_name};
use super::summarize::Summary;
use super::{Binder, Names, Result, Scope, Typed};
use datafusion::common::JoinType;
use datafusion::logical_expr::{Expr as Plan, SortExpr, ident};
use kql::tree::{Expr, NamedExpr, NestedLevel};
use kql::{Diagnostic, Span};

impl<'q> Binder<'q> {
    /// The first values of each level by an aggregate, within each of the values of the level before.
    pub(super) fn top_nested(
        &mut self,
        input: Relation,
        levels: &'q [NestedLevel],
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let input = input.plain(span)?;
        let columns = input.columns.clone();
        let scope = Scope { names: names.clone(), columns: &columns };
        let mut keys: Vec<(String, Typed)> = Vec::new();
        let mut order: Vec<(String, bool)> = Vec::new();
        let mut kept: Option<Relation> = None;
        for level in levels {
            if let Some(others) = &level.others {
                return Err(Diagnostic::unsupported(others.span, "with others").into());
            }
            let of = std::slice::from_ref(&level.of);
            let Some((name, key)) = self.named_expressions(of, &scope, &[], false)?.pop() else { continue };
            let before = keys.len();
            keys.push((unique_name(&name, |n| keys.iter().any(|(k, _)| k == n)), key));
            let mut summary = Summary::over(&input, &columns);
            let aggregate = self.aggregate_item(&level.by, &mut summary, &scope, &[])?.into_iter().next();
            let Some(aggregate) = aggregate else {
                return Err(Diagnostic::semantic(level.by.value.span, "expected an aggregate").into());
            };
            let aggregate_name =
                level.by.names.first().map_or_else(|| format!("aggregated_{name}"), |n| n.text.clone());
            // The values of this level within all those before it.
            let fields: Vec<Column> = keys
                .iter()
                .enumerate()
                .map(|(i, (_, typed))| Column::new(format!("$k{i}"), typed.value_type))
                .collect();
            let grouped: Vec<Plan> =
                keys.iter().zip(&fields).map(|((_, typed), c)| typed.expr.clone().alias(&c.field)).collect();
            let mut outputs: Vec<(String, Typed)> =
                keys.iter().zip(&fields).map(|((name, _), c)| (name.clone(), column(c))).collect();
            outputs.push((aggregate_name.clone(), aggregate.value));
            let here = input.clone().aggregate(grouped, summary.aggregates, span)?.project(outputs, span)?;
            // Only within the values that the levels before have kept, whose aggregates come along.
            let joined = match kept {
                None => here,
                Some(kept) => {
                    let shared =
                        keys[..before].iter().filter_map(|(k, _)| Some((column(kept.find(k)?), column(here.find(k)?))));
                    let shared: Vec<(Typed, Typed)> = shared.collect();
                    let width = kept.columns.len();
                    let joined = self.join_relations(kept, here, shared, JoinType::Inner, span)?;
                    let outputs = joined.outputs().into_iter().enumerate();
                    let new = outputs.filter(|(i, _)| *i < width || *i >= width + before).map(|(_, output)| output);
                    joined.project(new.collect(), span)?
                }
            };
            let last = joined.columns.len() - 1;
            let aggregate_field = joined.columns[last].field.clone();
            order.push((joined.columns[last].name.clone(), level.ascending));
            let limited = match &level.count {
                Some(count) => {
                    let count = self.row_count(count, &scope)?;
                    let group: Vec<String> =
                        keys[..before].iter().filter_map(|(k, _)| joined.find(k).map(|c| c.field.clone())).collect();
                    first_of_each(
                        joined,
                        group,
                        SortExpr::new(ident(aggregate_field), level.ascending, false),
                        count,
                        span,
                    )?
                }
                None => joined,
            };
            kept = Some(limited);
        }
        let Some(kept) = kept else { return Err(Diagnostic::semantic(span, "expected a level").into()) };
        let by = order
            .iter()
            .filter_map(|(name, ascending)| kept.find(name).map(|c| SortExpr::new(ident(&c.field), *ascending, false)));
        let by: Vec<SortExpr> = by.collect();
        kept.sort(by, span)
    }

    /// The values that occur most, or whose weights add up to most; here counted exactly.
    pub(super) fn top_hitters(
        &mut self,
        input: Relation,
        (count, of, by): (&'q Expr, &'q NamedExpr, Option<&'q Expr>),
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let columns = input.columns.clone();
        let scope = Scope { names: names.clone(), columns: &columns };
        let count = self.row_count(count, &scope)?;
        let Some((name, key)) = self.named_expressions(std::slice::from_ref(of), &scope, &[], false)?.pop() else {
            return Err(Diagnostic::semantic(span, "expected a value").into());
        };
        let mut summary = Summary::over(&input, &columns);
        let (weight_name, weight) = match by {
            Some(by) => {
                let typed = self.expression(by, &scope)?;
                let by_name = super::naming::implicit_name(by, &columns).unwrap_or_default();
                (format!("approximate_sum_{by_name}"), self.sum(typed, None, &mut summary, by.span)?)
            }
            None => (format!("approximate_count_{name}"), summary.count_rows()),
        };
        let field = Column::new("$k0", key.value_type);
        let grouped = vec![key.expr.alias(&field.field)];
        let outputs = vec![(name, column(&field)), (weight_name, weight)];
        let counted = input.aggregate(grouped, summary.aggregates, span)?.project(outputs, span)?;
        let by_weight = SortExpr::new(ident(&counted.columns[1].field), false, false);
        counted.sort(vec![by_weight], span)?.limit(count, span)
    }
}

/// The first rows of each group in an order.
fn first_of_each(relation: Relation, group: Vec<String>, by: SortExpr, count: usize, span: Span) -> Result<Relation> {
    // The keys of the group are columns too; as hidden fields they have names of their own.
    let copies: Vec<String> = group.iter().map(|field| super::relation::fresh_field(field)).collect();
    let mut fields: Vec<Plan> = relation.columns.iter().map(|c| ident(&c.field)).collect();
    fields.extend(group.iter().zip(&copies).map(|(field, copy)| ident(field).alias(copy)));
    let builder = super::plan::select(relation.builder, fields, span)?;
    let grouped = Relation { group: copies, ..Relation::new(builder, relation.columns) };
    let limited = grouped.sort(vec![by], span)?.limit(count, span)?;
    limited.plain(span)
}
