//! `reduce`, `autocluster`, `basket` and `diffpatterns`: what many rows have in common. The rows are read first, each
//! different one once, and the answer is computed from them.

use super::evaluate::argument;
use super::relation::{Column, Relation, column, wrong_type};
use super::source::constant_rows;
use super::summarize::Summary;
use super::{Binder, Names, Result, Scope, SubqueryResult, Typed, constant, internal};
use crate::cells::Cells;
use crate::functions::string;
use crate::mining::patterns::{Found, Pattern, Rows, TooMany};
use crate::mining::templates::{Template, templates};
use crate::types::{self, arrow_schema, null_value};
use datafusion::arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringViewArray};
use datafusion::arrow::datatypes::Float64Type;
use datafusion::common::JoinType;
use datafusion::logical_expr::{Expr as Plan, SortExpr, ident};
use datafusion::scalar::ScalarValue;
use kql::tree::{Evaluate, Expr, ExprKind, Literal, Reduce};
use kql::{Diagnostic, Span, Type};
use std::collections::HashMap;
use std::sync::Arc;

/// So many different rows are compared.
const ROWS_MAX: usize = 1_000_000;
/// The share of rows that a word or a pattern must have, where nothing is said.
const REDUCE_THRESHOLD: f64 = 0.1;
const PATTERN_THRESHOLD: f64 = 0.05;
const PATTERN_THRESHOLDS: std::ops::RangeInclusive<f64> = 0.015..=1.0;
const BASKET_DIMENSIONS: i64 = 5;
const CLUSTER_SEEDS: i64 = 25;
const CLUSTER_SEEDS_MAX: usize = 200;
/// Rows times seeds times the square of the columns: what one turn of the search looks at.
const CLUSTER_WORK_MAX: usize = 1_000_000_000;

/// The different rows of a relation, as codes, and where each code was first seen.
struct Coded {
    rows: Rows,
    /// For each column, the values by their codes.
    values: Vec<Vec<ScalarValue>>,
}

fn too_many(span: Span) -> super::Stop {
    Diagnostic::semantic(span, "there are too many patterns; raise the threshold, or take fewer columns").into()
}

impl<'q> Binder<'q> {
    /// The different rows, each with the number of its occurrences or the sum of its weights.
    fn distinct_rows(
        &mut self,
        input: &Relation,
        weight: Option<&'q Expr>,
        names: &Names<'q>,
        span: Span,
    ) -> Result<SubqueryResult> {
        let columns = input.columns.clone();
        let scope = Scope { names: names.clone(), columns: &columns };
        let mut summary = Summary::over(input, &columns);
        let weight = match weight {
            Some(weight) => {
                let typed = self.expression(weight, &scope)?;
                let typed = self.convert(typed, Type::Real, weight.span)?;
                self.sum(typed, None, &mut summary, weight.span)?
            }
            None => summary.count_rows(),
        };
        let fields: Vec<Column> =
            columns.iter().enumerate().map(|(i, c)| Column::new(format!("$k{i}"), c.column_type)).collect();
        let grouped: Vec<Plan> = columns.iter().zip(&fields).map(|(c, k)| ident(&c.field).alias(&k.field)).collect();
        let mut outputs: Vec<(String, Typed)> = fields.iter().map(|c| (c.name.clone(), column(c))).collect();
        let weight = Typed::new(datafusion::logical_expr::cast(weight.expr, types::arrow_type(Type::Real)), Type::Real);
        outputs.push(("$weight".to_owned(), weight));
        let distinct =
            input.clone().plain(span)?.aggregate(grouped, summary.aggregates, span)?.project(outputs, span)?;
        // In one order, so that patterns that are as good as each other come out the same each time.
        let Some(weight) = distinct.columns.last().map(|c| c.field.clone()) else { return Err(too_many(span)) };
        let distinct = distinct.filter(ident(weight).gt(datafusion::logical_expr::lit(0.0f64)), span)?;
        let order = distinct.columns.iter().map(|c| SortExpr::new(ident(&c.field), true, false)).collect();
        let distinct = distinct.sort(order, span)?.in_order(span)?;
        let found = self.subquery(distinct, span)?;
        let rows: usize = found.batches.iter().map(RecordBatch::num_rows).sum();
        if rows > ROWS_MAX {
            let message = format!("there are more than {ROWS_MAX} different rows; take fewer columns");
            return Err(Diagnostic::semantic(span, message).into());
        }
        Ok(found)
    }

