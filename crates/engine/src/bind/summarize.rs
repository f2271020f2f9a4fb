//! `summarize`: grouping, the aggregates and the names of their columns.

use super::expression::text;
use super::findings::Findings;
use super::naming::implicit_name;
use super::operators::exact;
use super::relation::{Column, Relation, column, null, unique_name, wrong_type};
use super::{Binder, Names, Result, Scope, Typed, internal};
use crate::aggregates::{self, Kind, field_name};
use crate::functions::{decimal, dynamic, math};
use crate::types::{DECIMAL_PRECISION, DECIMAL_SCALE, arrow_type};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::functions::expr_fn::{coalesce, get_field};
use datafusion::functions_aggregate::bit_and_or_xor::{bit_and_udaf, bit_or_udaf, bit_xor_udaf};
use datafusion::functions_aggregate::covariance::{covar_pop_udaf, covar_samp_udaf};
use datafusion::functions_aggregate::stddev::{stddev_pop_udaf, stddev_udaf};
use datafusion::functions_aggregate::variance::{var_pop_udaf, var_samp_udaf};
use datafusion::functions_aggregate::{average::avg_udaf, count::count_udaf, min_max, sum::sum_udaf};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{AggregateUDF, Expr as Plan, cast, ident, lit, not};
use datafusion::scalar::ScalarValue;
use kql::tree::{Argument, Expr, ExprKind, Name, NamedExpr};
use kql::{Diagnostic, Span, Type};
use std::collections::HashMap;
use std::sync::Arc;

/// `make_list` and `make_set` collect at most this many elements, as in the original.
const COLLECTED_MAX: usize = 1 << 20;

pub(super) const KNOWN: &[&str] = &[
    "count",
    "cnt",
    "countif",
    "sum",
    "sumif",
    "min",
    "minif",
    "max",
    "maxif",
    "avg",
    "avgif",
    "dcount",
    "dcountif",
    "count_distinct",
    "count_distinctif",
    "arg_max",
    "arg_min",
    "make_list",
    "makelist",
    "make_list_if",
    "make_set",
    "makeset",
    "make_set_if",
    "percentile",
    "percentiles",
    "take_any",
    "any",
    "take_anyif",
    "anyif",
    "binary_all_and",
    "binary_all_or",
    "binary_all_xor",
    "covariance",
    "covariancep",
    "covarianceif",
    "covariancepif",
    "make_bag",
    "make_bag_if",
    "make_dictionary",
    "make_list_with_nulls",
    "percentiles_array",
    "percentilew",
    "percentilesw",
    "percentilesw_array",
    "argmax",
    "argmin",
    "stdev",
    "stdevif",
    "stdevp",
    "stdevpif",
    "variance",
    "varianceif",
    "variancep",
    "variancepif",
    "buildschema",
    "hll",
    "hll_if",
    "hll_merge",
    "merge_tdigest",
    "tdigest",
    "tdigest_merge",
];

pub(super) fn is_aggregate(name: &str) -> bool {
    KNOWN.contains(&name)
}

/// One column that an aggregate gives: the name that it has by itself, and how it is read from the aggregated row.
pub(super) struct Output {
    pub name: Option<String>,
    pub value: Typed,
}

/// The state of one `summarize`: what is grouped by and computed below the operator's own expressions.
pub(super) struct Summary<'c> {
    columns: &'c [Column],
    pub aggregates: Vec<Plan>,
    order: Vec<datafusion::logical_expr::SortExpr>,
}

