//! `evaluate`: plugins, whose columns may depend on the rows.
//!
//! What the columns are is found by a query of its own, which is run first.

use super::expression::text;
use super::relation::{Column, Relation, column, unique_name, wrong_type};
use super::summarize::Summary;
use super::{Binder, Names, Result, Scope, Typed, internal};
use crate::functions::dynamic::{self, PATH, elements};
use crate::json;
use datafusion::arrow::array::AsArray;
use datafusion::common::{Column as PlanColumn, UnnestOptions};
use datafusion::logical_expr::{Expr as Plan, ident};
use datafusion::scalar::ScalarValue;
use kql::tree::{Argument, Evaluate, Expr, ExprKind, Name};
use kql::{Diagnostic, Span, Type};
use std::collections::BTreeMap;

/// A plugin that makes columns of values makes no more than these.
const COLUMNS_MAX: usize = 1000;

/// What happens where a property has the name of a column.
enum Conflict {
    Error,
    ReplaceSource,
    KeepSource,
}

/// The diagnostic for a plugin that is not there.
pub(super) fn refused_plugin(plugin: &Name) -> Diagnostic {
    super::refused(plugin).unwrap_or_else(|| Diagnostic::unsupported(plugin.span, &plugin.text))
}

impl<'q> Binder<'q> {
    pub(super) fn evaluate(
        &mut self,
        input: Relation,
        evaluate: &'q Evaluate,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        if !input.group.is_empty() {
            return Err(Diagnostic::unsupported(span, "evaluate within mv-apply or partition").into());
        }
        match evaluate.plugin.text.as_str() {
            "bag_unpack" => self.bag_unpack(input, evaluate, span, names),
            "pivot" => self.pivot(input, evaluate, span, names),
            "narrow" => narrow(self, input, span),
            "rows_near" => self.rows_near(input, evaluate, span, names),
            "ipv4_lookup" | "ipv6_lookup" => self.ip_lookup(input, evaluate, span, names),
            "active_users_count"
            | "activity_counts_metrics"
            | "activity_engagement"
            | "activity_metrics"
            | "funnel_sequence_completion"
            | "new_activity_metrics"
            | "rolling_percentile"
            | "sequence_detect"
            | "session_count"
            | "sliding_window_counts" => self.analytics(input, evaluate, span, names),
            "autocluster" => self.autocluster(input, evaluate, span, names),
            "basket" => self.basket(input, evaluate, span, names),
            "diffpatterns" => self.diffpatterns(input, evaluate, span, names),
            "dcount_intersect" => self.dcount_intersect(input, evaluate, span, names),
            "preview" | "funnel_sequence" => {
                let message = format!("{}() has several results; nothing can follow it", evaluate.plugin.text);
                Err(Diagnostic::semantic(evaluate.plugin.span, message).into())
            }
            "schema_merge" => self.schema_merge(input, evaluate, span, names),
            "geo_polygon_lookup" | "geo_line_lookup" => self.geo_lookup(input, evaluate, span, names),
            _ => Err(refused_plugin(&evaluate.plugin).into()),
        }
    }

    /// `bag_unpack(bag [, prefix] [, columnsConflict] [, ignoredProperties])`: a column for each property.
    fn bag_unpack(
        &mut self,
        input: Relation,
        evaluate: &'q Evaluate,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let constants = Scope { names: names.clone(), columns: &[] };
        let given = |place: usize, name: &str| argument(&evaluate.arguments, place, name);
        let Some(bag) = given(0, "Column") else {
            return Err(Diagnostic::semantic(span, "bag_unpack() needs a column").into());
        };
        let ExprKind::Name(bag_name) = &bag.kind else {
            return Err(Diagnostic::semantic(bag.span, "bag_unpack() needs the name of a column").into());
        };
        let source = input.require(&kql::tree::Name { text: bag_name.clone(), span: bag.span })?.clone();
        if source.column_type != Type::Dynamic {
            return Err(wrong_type(bag.span, "the column", source.column_type, "dynamic"));
        }
        let prefix = match given(1, "OutputColumnPrefix") {
            Some(prefix) => self.constant_text(prefix, "the prefix", &constants)?,
            None => String::new(),
        };
        let conflict = match given(2, "columnsConflict") {
            Some(conflict) => match self.constant_text(conflict, "columnsConflict", &constants)?.as_str() {
                "error" => Conflict::Error,
                "replace_source" => Conflict::ReplaceSource,
                "keep_source" => Conflict::KeepSource,
                _ => {
                    let message = "columnsConflict is 'error', 'replace_source' or 'keep_source'";
                    return Err(Diagnostic::semantic(conflict.span, message).into());
                }
            },
            None => Conflict::Error,
        };
        let ignored = match given(3, "ignoredProperties") {
            Some(ignored) => {
                let typed = self.expression(ignored, &constants)?;
                match super::constant::evaluate(&typed.expr).map_err(|e| internal(ignored.span, &e))? {
                    ScalarValue::Utf8View(Some(list)) => json::strings(&list),
                    _ => Vec::new(),
                }
            }
            None => Vec::new(),
        };
        let properties: Vec<(String, Type)> = match &evaluate.schema {
            Some(schema) => schema.columns.iter().map(|c| (c.name.text.clone(), c.column_type)).collect(),
            None => self.properties(&input, &source, span)?,
        };
        let is_open = input.is_open || (evaluate.schema.is_none() && properties.is_empty());
        let keeps_input = evaluate.schema.as_ref().is_none_or(|schema| schema.keeps_input);
        let mut outputs = input.outputs();
        outputs.retain(|(name, _)| keeps_input && name != bag_name);
        for (property, of) in properties {
            let name = format!("{prefix}{property}");
            let key = if evaluate.schema.is_some() {
                property.strip_prefix(&prefix).unwrap_or(&property).to_owned()
            } else {
                property
            };
            if ignored.contains(&key) {
                continue;
            }
            let value = PATH.call(vec![ident(&source.field), text(json::quote(&key))]);
            let typed = self.convert(Typed::new(value, Type::Dynamic), of, span)?;
            let name = if evaluate.schema.is_some() { key } else { name };
            match (outputs.iter_mut().find(|(existing, _)| *existing == name), &conflict) {
                (None, _) => outputs.push((name, typed)),
                (Some(existing), Conflict::ReplaceSource) => existing.1 = typed,
                (Some(_), Conflict::KeepSource) => {}
                (Some(_), Conflict::Error) => {
                    let message = format!("the property '{name}' has the name of a column");
                    return Err(Diagnostic::semantic(evaluate.plugin.span, message)
                        .with_hint("Give a prefix, or columnsConflict='replace_source'.")
                        .into());
                }
            }
        }
        Ok(Relation { is_open, ..input.project(outputs, span)? })
    }

    /// The properties of all bags with their common types, by name.
    fn properties(&mut self, input: &Relation, bag: &Column, span: Span) -> Result<Vec<(String, Type)>> {
        let list = elements(dynamic::PROPERTIES.call(vec![ident(&bag.field)]), false, usize::MAX);
        let listed =
            input.clone().plain(span)?.project(vec![("property".to_owned(), Typed::new(list, Type::Dynamic))], span)?;
        let field = listed.columns[0].field.clone();
        let options = UnnestOptions::new().with_preserve_nulls(false);
        let builder = listed
            .builder
            .unnest_columns_with_options(vec![PlanColumn::from_name(&field)], options)
            .and_then(|b| b.aggregate(vec![ident(&field)], Vec::<Plan>::new()))
            .map_err(|e| internal(span, &e))?;
        let found = self.subquery(Relation::new(builder, vec![listed.columns[0].clone()]), span)?;
        let mut types: BTreeMap<String, Option<Type>> = BTreeMap::new();
        for batch in &found.batches {
            for item in batch.column(0).as_string_view().iter().flatten() {
                let item = json::to_text(item);
                let mut letters = item.chars();
                let of = match letters.next() {
                    Some('n') => None,
                    Some('b') => Some(Type::Bool),
                    Some('l') => Some(Type::Long),
                    Some('r') => Some(Type::Real),
                    Some('s') => Some(Type::String),
                    _ => Some(Type::Dynamic),
                };
                let known = types.entry(letters.as_str().to_owned()).or_insert(of);
                *known = match (*known, of) {
                    (None, of) | (of, None) => of,
                    (Some(a), Some(b)) if a == b => Some(a),
                    (Some(Type::Long | Type::Real), Some(Type::Long | Type::Real)) => Some(Type::Real),
                    _ => Some(Type::Dynamic),
                };
            }
        }
        if types.len() > COLUMNS_MAX {
            let message = format!("the bags have {} properties, more than {COLUMNS_MAX}", types.len());
            return Err(Diagnostic::semantic(span, message).into());
        }
        Ok(types.into_iter().map(|(name, of)| (name, of.unwrap_or(Type::Dynamic))).collect())
    }

    /// `pivot(column [, aggregate [, columns...]])`: a column for each value of the first, with the aggregate of its
    /// rows.
    fn pivot(&mut self, input: Relation, evaluate: &'q Evaluate, span: Span, names: &Names<'q>) -> Result<Relation> {
        let named = evaluate.arguments.iter().filter_map(|a| match &a.value.kind {
            ExprKind::Name(name) => Some((name.clone(), Type::String)),
            _ => None,
        });
        let input = input.with_unknown(named, span)?;
        let columns = input.columns.clone();
        let scope = Scope { names: names.clone(), columns: &columns };
        let Some(pivot) = evaluate.arguments.first().map(|a| &a.value) else {
            return Err(Diagnostic::semantic(span, "pivot() needs a column").into());
        };
        let ExprKind::Name(pivot_name) = &pivot.kind else {
            return Err(Diagnostic::semantic(pivot.span, "pivot() needs the name of a column").into());
        };
        let pivot_column = input.require(&kql::tree::Name { text: pivot_name.clone(), span: pivot.span })?.clone();
        let key = self.convert(column(&pivot_column), Type::String, pivot.span)?;
        let aggregate = evaluate.arguments.get(1).map(|a| &a.value);
        let mut used = Vec::new();
        if let Some(aggregate) = aggregate {
            names_in(aggregate, &mut used);
        }
        let by: Vec<Column> = match evaluate.arguments.get(2..).filter(|rest| !rest.is_empty()) {
            Some(rest) => {
                let mut by = Vec::new();
                for argument in rest {
                    let ExprKind::Name(name) = &argument.value.kind else {
                        return Err(Diagnostic::semantic(argument.value.span, "expected the name of a column").into());
                    };
                    by.push(input.require(&kql::tree::Name { text: name.clone(), span: argument.value.span })?.clone());
                }
                by
            }
            None => columns.iter().filter(|c| c.name != *pivot_name && !used.contains(&c.name)).cloned().collect(),
        };
        let values: Vec<(String, Option<Type>)> = match &evaluate.schema {
            Some(schema) => {
                let declared = schema.columns.iter().filter(|c| !by.iter().any(|b| b.name == c.name.text));
                declared.map(|c| (c.name.text.clone(), Some(c.column_type))).collect()
            }
            None => {
                let distinct = input.clone().plain(span)?;
                let distinct = distinct.aggregate(vec![key.expr.clone().alias("value")], Vec::new(), span)?;
                let distinct = Relation { columns: vec![Column::new("value", Type::String)], ..distinct };
                let found = self.subquery(distinct, pivot.span)?;
                let texts = found
                    .batches
                    .iter()
                    .flat_map(|b| b.column(0).as_string_view().iter().flatten().map(str::to_owned).collect::<Vec<_>>());
                let mut texts: Vec<String> = texts.collect();
                texts.sort();
                if texts.len() > COLUMNS_MAX {
                    let message = format!("'{pivot_name}' has {} values, more than {COLUMNS_MAX}", texts.len());
                    return Err(Diagnostic::semantic(pivot.span, message).into());
                }
                texts.into_iter().map(|text| (text, None)).collect()
            }
        };
        let is_open = input.is_open || (evaluate.schema.is_none() && values.is_empty());
        let mut summary = Summary::over(&input, &columns);
        let mut outputs: Vec<(String, Typed)> = Vec::new();
        for (value, declared) in values {
            // The aggregate over the rows of this value alone.
            let mut own = Summary::over(&input, &columns);
            let typed = match aggregate {
                Some(aggregate) => {
                    let given = self.aggregate_of(aggregate, &mut own, &scope)?;
                    given.value
                }
                None => own.count_rows(),
            };
            let is_value = key.expr.clone().eq(text(&value));
            let typed = summary.adopt(own, typed, &is_value);
            let typed = match declared {
                Some(of) => self.convert(typed, of, span)?,
                None => typed,
            };
            let taken = |n: &str| by.iter().any(|c| c.name == n) || outputs.iter().any(|(existing, _)| existing == n);
            outputs.push((unique_name(&value, taken), typed));
        }
        let key_columns: Vec<Column> =
            by.iter().enumerate().map(|(i, c)| Column::new(format!("$k{i}"), c.column_type)).collect();
        let grouped: Vec<Plan> = by.iter().zip(&key_columns).map(|(c, k)| ident(&c.field).alias(&k.field)).collect();
        let mut all: Vec<(String, Typed)> =
            by.iter().zip(&key_columns).map(|(c, k)| (c.name.clone(), column(k))).collect();
        all.extend(outputs);
        let pivoted = input.aggregate(grouped, summary.aggregates, span)?.project(all, span)?;
        Ok(Relation { is_open, ..pivoted })
    }

    fn aggregate_of(
        &mut self,
        aggregate: &'q Expr,
        summary: &mut Summary<'_>,
        scope: &Scope<'q, '_>,
    ) -> Result<super::summarize::Output> {
        let ExprKind::Call { function, arguments } = &aggregate.kind else {
            return Err(Diagnostic::semantic(aggregate.span, "expected an aggregate").into());
        };
        let mut given = self.aggregate(function, arguments, aggregate.span, summary, scope, &[])?;
        if given.len() != 1 {
            let message = "the aggregate of pivot() must give one column";
            return Err(Diagnostic::semantic(aggregate.span, message).into());
        }
        Ok(given.remove(0))
    }
}