    /// A constant number among the arguments of a plugin; `None` where it is left out, or is `'~'`.
    fn number_argument(&mut self, given: Option<&'q Expr>, what: &str, names: &Names<'q>) -> Result<Option<f64>> {
        let Some(expr) = given else { return Ok(None) };
        if is_default(expr) {
            return Ok(None);
        }
        let typed = self.expression(expr, &Scope { names: names.clone(), columns: &[] })?;
        let typed = self.coerce(typed, Type::Real, expr.span)?;
        match constant::evaluate(&typed.expr).map_err(|e| internal(expr.span, &e))? {
            ScalarValue::Float64(Some(number)) => Ok(Some(number)),
            _ => Err(Diagnostic::semantic(expr.span, format!("{what} must be a constant number")).into()),
        }
    }

    /// A share of rows that a pattern must have.
    fn threshold(&mut self, given: Option<&'q Expr>, names: &Names<'q>) -> Result<f64> {
        let found = self.number_argument(given, "the threshold", names)?.unwrap_or(PATTERN_THRESHOLD);
        match given {
            Some(expr) if !PATTERN_THRESHOLDS.contains(&found) => {
                let (least, most) = (PATTERN_THRESHOLDS.start(), PATTERN_THRESHOLDS.end());
                Err(Diagnostic::semantic(expr.span, format!("the threshold is from {least} to {most}")).into())
            }
            _ => Ok(found),
        }
    }

    /// What stands for any value, by type: the arguments from `from` on, and null for types without one.
    fn wildcards(
        &mut self,
        evaluate: &'q Evaluate,
        from: usize,
        names: &Names<'q>,
    ) -> Result<HashMap<Type, ScalarValue>> {
        let mut wildcards = HashMap::new();
        for argument in evaluate.arguments.iter().skip(from) {
            let typed = self.expression(&argument.value, &Scope { names: names.clone(), columns: &[] })?;
            let value = constant::evaluate(&typed.expr).map_err(|e| internal(argument.value.span, &e))?;
            wildcards.insert(typed.value_type, value);
        }
        Ok(wildcards)
    }

    /// `reduce [kind=source] by text [with threshold=..., characters=...]`.
    pub(super) fn reduce(
        &mut self,
        input: Relation,
        reduce: &'q Reduce,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let columns = input.columns.clone();
        let scope = Scope { names: names.clone(), columns: &columns };
        let text = self.expression(&reduce.by.value, &scope)?;
        if text.value_type != Type::String {
            return Err(wrong_type(reduce.by.value.span, "what is reduced", text.value_type, "string"));
        }
        let threshold = self.number_argument(reduce.threshold.as_ref(), "the threshold", names)?;
        let separators = match &reduce.characters {
            Some(characters) => self.constant_text(characters, "the characters", &scope)?,
            None => String::new(),
        };
        let only_text = input.clone().plain(span)?.project(vec![("$text".to_owned(), text.clone())], span)?;
        let found = self.distinct_rows(&only_text, None, names, span)?;
        let mut texts: Vec<(String, u64)> = Vec::new();
        for batch in &found.batches {
            let weights = batch.column(1).as_primitive::<Float64Type>();
            let values = batch.column(0).as_string_view().iter();
            texts
                .extend(values.zip(weights.values()).map(|(text, n)| (text.unwrap_or_default().to_owned(), *n as u64)));
        }
        texts.sort();
        let found = templates(&texts, threshold.unwrap_or(REDUCE_THRESHOLD), &separators);
        if !reduce.keeps_source {
            return template_rows(&found, span);
        }
        // Each row with the pattern of its text.
        let patterns = member_rows(&found, &texts, span)?;
        let mut outputs = input.outputs();
        outputs.push(("$text".to_owned(), text));
        let rows = input.plain(span)?.project(outputs, span)?;
        let pairs = vec![(column(&rows.columns[columns.len()]), column(&patterns.columns[0]))];
        let joined = self.join_relations(rows, patterns, pairs, JoinType::Inner, span)?;
        let outputs = joined.outputs().into_iter().enumerate();
        let shown = outputs.filter(|(i, _)| *i < columns.len() || *i > columns.len() + 1).map(|(_, output)| output);
        joined.project(shown.collect(), span)
    }