impl<'c> Summary<'c> {
    /// Nothing computed yet, over the columns of `input`.
    pub(super) fn over(input: &Relation, columns: &'c [Column]) -> Summary<'c> {
        Summary { columns, aggregates: Vec::new(), order: input.order.clone() }
    }

    /// The number of rows.
    pub(super) fn count_rows(&mut self) -> Typed {
        Typed::new(self.add(native(count_udaf(), lit(1i64), None)), Type::Long)
    }

    /// Takes over the aggregates of another summary for the rows of which `condition` holds; `value`, which reads
    /// them, in terms of this one.
    pub(super) fn adopt(&mut self, other: Summary<'_>, value: Typed, condition: &Plan) -> Typed {
        let mut renamed: HashMap<String, String> = HashMap::new();
        for (i, aggregate) in other.aggregates.into_iter().enumerate() {
            let conditioned = match aggregate {
                Plan::Alias(alias) => match *alias.expr {
                    Plan::AggregateFunction(mut call) => {
                        let both = match call.params.filter.take() {
                            Some(filter) => filter.and(condition.clone()),
                            None => condition.clone(),
                        };
                        call.params.filter = Some(Box::new(both));
                        Plan::AggregateFunction(call)
                    }
                    other => other,
                },
                other => other,
            };
            let place = format!("$a{}", self.aggregates.len());
            self.aggregates.push(conditioned.alias(&place));
            renamed.insert(format!("$a{i}"), place);
        }
        let rename = |expr: Plan| {
            Ok(match &expr {
                Plan::Column(c) => match renamed.get(&c.name) {
                    Some(place) => Transformed::yes(ident(place)),
                    None => Transformed::no(expr),
                },
                _ => Transformed::no(expr),
            })
        };
        let expr = value.expr.clone().transform(rename).map_or(value.expr, |transformed| transformed.data);
        Typed::new(expr, value.value_type)
    }

    /// Adds an aggregate, once however often it is asked for; the expression that reads its result.
    pub(super) fn add(&mut self, aggregate: Plan) -> Plan {
        let same = |a: &Plan| matches!(a, Plan::Alias(alias) if *alias.expr == aggregate);
        if let Some(i) = self.aggregates.iter().position(same) {
            return ident(format!("$a{i}"));
        }
        let name = format!("$a{}", self.aggregates.len());
        self.aggregates.push(aggregate.alias(&name));
        ident(&name)
    }
}

impl<'q> Binder<'q> {
    pub(super) fn summarize(
        &mut self,
        input: Relation,
        aggregates: &'q [NamedExpr],
        by: &'q [NamedExpr],
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let columns = input.columns.clone();
        let scope = Scope { names: names.clone(), columns: &columns };
        let mut findings = Findings::default();
        let keys = self.named_expressions(by, &scope, &[], false);
        let mut keys = findings.note(keys)?.unwrap_or_default();
        // A column that is not known, since there are no rows, may be grouped by as well.
        for (_, key) in keys.iter_mut().filter(|(_, key)| self.is_open && key.value_type == Type::Dynamic) {
            if key.is_constant() {
                *key = null(Type::String);
            }
        }
        for ((_, key), item) in keys.iter().zip(by) {
            if key.value_type == Type::Dynamic {
                let diagnostic = Diagnostic::semantic(item.value.span, "rows cannot be grouped by a dynamic value");
                return Err(diagnostic.with_hint("Convert it first, with tostring(...).").into());
            }
        }
        let mut summary = Summary::over(&input, &columns);
        let mut outputs: Vec<(String, Typed)> = Vec::new();
        for item in aggregates {
            let given = self.aggregate_item(item, &mut summary, &scope, &keys);
            let Some(given) = findings.note(given)? else { continue };
            if item.names.len() > given.len() {
                let message = format!("{} names for {} columns", item.names.len(), given.len());
                return Err(Diagnostic::semantic(item.names[0].span, message).into());
            }
            for (i, output) in given.into_iter().enumerate() {
                let taken =
                    |n: &str| keys.iter().any(|(k, _)| k == n) || outputs.iter().any(|(existing, _)| existing == n);
                let name = match (item.names.get(i), output.name) {
                    (Some(name), _) if taken(&name.text) => {
                        let message = format!("the column '{}' is given twice", name.text);
                        return Err(Diagnostic::semantic(name.span, message).into());
                    }
                    (Some(name), _) => name.text.clone(),
                    (None, Some(own)) => unique_name(&own, taken),
                    (None, None) => (1..).map(|n| format!("Column{n}")).find(|n| !taken(n)).unwrap_or_default(),
                };
                outputs.push((name, output.value));
            }
        }
        findings.end(())?;
        let key_columns: Vec<Column> =
            (keys.iter().enumerate()).map(|(i, (_, typed))| Column::new(format!("$k{i}"), typed.value_type)).collect();
        let grouped: Vec<Plan> =
            keys.iter().zip(&key_columns).map(|((_, typed), c)| typed.expr.clone().alias(&c.field)).collect();
        let all = keys.iter().zip(&key_columns).map(|((name, _), c)| (name.clone(), column(c)));
        let all: Vec<(String, Typed)> = all.chain(outputs).collect();
        let input = self.with_windows(input, span)?;
        input.aggregate(grouped, summary.aggregates, span)?.project(all, span)
    }

