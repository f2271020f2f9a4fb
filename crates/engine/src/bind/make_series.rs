//! `make-series`: aggregates of each step of an axis, as arrays.

use super::expression::text;
use super::relation::{Column, Relation, column, wrong_type};
use super::summarize::Summary;
use super::{Binder, Names, Result, Scope, Typed, constant, internal};
use crate::aggregates::{self, Kind};
use crate::functions::dynamic::{BAG_PACK, PACK_ARRAY, PATH};
use crate::functions::{datetime, series};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr as Plan, ident, lit};
use datafusion::scalar::ScalarValue;
use kql::tree::MakeSeries;
use kql::{Diagnostic, Span, Type};

impl<'q> Binder<'q> {
    /// First each step of each group is aggregated, then the steps of each group are put into one array, and the
    /// array is filled up.
    pub(super) fn make_series(
        &mut self,
        input: Relation,
        series: &'q MakeSeries,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let columns = input.columns.clone();
        let scope = Scope { names: names.clone(), columns: &columns };
        let keys = self.named_expressions(&series.by, &scope, &[], false)?;
        let axis_item = std::slice::from_ref(&series.axis);
        let Some((axis_name, axis)) = self.named_expressions(axis_item, &scope, &[], false)?.pop() else {
            return Err(Diagnostic::semantic(span, "the axis is missing").into());
        };
        let axis_at = series.axis.value.span;
        let (axis_type, step_type) = match axis.value_type {
            Type::DateTime => (Type::DateTime, Type::TimeSpan),
            Type::TimeSpan => (Type::TimeSpan, Type::TimeSpan),
            Type::Int | Type::Long => (Type::Long, Type::Long),
            Type::Real => (Type::Real, Type::Real),
            other => return Err(wrong_type(axis_at, "the axis", other, "a number, datetime or timespan")),
        };
        let axis = self.convert(axis, axis_type, axis_at)?;
        let step = self.bound(Some(&series.step), step_type, &scope)?;
        let mut from = self.bound(series.from.as_ref(), axis_type, &scope)?;
        let to = self.bound(series.to.as_ref(), axis_type, &scope)?;
        let (bin, bin_at) = match axis_type {
            Type::DateTime => (&datetime::BIN_DATETIME, &datetime::BIN_AT_DATETIME),
            Type::TimeSpan => (&datetime::BIN_TIMESPAN, &datetime::BIN_AT_TIMESPAN),
            Type::Long => (&datetime::BIN_LONG, &datetime::BIN_AT_LONG),
            _ => (&datetime::BIN_REAL, &datetime::BIN_AT_REAL),
        };
        // The older form begins at the step that holds the start.
        if series.includes_end {
            let floor = bin.call(vec![lit(from), lit(step.clone())]);
            from = constant::evaluate(&floor).map_err(|e| internal(span, &e))?;
        }
        let binned = match from.is_null() {
            true => bin.call(vec![axis.expr.clone(), lit(step.clone())]),
            false => bin_at.call(vec![axis.expr.clone(), lit(step.clone()), lit(from.clone())]),
        };
        let mut inside = axis.expr.clone().is_not_null();
        if !from.is_null() {
            inside = inside.and(axis.expr.clone().gt_eq(lit(from.clone())));
        }
        if !to.is_null() {
            let end = lit(to.clone());
            inside =
                inside.and(if series.includes_end { axis.expr.clone().lt_eq(end) } else { axis.expr.clone().lt(end) });
        }
        let mut summary = Summary::over(&input, &columns);
        let mut points: Vec<(String, Typed, String)> = Vec::new();
        for item in &series.aggregates {
            let given = self.aggregate_item(&item.value, &mut summary, &scope, &keys)?;
            let [output] = <[_; 1]>::try_from(given).map_err(|given| {
                let message = format!("a series is of one value, this aggregate gives {}", given.len());
                Diagnostic::semantic(item.value.value.span, message)
            })?;
            let at = item.value.value.span;
            let default = match &item.default {
                Some(default) => {
                    let typed = self.expression(default, &Scope { names: names.clone(), columns: &[] })?;
                    // A whole number among reals is one of them.
                    let typed = match (output.value.value_type, typed.value_type) {
                        (Type::Real, Type::Int | Type::Long) => self.convert(typed, Type::Real, default.span)?,
                        _ => typed,
                    };
                    let json = self.in_json(typed, default.span)?;
                    match constant::evaluate(&json.expr).map_err(|e| internal(default.span, &e))? {
                        ScalarValue::Utf8View(Some(json)) => json,
                        _ => "null".to_owned(),
                    }
                }
                None => match output.value.value_type {
                    Type::Int | Type::Long => "0".to_owned(),
                    Type::Real => "0.0".to_owned(),
                    Type::String => "\"\"".to_owned(),
                    _ => "null".to_owned(),
                },
            };
            let taken = |n: &str| {
                n == axis_name || keys.iter().any(|(k, _)| k == n) || points.iter().any(|(existing, ..)| existing == n)
            };
            let name = match (item.value.names.first(), output.name) {
                (Some(name), _) => name.text.clone(),
                (None, Some(own)) => super::relation::unique_name(&own, taken),
                (None, None) => (1..).map(|n| format!("Column{n}")).find(|n| !taken(n)).unwrap_or_default(),
            };
            points.push((name, self.in_json(output.value, at)?, default));
        }
        let input = self.with_windows(input, span)?.filter(inside, span)?;
        let key_columns: Vec<Column> =
            keys.iter().enumerate().map(|(i, (_, typed))| Column::new(format!("$k{i}"), typed.value_type)).collect();
        let bin_column = Column::new("$bin", axis_type);
        let mut grouped: Vec<Plan> =
            keys.iter().zip(&key_columns).map(|((_, typed), c)| typed.expr.clone().alias(&c.field)).collect();
        grouped.push(binned.alias(&bin_column.field));
        let input = input.aggregate(grouped, summary.aggregates, span)?;
        let bin_type = if axis_type == Type::Real { Type::Real } else { Type::Long };
        let bin_value = self.in_json(Typed::new(column(&bin_column).expr, bin_type), axis_at)?;
        let values = points.iter().map(|(_, typed, _)| typed.expr.clone());
        let point = BAG_PACK.call(vec![
            text(series::STEP_KEY),
            bin_value.expr,
            text(series::VALUES_KEY),
            PACK_ARRAY.call(values.collect()),
        ]);
        let mut outputs: Vec<(String, Typed)> = key_columns.iter().map(|c| (c.name.clone(), column(c))).collect();
        outputs.push(("$point".to_owned(), Typed::new(point, Type::Dynamic)));
        let steps = input.project(outputs, span)?;
        // The steps of each group, and their arrays.
        let (point_column, step_keys) = steps.columns.split_last().map_or((&bin_column, &[][..]), |(p, k)| (p, k));
        let collected = aggregates::call(
            Kind::List { limit: series::POINTS_MAX },
            vec![ident(&point_column.field)],
            None,
            Vec::new(),
        );
        let group_keys: Vec<Plan> =
            step_keys.iter().zip(&key_columns).map(|(c, key)| ident(&c.field).alias(&key.field)).collect();
        let has_keys = !group_keys.is_empty();
        let all = vec![collected.alias("$points"), count(lit(1i64)).alias("$steps")];
        let mut groups = steps.aggregate(group_keys, all, span)?;
        if !has_keys && !series.is_nonempty {
            groups = groups.filter(ident("$steps").gt(lit(0i64)), span)?;
        }
        let defaults = crate::json::array(points.iter().map(|(_, _, default)| default));
        let arrays = series::MAKE_SERIES.call(vec![
            ident("$points"),
            text(axis_type.name()),
            text(from.to_string()),
            text(to.to_string()),
            text(step.to_string()),
            lit(series.includes_end),
            text(defaults),
        ]);
        let array = |i: usize| Typed::new(PATH.call(vec![arrays.clone(), text(i.to_string())]), Type::Dynamic);
        let mut outputs: Vec<(String, Typed)> =
            keys.iter().zip(&key_columns).map(|((name, _), c)| (name.clone(), column(c))).collect();
        outputs.extend(points.iter().enumerate().map(|(i, (name, ..))| (name.clone(), array(i + 1))));
        outputs.push((axis_name, array(0)));
        groups.project(outputs, span)
    }

    /// A bound or the step, a constant; null where it is not given.
    fn bound(&mut self, expr: Option<&'q kql::tree::Expr>, of: Type, scope: &Scope<'q, '_>) -> Result<ScalarValue> {
        let Some(expr) = expr else { return Ok(crate::types::null_value(of)) };
        let typed = self.expression(expr, &Scope { names: scope.names.clone(), columns: &[] })?;
        let typed = self.coerce(typed, of, expr.span)?;
        let value = constant::evaluate(&typed.expr).map_err(|e| internal(expr.span, &e))?;
        if value.is_null() {
            return Err(Diagnostic::semantic(expr.span, "a bound of a series must not be null").into());
        }
        Ok(value)
    }
}