    /// `autocluster([size_weight [, weight [, seeds [, wildcards...]]]])`.
    pub(super) fn autocluster(
        &mut self,
        input: Relation,
        evaluate: &'q Evaluate,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let given = |place: usize, name: &str| argument(&evaluate.arguments, place, name);
        let size_weight = self.number_argument(given(0, "SizeWeight"), "the weight of the size", names)?.unwrap_or(0.5);
        if !(0.0..=1.0).contains(&size_weight) {
            return Err(Diagnostic::semantic(span, "the weight of the size is from 0 to 1").into());
        }
        let weight = given(1, "WeightColumn").filter(|expr| !is_default(expr));
        let seeds = self.number_argument(given(2, "NumSeeds"), "the number of seeds", names)?;
        let wildcards = self.wildcards(evaluate, 3, names)?;
        let coded = coded(&self.distinct_rows(&input, weight, names, span)?, &[]);
        let seeds = (seeds.unwrap_or(CLUSTER_SEEDS as f64) as usize).clamp(1, CLUSTER_SEEDS_MAX);
        let columns = coded.rows.columns;
        if coded.rows.rows.len().saturating_mul(columns * columns).saturating_mul(seeds) > CLUSTER_WORK_MAX {
            let message = "there are too many different rows; take fewer rows, columns or seeds";
            return Err(Diagnostic::semantic(span, message).into());
        }
        let found = coded.rows.clusters(size_weight, seeds);
        self.segments(&input, &coded, &found, &wildcards, span)
    }

    /// `basket([threshold [, weight [, dimensions [, wildcards...]]]])`.
    pub(super) fn basket(
        &mut self,
        input: Relation,
        evaluate: &'q Evaluate,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let given = |place: usize, name: &str| argument(&evaluate.arguments, place, name);
        let threshold = self.threshold(given(0, "Threshold").filter(|expr| !is_default(expr)), names)?;
        let weight = given(1, "WeightColumn").filter(|expr| !is_default(expr));
        let dimensions = self.number_argument(given(2, "MaxDimensions"), "the number of dimensions", names)?;
        let wildcards = self.wildcards(evaluate, 3, names)?;
        let coded = coded(&self.distinct_rows(&input, weight, names, span)?, &[]);
        let most = dimensions.unwrap_or(BASKET_DIMENSIONS as f64).max(1.0) as usize;
        let mut found = coded.rows.closed(threshold * coded.rows.total(), most).map_err(|TooMany| too_many(span))?;
        found.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        self.segments(&input, &coded, &found, &wildcards, span)
    }

    /// Patterns as rows: a number, how many rows match, their share in percent, and the values.
    fn segments(
        &mut self,
        input: &Relation,
        coded: &Coded,
        found: &[Found],
        wildcards: &HashMap<Type, ScalarValue>,
        span: Span,
    ) -> Result<Relation> {
        let total = coded.rows.total();
        let numbers = found.iter().enumerate().map(|(i, f)| {
            vec![
                ScalarValue::Int64(i64::try_from(i).ok()),
                ScalarValue::Int64(Some(f.weight as i64)),
                ScalarValue::Float64(Some(100.0 * f.weight / total)),
            ]
        });
        let names = [("SegmentId", Type::Long), ("Count", Type::Long), ("Percent", Type::Real)];
        let patterns: Vec<&Pattern> = found.iter().map(|f| &f.pattern).collect();
        pattern_rows(&names, numbers.collect(), input, coded, &patterns, wildcards, span)
    }