    /// Binds one item of `summarize`: an aggregate, or an expression over aggregates.
    pub(super) fn aggregate_item(
        &mut self,
        item: &'q NamedExpr,
        summary: &mut Summary<'_>,
        scope: &Scope<'q, '_>,
        keys: &[(String, Typed)],
    ) -> Result<Vec<Output>> {
        if let ExprKind::Call { function, arguments } = &item.value.kind
            && is_aggregate(&function.text)
        {
            return self.aggregate(function, arguments, item.value.span, summary, scope, keys);
        }
        let value = self.over_aggregates(&item.value, summary, scope, keys)?;
        Ok(vec![Output { name: implicit_name(&item.value, scope.columns), value }])
    }

    /// An expression such as `sum(a) / count()`: each aggregate becomes a column, the rest is bound over those.
    fn over_aggregates(
        &mut self,
        expr: &'q Expr,
        summary: &mut Summary<'_>,
        scope: &Scope<'q, '_>,
        keys: &[(String, Typed)],
    ) -> Result<Typed> {
        match &expr.kind {
            ExprKind::Call { function, arguments } if is_aggregate(&function.text) => {
                let mut outputs = self.aggregate(function, arguments, expr.span, summary, scope, keys)?;
                if outputs.len() != 1 {
                    let message = format!("'{}' gives several columns and cannot stand here", function.text);
                    return Err(Diagnostic::semantic(expr.span, message).into());
                }
                Ok(outputs.remove(0).value)
            }
            ExprKind::Binary { .. } | ExprKind::Call { .. } | ExprKind::Negate(_) => {
                let mut found = Vec::new();
                collect_aggregates(expr, &mut found);
                if found.is_empty() {
                    return self.constant_only(expr, scope);
                }
                // The aggregates are given names, and the expression is bound where those are the columns.
                let mut bound_names = scope.names.clone();
                for aggregate in &found {
                    let typed = self.over_aggregates(aggregate, summary, scope, keys)?;
                    bound_names = bound_names.with(&placeholder(aggregate.span), super::Meaning::Value(typed));
                }
                self.placeholders.extend(found.iter().map(|a| a.span));
                let result = self.expression(expr, &Scope { names: bound_names, columns: &[] });
                self.placeholders.truncate(self.placeholders.len() - found.len());
                result
            }
            _ => self.constant_only(expr, scope),
        }
    }

    fn constant_only(&mut self, expr: &'q Expr, scope: &Scope<'q, '_>) -> Result<Typed> {
        let typed = self.expression(expr, scope)?;
        if typed.is_constant() {
            return Ok(typed);
        }
        let diagnostic = Diagnostic::semantic(expr.span, "only aggregates and constants can stand in 'summarize'");
        Err(diagnostic.with_hint("Group by the column, or wrap it in take_any(...).").into())
    }

