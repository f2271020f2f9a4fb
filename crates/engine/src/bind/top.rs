//! `top-nested` and `top-hitters`.

use super::relation::{Column, Relation, column, null, unique_name};
use super::summarize::Summary;
use super::{Binder, Names, Result, Scope, Typed};
use datafusion::common::JoinType;
use datafusion::logical_expr::{Expr as Plan, SortExpr, ident, lit};
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
        let mut input = input.plain(span)?;
        if levels.iter().any(|level| level.others.is_some()) {
            input = self.settled(input, span)?;
        }
        let columns = input.columns.clone();
        let scope = Scope { names: names.clone(), columns: &columns };
        let mut keys: Vec<(String, Typed)> = Vec::new();
        let mut order: Vec<(String, bool)> = Vec::new();
        let mut kept: Option<Relation> = None;
        // What each level has kept.
        let mut stages: Vec<Relation> = Vec::new();
        for level in levels {
            let of = std::slice::from_ref(&level.of);
            let Some((name, key)) = self.named_expressions(of, &scope, &[], false)?.pop() else { continue };
            let before = keys.len();
            keys.push((unique_name(&name, |n| keys.iter().any(|(k, _)| k == n)), key));
            let mut summary = Summary::over(&input, &columns);
            let aggregate = self.aggregate_item(&level.by, &mut summary, &scope, &[])?.into_iter().next();
            let Some(aggregate) = aggregate else {
                return Err(Diagnostic::semantic(level.by.value.span, "expected an aggregate").into());
            };
            let aggregate_name = aggregate_name(level, &name);
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
            stages.push(limited.clone());
            kept = Some(limited);
        }
        let Some(kept) = kept else { return Err(Diagnostic::semantic(span, "expected a level").into()) };
        let by = order
            .iter()
            .filter_map(|(name, ascending)| kept.find(name).map(|c| SortExpr::new(ident(&c.field), *ascending, false)));
        let by: Vec<SortExpr> = by.collect();
        let sorted = kept.sort(by, span)?;
        if levels.iter().all(|level| level.others.is_none()) {
            return Ok(sorted);
        }
        let mut legs = vec![(String::new(), sorted)];
        for from in (0..levels.len()).rev() {
            if levels[from..].iter().any(|level| level.others.is_some()) {
                legs.push((String::new(), self.nested_others(&input, levels, &keys, &stages, from, &scope, span)?));
            }
        }
        // The rows are computed more than once, and must come out the same.
        self.needs_single_stream = true;
        self.unite(legs, None, true, span)
    }

    /// A row for each of the values that the levels before `from` have kept, of the rows that level `from` has not: a
    /// level that says what others are called has that and their aggregate, any other has neither.
    #[allow(clippy::too_many_arguments)]
    fn nested_others(
        &mut self,
        input: &Relation,
        levels: &'q [NestedLevel],
        keys: &[(String, Typed)],
        stages: &[Relation],
        from: usize,
        scope: &Scope<'q, '_>,
        span: Span,
    ) -> Result<Relation> {
        let is_taken = |name: &str| input.columns.iter().any(|c| c.name.starts_with(name));
        let prefix = unique_name("$n", is_taken);
        let name = |i: usize| format!("{prefix}_{i}");
        let mut outputs = input.outputs();
        outputs.extend(keys[..=from].iter().enumerate().map(|(i, (_, key))| (name(i), key.clone())));
        let rows = input.clone().project(outputs, span)?;
        let pairs = |rows: &Relation, stage: &Relation, count: usize| -> Vec<(Typed, Typed)> {
            let pair = |i: usize| Some((column(rows.find(&name(i))?), column(stage.find(&keys[i].0)?)));
            (0..count).filter_map(pair).collect()
        };
        let cut = pairs(&rows, &stages[from], from + 1);
        let mut rest = self.join_relations(rows, stages[from].clone(), cut, JoinType::LeftAnti, span)?;
        if let Some(before) = from.checked_sub(1).map(|i| stages[i].clone()) {
            let within = pairs(&rest, &before, from);
            rest = self.join_relations(rest, before, within, JoinType::LeftSemi, span)?;
        }
        // The aggregates of the levels that name others, over those rows.
        let columns = rest.columns.clone();
        let over_rest = Scope { names: scope.names.clone(), columns: &columns };
        let mut summary = Summary::over(&rest, &columns);
        let mut shown: Vec<(String, Typed)> = Vec::new();
        for (level, (key_name, key)) in levels.iter().zip(keys).skip(from) {
            let aggregate = self.aggregate_item(&level.by, &mut summary, &over_rest, &[])?.into_iter().next();
            let Some(aggregate) = aggregate else { continue };
            let (value, aggregate) = match &level.others {
                Some(others) => {
                    let constants = Scope { names: scope.names.clone(), columns: &[] };
                    let typed = self.expression(others, &constants)?;
                    (self.convert(typed, key.value_type, others.span)?, aggregate.value)
                }
                None => (null(key.value_type), null(aggregate.value.value_type)),
            };
            shown.push((key_name.clone(), value));
            shown.push((aggregate_name(level, key_name), aggregate));
        }
        let fields: Vec<Column> = (0..from).map(|i| Column::new(format!("$k{i}"), keys[i].1.value_type)).collect();
        let grouped: Vec<Plan> = fields
            .iter()
            .enumerate()
            .filter_map(|(i, c)| Some(ident(&rest.find(&name(i))?.field).alias(&c.field)))
            .collect();
        let mut outputs: Vec<(String, Typed)> =
            fields.iter().enumerate().map(|(i, c)| (keys[i].0.clone(), column(c))).collect();
        outputs.push(("$rows".to_owned(), summary.count_rows()));
        outputs.extend(shown);
        let rest = rest.aggregate(grouped, summary.aggregates, span)?.project(outputs, span)?;
        // Where there are no groups, no rows make one row too.
        let rest = match rest.find("$rows").map(|c| c.field.clone()) {
            Some(rows) => rest.filter(ident(rows).gt(lit(0i64)), span)?,
            None => rest,
        };
        let Some(before) = from.checked_sub(1).map(|i| stages[i].clone()) else {
            let outputs = rest.outputs().into_iter().filter(|(name, _)| name != "$rows").collect();
            return rest.project(outputs, span);
        };
        // The aggregates of the levels before come along.
        let shared: Vec<(Typed, Typed)> =
            keys[..from].iter().filter_map(|(k, _)| Some((column(before.find(k)?), column(rest.find(k)?)))).collect();
        let width = before.columns.len();
        let joined = self.join_relations(before, rest, shared, JoinType::Inner, span)?;
        // Of the right side, the keys and the number of rows stand first.
        let is_new = |i: usize| i < width || i > width + from;
        let outputs =
            joined.outputs().into_iter().enumerate().filter(|(i, _)| is_new(*i)).map(|(_, output)| output).collect();
        joined.project(outputs, span)
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

fn aggregate_name(level: &NestedLevel, key: &str) -> String {
    level.by.names.first().map_or_else(|| format!("aggregated_{key}"), |name| name.text.clone())
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