    /// `diffpatterns(column, a, b [, weight [, threshold [, dimensions [, wildcards...]]]])`.
    pub(super) fn diffpatterns(
        &mut self,
        input: Relation,
        evaluate: &'q Evaluate,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let given = |place: usize, name: &str| argument(&evaluate.arguments, place, name);
        let (Some(split), Some(a), Some(b)) =
            (given(0, "SplitColumn"), given(1, "SplitValueA"), given(2, "SplitValueB"))
        else {
            return Err(Diagnostic::semantic(span, "diffpatterns() needs a column and two of its values").into());
        };
        let ExprKind::Name(name) = &split.kind else {
            return Err(Diagnostic::semantic(split.span, "expected the name of a column").into());
        };
        let source = input.require(&kql::tree::Name { text: name.clone(), span: split.span })?.clone();
        let at = input.columns.iter().position(|c| c.name == source.name).unwrap_or_default();
        let constants = Scope { names: names.clone(), columns: &[] };
        let mut sides: Vec<String> = Vec::new();
        for value in [a, b] {
            let typed = self.expression(value, &constants)?;
            let typed = self.convert(typed, Type::String, value.span)?;
            match constant::evaluate(&typed.expr).map_err(|e| internal(value.span, &e))? {
                ScalarValue::Utf8View(Some(text)) => sides.push(text),
                _ => return Err(Diagnostic::semantic(value.span, "a value must be a constant").into()),
            }
        }
        let weight = given(3, "WeightColumn").filter(|expr| !is_default(expr));
        let threshold = self.threshold(given(4, "Threshold").filter(|expr| !is_default(expr)), names)?;
        let dimensions = self.number_argument(given(5, "MaxDimensions"), "the number of dimensions", names)?;
        let most = dimensions.map_or(usize::MAX, |n| n.max(1.0) as usize);
        let wildcards = self.wildcards(evaluate, 6, names)?;
        let mut printed = self.convert(column(&source), Type::String, split.span)?;
        if source.column_type == Type::Bool {
            // A bool prints with a capital letter, and is mostly written without.
            printed.expr = string::TOLOWER.call(vec![printed.expr]);
            sides.iter_mut().for_each(|side| *side = side.to_lowercase());
        }
        let is_either = sides.iter().map(|side| printed.expr.clone().eq(super::expression::text(side)));
        let Some(is_either) = is_either.reduce(Plan::or) else { return Ok(input) };
        let rows = input.clone().plain(span)?.filter(is_either, span)?;
        // The text that the rows were chosen by goes along.
        let mut outputs = rows.outputs();
        outputs.push(("$side".to_owned(), printed));
        let rows = rows.project(outputs, span)?;
        let found = self.distinct_rows(&rows, weight, names, span)?;
        let last = input.columns.len();
        let texts = texts_of(&found, last);
        let coded = coded(&found, &[at, last]);
        let side = |wanted: &str| -> Rows {
            let of_side: Vec<usize> = (0..coded.rows.rows.len()).filter(|row| texts[*row] == wanted).collect();
            Rows {
                rows: of_side.iter().map(|row| coded.rows.rows[*row].clone()).collect(),
                weights: of_side.iter().map(|row| coded.rows.weights[*row]).collect(),
                columns: coded.rows.columns,
            }
        };
        let [a, b] = [side(&sides[0]), side(&sides[1])];
        let (total_a, total_b) = (a.total(), b.total());
        // A pattern whose shares differ by the threshold has at least that share on one side.
        let mut candidates: Vec<Pattern> = Vec::new();
        for side in [&a, &b] {
            let found = side.closed(threshold * side.total(), most).map_err(|TooMany| too_many(span))?;
            candidates.extend(found.into_iter().map(|f| f.pattern));
        }
        candidates.sort();
        candidates.dedup();
        // The sum makes 0 of -0, which the sum of nothing is.
        let share = |weight: f64, total: f64| if total > 0.0 { 100.0 * weight / total + 0.0 } else { 0.0 };
        let mut differing: Vec<(Pattern, f64, f64, f64)> = candidates
            .into_iter()
            .map(|pattern| {
                let (x, y) = (a.weight(&pattern), b.weight(&pattern));
                let difference = (share(x, total_a) - share(y, total_b)).abs();
                (pattern, x, y, difference)
            })
            .filter(|(.., difference)| *difference >= 100.0 * threshold)
            .collect();
        differing.sort_by(|p, q| q.3.total_cmp(&p.3));
        // Of two patterns, one within the other, the one that tells them apart better stays.
        let is_within = |p: &Pattern, q: &Pattern| p.iter().zip(q).all(|(p, q)| p.is_none() || p == q);
        let mut kept: Vec<(Pattern, f64, f64, f64)> = Vec::new();
        for candidate in differing {
            let is_told = kept.iter().any(|k| is_within(&k.0, &candidate.0) || is_within(&candidate.0, &k.0));
            if !is_told {
                kept.push(candidate);
            }
        }
        let rounded = |percent: f64| ScalarValue::Float64(Some((percent * 100.0).round() / 100.0));
        let numbers = kept.iter().enumerate().map(|(i, (_, x, y, difference))| {
            vec![
                ScalarValue::Int64(i64::try_from(i).ok()),
                ScalarValue::Int64(Some(*x as i64)),
                ScalarValue::Int64(Some(*y as i64)),
                rounded(share(*x, total_a)),
                rounded(share(*y, total_b)),
                rounded(*difference),
            ]
        });
        let names = [
            ("SegmentId", Type::Long),
            ("CountA", Type::Long),
            ("CountB", Type::Long),
            ("PercentA", Type::Real),
            ("PercentB", Type::Real),
            ("PercentDiffAB", Type::Real),
        ];
        let patterns: Vec<&Pattern> = kept.iter().map(|(pattern, ..)| pattern).collect();
        pattern_rows(&names, numbers.collect(), &input, &coded, &patterns, &wildcards, span)
    }
}