    pub(super) fn aggregate(
        &mut self,
        function: &'q Name,
        arguments: &'q [Argument],
        span: Span,
        summary: &mut Summary<'_>,
        scope: &Scope<'q, '_>,
        keys: &[(String, Typed)],
    ) -> Result<Vec<Output>> {
        let name = function.text.as_str();
        let count = |least: usize, most: usize| -> Result<()> {
            if (least..=most).contains(&arguments.len()) {
                return Ok(());
            }
            let message = format!("{name}() does not take {} arguments", arguments.len());
            Err(Diagnostic::semantic(span, message).into())
        };
        let first_name = arguments.first().and_then(|a| implicit_name(&a.value, scope.columns)).unwrap_or_default();
        let named = |prefix: &str| Some(format!("{prefix}_{first_name}"));
        let one = |name, value| Ok(vec![Output { name, value }]);
        match name {
            "buildschema" | "hll" | "hll_if" | "hll_merge" | "merge_tdigest" | "tdigest" | "tdigest_merge" => {
                let with_filter = usize::from(name == "hll_if");
                let with_option = usize::from(matches!(name, "hll" | "hll_if" | "tdigest"));
                count(1 + with_filter, 1 + with_filter + with_option)?;
                let value = self.sketch(name, arguments, summary, scope)?;
                let prefix = if name.ends_with("tdigest") && name != "tdigest" || name == "tdigest_merge" {
                    "merge_tdigests"
                } else {
                    name.trim_start_matches("build")
                };
                one(named(prefix), value)
            }
            "count" | "cnt" => {
                count(0, 1)?;
                let counted = summary.add(native(count_udaf(), lit(1i64), None));
                one(
                    Some(if arguments.is_empty() { format!("{name}_") } else { format!("{name}_{first_name}") }),
                    Typed::new(counted, Type::Long),
                )
            }
            "countif" => {
                count(1, 1)?;
                let filter = self.condition(&arguments[0].value, "the condition of countif()", scope)?;
                let counted = summary.add(native(count_udaf(), lit(1i64), Some(filter)));
                one(named("countif"), Typed::new(counted, Type::Long))
            }
            "sum" | "sumif" | "avg" | "avgif" | "min" | "minif" | "max" | "maxif" => {
                let with_filter = name.ends_with("if");
                count(1 + usize::from(with_filter), 1 + usize::from(with_filter))?;
                let value = self.expression(&arguments[0].value, scope)?;
                let filter = match arguments.get(1) {
                    Some(condition) => Some(self.condition(&condition.value, "the condition", scope)?),
                    None => None,
                };
                let at = arguments[0].value.span;
                let value = match name.trim_end_matches("if") {
                    "sum" => self.sum(value, filter, summary, at)?,
                    "avg" => self.average(value, filter, summary, at)?,
                    "min" => self.extreme_of_rows(value, filter, summary, at, true)?,
                    _ => self.extreme_of_rows(value, filter, summary, at, false)?,
                };
                one(named(name), value)
            }
            "dcount" | "count_distinct" | "dcountif" | "count_distinctif" => {
                let with_filter = name.ends_with("if");
                count(1 + usize::from(with_filter), 2 + usize::from(with_filter))?;
                let value = self.expression(&arguments[0].value, scope)?;
                let filter = match arguments.get(1).filter(|_| with_filter) {
                    Some(condition) => Some(self.condition(&condition.value, "the condition", scope)?),
                    None => None,
                };
                let distinct = if name.starts_with("dcount") {
                    aggregates::call(Kind::Distinct, vec![value.expr], filter, Vec::new())
                } else if aggregates::can_count(&arrow_type(value.value_type)) {
                    aggregates::call(Kind::ExactDistinct, vec![value.expr], filter, Vec::new())
                } else {
                    let filter = filter.map(Box::new);
                    let call = AggregateFunction::new_udf(count_udaf(), vec![value.expr], true, filter, vec![], None);
                    Plan::AggregateFunction(call)
                };
                one(named(name), Typed::new(summary.add(distinct), Type::Long))
            }
            "arg_max" | "arg_min" | "argmax" | "argmin" => {
                count(1, usize::MAX)?;
                let mut outputs = self.arg_extreme(name.ends_with("max"), arguments, summary, scope, keys)?;
                if !name.contains('_') {
                    name_as_before(&mut outputs, &name[3..]);
                }
                Ok(outputs)
            }
            "take_any" | "any" | "take_anyif" | "anyif" => {
                count(1, usize::MAX)?;
                self.take_any(name, arguments, summary, scope, keys)
            }
            "stdev" | "stdevp" | "variance" | "variancep" | "stdevif" | "stdevpif" | "varianceif" | "variancepif" => {
                let with_filter = name.ends_with("if");
                count(1 + usize::from(with_filter), 1 + usize::from(with_filter))?;
                let value = self.number(&arguments[0].value, scope)?;
                let filter = self.filter(arguments.get(1), scope)?;
                let udaf = match name.trim_end_matches("if") {
                    "stdev" => stddev_udaf(),
                    "stdevp" => stddev_pop_udaf(),
                    "variance" => var_samp_udaf(),
                    _ => var_pop_udaf(),
                };
                // No rows, and one row of a sample, have no spread.
                let spread = coalesce(vec![summary.add(native(udaf, value, filter)), lit(0.0f64)]);
                one(named(name), Typed::new(spread, Type::Real))
            }
            "covariance" | "covariancep" | "covarianceif" | "covariancepif" => {
                let with_filter = name.ends_with("if");
                count(2 + usize::from(with_filter), 2 + usize::from(with_filter))?;
                let values = vec![self.number(&arguments[0].value, scope)?, self.number(&arguments[1].value, scope)?];
                let filter = self.filter(arguments.get(2), scope)?;
                let is_sample = name.trim_end_matches("if") == "covariance";
                let udaf = if is_sample { covar_samp_udaf() } else { covar_pop_udaf() };
                let covariance = coalesce(vec![summary.add(native_of(udaf, values, filter)), lit(0.0f64)]);
                let second_name = implicit_name(&arguments[1].value, scope.columns).unwrap_or_default();
                one(Some(format!("{name}_{first_name}_{second_name}")), Typed::new(covariance, Type::Real))
            }
            "binary_all_and" | "binary_all_or" | "binary_all_xor" => {
                count(1, 1)?;
                let at = arguments[0].value.span;
                let value = self.expression(&arguments[0].value, scope)?;
                let of = if value.value_type == Type::Int { Type::Int } else { Type::Long };
                let value = self.coerce(value, Type::Long, at)?;
                let udaf = match name {
                    "binary_all_and" => bit_and_udaf(),
                    "binary_all_or" => bit_or_udaf(),
                    _ => bit_xor_udaf(),
                };
                let bits = Typed::new(summary.add(native(udaf, value.expr, None)), Type::Long);
                one(Some(first_name), self.convert(bits, of, at)?)
            }
            "make_bag" | "make_bag_if" | "make_dictionary" => {
                let with_filter = usize::from(name.ends_with("_if"));
                count(1 + with_filter, 2 + with_filter)?;
                let at = arguments[0].value.span;
                let value = self.expression(&arguments[0].value, scope)?;
                if value.value_type != Type::Dynamic {
                    return Err(wrong_type(at, "the argument", value.value_type, "dynamic"));
                }
                let filter = self.filter(arguments.get(1).filter(|_| with_filter == 1), scope)?;
                let limit = self.size_limit(arguments.get(1 + with_filter), scope)?;
                self.needs_single_stream = true;
                let bags = aggregates::call(Kind::List { limit }, vec![value.expr], filter, summary.order.clone());
                let bag = dynamic::MERGE_BAGS.call(vec![summary.add(bags)]);
                let prefix = if name == "make_dictionary" { "dictionary" } else { "bag" };
                one(named(prefix), Typed::new(bag, Type::Dynamic))
            }
            "make_list"
            | "makelist"
            | "make_set"
            | "makeset"
            | "make_list_if"
            | "make_set_if"
            | "make_list_with_nulls" => {
                let with_filter = usize::from(name.ends_with("_if"));
                count(1 + with_filter, 2 + with_filter)?;
                let value = self.expression(&arguments[0].value, scope)?;
                let filter = self.filter(arguments.get(1).filter(|_| with_filter == 1), scope)?;
                let limit = self.size_limit(arguments.get(1 + with_filter), scope)?;
                let is_list = name.contains("list");
                let was_dynamic = value.value_type == Type::Dynamic || name == "make_list_with_nulls";
                let json = self.in_json(value, arguments[0].value.span)?.expr;
                let json = if was_dynamic && is_list { coalesce(vec![json, text("null")]) } else { json };
                let (kind, order) = if is_list {
                    self.needs_single_stream = true;
                    (Kind::List { limit }, summary.order.clone())
                } else {
                    (Kind::Set { limit }, Vec::new())
                };
                let collected = summary.add(aggregates::call(kind, vec![json], filter, order));
                one(named(if is_list { "list" } else { "set" }), Typed::new(collected, Type::Dynamic))
            }
            _ => {
                let least = if name.contains("w") { 3 } else { 2 };
                count(least, if matches!(name, "percentile" | "percentilew") { least } else { usize::MAX })?;
                self.percentiles(name, arguments, summary, scope, &first_name)
            }
        }
    }