/// The argument at a place, or the one of that name.
pub(super) fn argument<'q>(arguments: &'q [Argument], place: usize, name: &str) -> Option<&'q Expr> {
    let named = arguments.iter().find(|a| a.name.as_ref().is_some_and(|n| n.text.eq_ignore_ascii_case(name)));
    named.or_else(|| arguments.get(place).filter(|a| a.name.is_none())).map(|a| &a.value)
}

/// The names that stand in an expression.
pub(super) fn names_in(expr: &Expr, found: &mut Vec<String>) {
    match &expr.kind {
        ExprKind::Name(name) => found.push(name.clone()),
        ExprKind::Call { arguments, .. } => arguments.iter().for_each(|a| names_in(&a.value, found)),
        ExprKind::Binary { left, right, .. } => {
            names_in(left, found);
            names_in(right, found);
        }
        ExprKind::Between { value, low, high, .. } => [value, low, high].into_iter().for_each(|e| names_in(e, found)),
        ExprKind::Membership { value, list, .. } => {
            names_in(value, found);
            list.iter().for_each(|e| names_in(e, found));
        }
        ExprKind::Negate(inner) | ExprKind::Member { base: inner, .. } => names_in(inner, found),
        ExprKind::Index { base, index } => {
            names_in(base, found);
            names_in(index, found);
        }
        _ => {}
    }
}