/// `'~'`, which stands for the default.
fn is_default(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Literal(Literal::String(text)) if text == "~")
}

/// The texts of a column of the different rows.
fn texts_of(found: &SubqueryResult, column: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for batch in &found.batches {
        let cells = Cells::new(found.columns[column].column_type, batch.column(column));
        texts.extend((0..batch.num_rows()).map(|row| cells.text(row)));
    }
    texts
}

/// Rows as codes. Null and empty values, and those of the columns `left_out`, are in no pattern.
fn coded(found: &SubqueryResult, left_out: &[usize]) -> Coded {
    let columns = found.columns.len() - 1;
    let count: usize = found.batches.iter().map(RecordBatch::num_rows).sum();
    let mut rows: Vec<Vec<Option<u32>>> = vec![vec![None; columns]; count];
    let mut values: Vec<Vec<ScalarValue>> = vec![Vec::new(); columns];
    for column in (0..columns).filter(|column| !left_out.contains(column)) {
        let mut codes: HashMap<String, u32> = HashMap::new();
        let mut start = 0;
        for batch in &found.batches {
            let array = batch.column(column);
            let cells = Cells::new(found.columns[column].column_type, array);
            for row in 0..batch.num_rows() {
                let text = cells.text(row);
                if cells.is_null(row) || text.is_empty() {
                    continue;
                }
                let known = &mut values[column];
                let code = *codes.entry(text).or_insert_with(|| {
                    known.extend(ScalarValue::try_from_array(array, row).ok());
                    u32::try_from(known.len() - 1).unwrap_or(u32::MAX)
                });
                rows[start + row][column] = Some(code);
            }
            start += batch.num_rows();
        }
    }
    let weights = found.batches.iter().flat_map(|batch| {
        let weights = batch.column(columns).as_primitive::<Float64Type>();
        weights.iter().map(Option::unwrap_or_default).collect::<Vec<_>>()
    });
    Coded { rows: Rows { rows, weights: weights.collect(), columns }, values }
}