    /// The condition of an aggregate that ends in `if`.
    pub(super) fn filter(&mut self, condition: Option<&'q Argument>, scope: &Scope<'q, '_>) -> Result<Option<Plan>> {
        condition.map(|c| self.condition(&c.value, "the condition", scope)).transpose()
    }

    /// A number as real.
    fn number(&mut self, expr: &'q Expr, scope: &Scope<'q, '_>) -> Result<Plan> {
        let typed = self.expression(expr, scope)?;
        if !typed.value_type.is_numeric() && typed.value_type != Type::Dynamic {
            return Err(wrong_type(expr.span, "the argument", typed.value_type, "a number"));
        }
        Ok(self.convert(typed, Type::Real, expr.span)?.expr)
    }

    /// How many values an aggregate collects at most.
    fn size_limit(&mut self, limit: Option<&'q Argument>, scope: &Scope<'q, '_>) -> Result<usize> {
        let Some(limit) = limit else { return Ok(COLLECTED_MAX) };
        let limit = self.constant_long(&limit.value, "the maximal size", scope)?;
        Ok(usize::try_from(limit).unwrap_or(0).min(COLLECTED_MAX))
    }

    pub(super) fn sum(
        &mut self,
        value: Typed,
        filter: Option<Plan>,
        summary: &mut Summary<'_>,
        span: Span,
    ) -> Result<Typed> {
        let of = match value.value_type {
            Type::Int | Type::Long => Type::Long,
            Type::Real | Type::TimeSpan | Type::Decimal => value.value_type,
            Type::Dynamic => Type::Real,
            other => return Err(wrong_type(span, "the argument of sum()", other, "a number or a timespan")),
        };
        let value = self.convert(value, of, span)?;
        let total = summary.add(native(sum_udaf(), value.expr, filter));
        let zero = match of {
            Type::Real => lit(0.0f64),
            Type::Decimal => lit(ScalarValue::Decimal128(Some(0), DECIMAL_PRECISION, DECIMAL_SCALE)),
            _ => lit(0i64),
        };
        Ok(Typed::new(coalesce(vec![total, zero]), of))
    }