/// `narrow()`: a row for each value, with the number of its row and the name of its column.
fn narrow(binder: &mut Binder<'_>, input: Relation, span: Span) -> Result<Relation> {
    if input.order.is_empty() {
        binder.needs_single_stream = true;
    }
    let columns = input.columns.clone();
    let mut pairs = Vec::new();
    for c in &columns {
        let printed = binder.convert(column(c), Type::String, span)?;
        let value = binder.in_json(printed, span)?;
        pairs.push(dynamic::BAG_PACK.call(vec![text("c"), text(json::quote(&c.name)), text("v"), value.expr]));
    }
    let numbered = input.numbered(span)?;
    let Some(row) = numbered.row.clone() else { return Ok(numbered) };
    let list = elements(dynamic::PACK_ARRAY.call(pairs), false, usize::MAX);
    let number = datafusion::logical_expr::cast(ident(&row), crate::types::arrow_type(Type::Long));
    let outputs = vec![
        ("Row".to_owned(), Typed::new(number - super::expression::long(1), Type::Long)),
        ("pair".to_owned(), Typed::new(list, Type::Dynamic)),
    ];
    let listed = numbered.project(outputs, span)?;
    let pair = listed.columns[1].field.clone();
    let builder = listed
        .builder
        .clone()
        .unnest_columns_with_options(vec![PlanColumn::from_name(&pair)], UnnestOptions::new())
        .map_err(|e| internal(span, &e))?;
    let rows = Relation { builder, ..listed };
    let part = |key: &str| Typed::new(PATH.call(vec![ident(&pair), text(json::quote(key))]), Type::Dynamic);
    let outputs = vec![
        ("Row".to_owned(), column(&rows.columns[0])),
        ("Column".to_owned(), binder.convert(part("c"), Type::String, span)?),
        ("Value".to_owned(), binder.convert(part("v"), Type::String, span)?),
    ];
    rows.project(outputs, span)
}