/// Rows of numbers, then the values of patterns in the columns of the input.
fn pattern_rows(
    names: &[(&str, Type)],
    numbers: Vec<Vec<ScalarValue>>,
    input: &Relation,
    coded: &Coded,
    patterns: &[&Pattern],
    wildcards: &HashMap<Type, ScalarValue>,
    span: Span,
) -> Result<Relation> {
    let mut schema: Vec<types::Column> = names.iter().map(|(name, of)| types::Column::new(*name, *of)).collect();
    let mut cells: Vec<Vec<ScalarValue>> = vec![Vec::new(); names.len()];
    for row in numbers {
        row.into_iter().zip(&mut cells).for_each(|(value, column)| column.push(value));
    }
    for (i, column) in input.columns.iter().enumerate() {
        let name = super::relation::unique_name(&column.name, |n| schema.iter().any(|known| known.name == n));
        schema.push(types::Column::new(name, column.column_type));
        let any = wildcards.get(&column.column_type).cloned().unwrap_or_else(|| null_value(column.column_type));
        let value = |pattern: &&Pattern| match pattern[i] {
            Some(code) => coded.values[i].get(code as usize).cloned().unwrap_or_else(|| any.clone()),
            None => any.clone(),
        };
        cells.push(patterns.iter().map(value).collect());
    }
    rows_of(&schema, cells, span)
}

fn rows_of(schema: &[types::Column], cells: Vec<Vec<ScalarValue>>, span: Span) -> Result<Relation> {
    let arrow = arrow_schema(schema);
    let arrays = cells.into_iter().zip(schema).map(|(column, declared)| match column.is_empty() {
        true => Ok(datafusion::arrow::array::new_empty_array(&types::arrow_type(declared.column_type))),
        false => ScalarValue::iter_to_array(column),
    });
    let arrays = arrays.collect::<datafusion::common::Result<Vec<_>>>().map_err(|e| internal(span, &e))?;
    let batch = RecordBatch::try_new(arrow, arrays).map_err(|e| internal(span, &e.into()))?;
    constant_rows("patterns", schema, vec![batch], span)
}

fn template_columns() -> [types::Column; 3] {
    [("Pattern", Type::String), ("Count", Type::Long), ("Representative", Type::String)]
        .map(|(name, of)| types::Column::new(name, of))
}

fn template_rows(found: &[Template], span: Span) -> Result<Relation> {
    let arrays: Vec<Arc<dyn Array>> = vec![
        Arc::new(StringViewArray::from_iter_values(found.iter().map(|t| &t.pattern))),
        Arc::new(Int64Array::from_iter_values(found.iter().map(|t| t.count.cast_signed()))),
        Arc::new(StringViewArray::from_iter_values(found.iter().map(|t| &t.representative))),
    ];
    let schema = template_columns();
    let batch = RecordBatch::try_new(arrow_schema(&schema), arrays).map_err(|e| internal(span, &e.into()))?;
    constant_rows("templates", &schema, vec![batch], span)
}

/// Each text with its template.
fn member_rows(found: &[Template], texts: &[(String, u64)], span: Span) -> Result<Relation> {
    let members: Vec<(&str, &Template)> =
        found.iter().flat_map(|t| t.members.iter().map(move |member| (texts[*member].0.as_str(), t))).collect();
    let arrays: Vec<Arc<dyn Array>> = vec![
        Arc::new(StringViewArray::from_iter_values(members.iter().map(|(text, _)| *text))),
        Arc::new(StringViewArray::from_iter_values(members.iter().map(|(_, t)| &t.pattern))),
        Arc::new(Int64Array::from_iter_values(members.iter().map(|(_, t)| t.count.cast_signed()))),
        Arc::new(StringViewArray::from_iter_values(members.iter().map(|(_, t)| &t.representative))),
    ];
    let mut schema = vec![types::Column::new("$member", Type::String)];
    schema.extend(template_columns());
    let batch = RecordBatch::try_new(arrow_schema(&schema), arrays).map_err(|e| internal(span, &e.into()))?;
    constant_rows("templates", &schema, vec![batch], span)
}