    fn average(&mut self, value: Typed, filter: Option<Plan>, summary: &mut Summary<'_>, span: Span) -> Result<Typed> {
        let of = value.value_type;
        match of {
            Type::DateTime | Type::TimeSpan => {
                // The mean of ticks is exact as an integer only by way of sum and count; ticks of dates overflow
                // a 64-bit sum after nine rows, so floats (exact to 16 digits, a few hundred ticks) do it.
                let real = cast(value.expr, arrow_type(Type::Real));
                let mean = summary.add(native(avg_udaf(), real, filter));
                Ok(Typed::new(cast(mean, arrow_type(Type::Long)), of))
            }
            Type::Int | Type::Long => {
                // The sum wraps around beyond 64 bits, and the mean is that of the wrapped sum.
                let counted = summary.add(native(count_udaf(), value.expr.clone(), filter.clone()));
                let total = self.sum(value, filter, summary, span)?;
                let (total, counted) = (cast(total.expr, DataType::Float64), cast(counted, DataType::Float64));
                Ok(Typed::new(math::DIVIDE_REAL.call(vec![total, counted]), Type::Real))
            }
            Type::Decimal => {
                let counted = summary.add(native(count_udaf(), value.expr.clone(), filter.clone()));
                let total = self.sum(value, filter, summary, span)?;
                let counted = cast(counted, arrow_type(Type::Decimal));
                Ok(Typed::new(decimal::DIVIDE.call(vec![total.expr, counted]), Type::Decimal))
            }
            _ => {
                if !of.is_numeric() && of != Type::Dynamic {
                    return Err(wrong_type(span, "the argument of avg()", of, "a number, datetime or timespan"));
                }
                let real = self.convert(value, Type::Real, span)?;
                let mean = summary.add(native(avg_udaf(), real.expr, filter));
                Ok(Typed::new(coalesce(vec![mean, lit(f64::NAN)]), Type::Real))
            }
        }
    }

    fn extreme_of_rows(
        &mut self,
        value: Typed,
        filter: Option<Plan>,
        summary: &mut Summary<'_>,
        span: Span,
        least: bool,
    ) -> Result<Typed> {
        let of = value.value_type;
        // A column that is not known, since there are no rows, has no least value that is known either.
        if self.is_open && of == Type::Dynamic && value.is_constant() {
            return Ok(null(of));
        }
        if of == Type::Dynamic || of == Type::Bool {
            return Err(wrong_type(span, "the argument", of, "a type with an order"));
        }
        let udaf = || if least { min_max::min_udaf() } else { min_max::max_udaf() };
        let found = summary.add(native(udaf(), value.expr.clone(), filter.clone()));
        match of {
            Type::String => Ok(Typed::new(coalesce(vec![found, text("")]), of)),
            Type::Real => {
                // A NaN among the rows is the answer, whichever end is asked for. DataFusion starts its search at the
                // largest finite number, so a group of infinities alone must be told from one that holds that number.
                let mut count_of = |test: Plan| {
                    let both = filter.clone().map_or(test.clone(), |f| f.and(test));
                    summary.add(native(count_udaf(), lit(1i64), Some(both))).gt(lit(0i64))
                };
                let has_nan = count_of(math::ISNAN.call(vec![value.expr.clone()]));
                let (start, infinity) = if least { (f64::MAX, f64::INFINITY) } else { (f64::MIN, f64::NEG_INFINITY) };
                let has_infinity = count_of(value.expr.clone().eq(lit(infinity)));
                let has_start = count_of(value.expr.eq(lit(start)));
                let only_infinity = found.clone().eq(lit(start)).and(has_infinity).and(not(has_start));
                let choice = datafusion::logical_expr::expr::Case::new(
                    None,
                    vec![
                        (Box::new(has_nan), Box::new(lit(f64::NAN))),
                        (Box::new(only_infinity), Box::new(lit(infinity))),
                    ],
                    Some(Box::new(found)),
                );
                Ok(Typed::new(Plan::Case(choice), of))
            }
            _ => Ok(Typed::new(found, of)),
        }
    }

    /// `arg_max(key, columns…)`: one struct of the winning row, read field by field.
    fn arg_extreme(
        &mut self,
        largest: bool,
        arguments: &'q [Argument],
        summary: &mut Summary<'_>,
        scope: &Scope<'q, '_>,
        keys: &[(String, Typed)],
    ) -> Result<Vec<Output>> {
        let key = &arguments[0].value;
        let key_typed = self.expression(key, scope)?;
        if key_typed.value_type == Type::Dynamic {
            let diagnostic = Diagnostic::semantic(key.span, "dynamic values have no order");
            return Err(diagnostic.with_hint("Convert them first, with tolong(...) or todatetime(...).").into());
        }
        let key_name =
            implicit_name(key, scope.columns).or_else(|| Some(if largest { "max_" } else { "min_" }.to_owned()));
        let mut values = vec![(key_name, key_typed)];
        let key_is = |name: &str| matches!(&key.kind, ExprKind::Name(n) if n == name);
        for argument in &arguments[1..] {
            if argument.value.kind == ExprKind::Star {
                let others = summary.columns.iter().filter(|c| {
                    !key_is(&c.name) && !keys.iter().any(|(k, typed)| *k == c.name || typed.expr == ident(&c.field))
                });
                values.extend(others.map(|c| (Some(c.name.clone()), column(c))));
            } else {
                let typed = self.expression(&argument.value, scope)?;
                let own = implicit_name(&argument.value, scope.columns);
                let extreme = if largest { "max" } else { "min" };
                let key_name = implicit_name(key, scope.columns).unwrap_or_default();
                values.push((own.or_else(|| Some(format!("{extreme}_{key_name}_arg{}", values.len()))), typed));
            }
        }
        let kind = if largest { Kind::ArgMax } else { Kind::ArgMin };
        Ok(self.struct_aggregate(kind, values, None, summary))
    }

    fn take_any(
        &mut self,
        name: &str,
        arguments: &'q [Argument],
        summary: &mut Summary<'_>,
        scope: &Scope<'q, '_>,
        keys: &[(String, Typed)],
    ) -> Result<Vec<Output>> {
        let with_filter = name.ends_with("if");
        let (values, filter) = if with_filter { arguments.split_at(1) } else { (arguments, &arguments[..0]) };
        let filter = match filter.first() {
            Some(condition) => Some(self.condition(&condition.value, "the condition", scope)?),
            None => None,
        };
        let prefix = match name {
            "any" => "any_",
            "anyif" => "anyif_",
            _ => "",
        };
        let mut named: Vec<(Option<String>, Typed)> = Vec::new();
        for argument in values {
            if argument.value.kind == ExprKind::Star {
                let others = summary.columns.iter().filter(|c| !keys.iter().any(|(k, _)| *k == c.name));
                named.extend(others.map(|c| (Some(format!("{prefix}{}", c.name)), column(c))));
            } else {
                let typed = self.expression(&argument.value, scope)?;
                let own = implicit_name(&argument.value, scope.columns);
                // What has no name is called after its place, but for the old names of these aggregates.
                let shown = match (name, own) {
                    (_, Some(own)) => Some(format!("{prefix}{own}")),
                    ("any", None) => Some("any_".to_owned()),
                    ("take_any", None) => Some(format!("any_arg{}", named.len())),
                    _ => None,
                };
                named.push((shown, typed));
            }
        }
        Ok(self.struct_aggregate(Kind::AnyRow, named, filter, summary))
    }

    fn struct_aggregate(
        &mut self,
        kind: Kind,
        values: Vec<(Option<String>, Typed)>,
        filter: Option<Plan>,
        summary: &mut Summary<'_>,
    ) -> Vec<Output> {
        let arguments = values.iter().map(|(_, typed)| exact(typed.expr.clone(), typed.value_type)).collect();
        let row = summary.add(aggregates::call(kind, arguments, filter, Vec::new()));
        let field = |i: usize, of: Type| {
            let value = get_field(row.clone(), field_name(i));
            let value = if of == Type::String { coalesce(vec![value, null(of).expr]) } else { value };
            Typed::new(value, of)
        };
        let outputs = values.into_iter().enumerate();
        outputs.map(|(i, (name, typed))| Output { name, value: field(i, typed.value_type) }).collect()
    }

    fn percentiles(
        &mut self,
        name: &str,
        arguments: &'q [Argument],
        summary: &mut Summary<'_>,
        scope: &Scope<'q, '_>,
        first_name: &str,
    ) -> Result<Vec<Output>> {
        let value = self.expression(&arguments[0].value, scope)?;
        let span = arguments[0].value.span;
        let of = match value.value_type {
            Type::Dynamic => Type::Real,
            Type::Int => Type::Long,
            t @ (Type::Long | Type::Real | Type::DateTime | Type::TimeSpan) => t,
            Type::Decimal => Type::Real,
            other => return Err(wrong_type(span, &format!("the argument of {name}()"), other, "a number or a time")),
        };
        let value = self.convert(value, of, span)?;
        let weight = match name.starts_with("percentilew") || name.starts_with("percentilesw") {
            true => {
                let weight = self.expression(&arguments[1].value, scope)?;
                Some(self.coerce(weight, Type::Long, arguments[1].value.span)?.expr)
            }
            false => None,
        };
        let mut percents = Vec::new();
        for argument in arguments.iter().skip(1 + usize::from(weight.is_some())) {
            let at = argument.value.span;
            let typed = self.expression(&argument.value, scope)?;
            let given = if typed.value_type == Type::Dynamic {
                super::operators::dynamic_items(&typed, at)?
            } else {
                vec![typed]
            };
            for typed in given {
                let typed = self.coerce(typed, Type::Real, at)?;
                match super::constant::evaluate(&typed.expr).map_err(|e| internal(at, &e))? {
                    ScalarValue::Float64(Some(p)) if (0.0..=100.0).contains(&p) => percents.push(p),
                    _ => {
                        let message = "a percentile must be a constant between 0 and 100";
                        return Err(Diagnostic::semantic(at, message).into());
                    }
                }
            }
        }
        let bits = percents.iter().map(|p| p.to_bits()).collect();
        let (kind, given) = match weight {
            None => (Kind::Percentiles(bits), vec![value.expr]),
            Some(weight) => (Kind::WeightedPercentiles(bits), vec![value.expr, weight]),
        };
        let row = summary.add(aggregates::call(kind, given, None, Vec::new()));
        if name.ends_with("_array") {
            let mut items = Vec::with_capacity(percents.len());
            for i in 0..percents.len() {
                items.push(self.in_json(Typed::new(get_field(row.clone(), field_name(i)), of), span)?.expr);
            }
            let array = Typed::new(dynamic::PACK_ARRAY.call(items), Type::Dynamic);
            return Ok(vec![Output { name: Some(format!("percentiles_{first_name}")), value: array }]);
        }
        let label = |p: &f64| format!("percentile_{first_name}_{}", p.to_string().replace('.', "_"));
        let outputs = percents.iter().enumerate().map(|(i, p)| Output {
            name: Some(label(p)),
            value: Typed::new(get_field(row.clone(), field_name(i)), of),
        });
        Ok(outputs.collect())
    }
}

/// The names that `argmax` and `argmin` give, where `arg_max` and `arg_min` give those of the columns: `max_key`,
/// `max_key_other`.
fn name_as_before(outputs: &mut [Output], prefix: &str) {
    let key = outputs.first().and_then(|key| key.name.clone()).unwrap_or_default();
    for (i, output) in outputs.iter_mut().enumerate() {
        output.name = output.name.take().map(|own| match i {
            0 => format!("{prefix}_{own}"),
            _ => format!("{prefix}_{key}_{own}"),
        });
    }
}

fn native(udaf: Arc<AggregateUDF>, argument: Plan, filter: Option<Plan>) -> Plan {
    native_of(udaf, vec![argument], filter)
}

fn native_of(udaf: Arc<AggregateUDF>, arguments: Vec<Plan>, filter: Option<Plan>) -> Plan {
    let filter = filter.map(Box::new);
    Plan::AggregateFunction(AggregateFunction::new_udf(udaf, arguments, false, filter, vec![], None))
}

/// The outermost aggregates within an expression.
fn collect_aggregates<'q>(expr: &'q Expr, found: &mut Vec<&'q Expr>) {
    match &expr.kind {
        ExprKind::Call { function, .. } if is_aggregate(&function.text) => found.push(expr),
        ExprKind::Call { arguments, .. } => arguments.iter().for_each(|a| collect_aggregates(&a.value, found)),
        ExprKind::Binary { left, right, .. } => {
            collect_aggregates(left, found);
            collect_aggregates(right, found);
        }
        ExprKind::Negate(operand) => collect_aggregates(operand, found),
        ExprKind::Member { base, .. } => collect_aggregates(base, found),
        ExprKind::Index { base, index } => {
            collect_aggregates(base, found);
            collect_aggregates(index, found);
        }
        _ => {}
    }
}

/// The name under which the value of the aggregate at `span` is known while the expression around it is bound.
pub(super) fn placeholder(span: Span) -> String {
    format!("$aggregate at {}", span.start)
}
