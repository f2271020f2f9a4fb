//! Aggregates and functions whose values are sketches: `hll`, `tdigest`, `buildschema`.

use super::relation::{Relation, column, wrong_type};
use super::summarize::Summary;
use super::{Binder, Names, Result, Scope, Typed};
use crate::aggregates::{self, Kind};
use crate::functions::{codec, sketch};
use datafusion::logical_expr::Expr as Plan;
use kql::tree::{Argument, Evaluate};
use kql::{Diagnostic, Span, Type};

/// The accuracy of `hll` where none is given, and the finest.
const ACCURACY_DEFAULT: i64 = 1;
const ACCURACY_MAX: i64 = 4;
/// `dcount_intersect` takes so many sets.
const SETS: std::ops::RangeInclusive<usize> = 2..=16;

impl<'q> Binder<'q> {
    /// A call of one of these aggregates, whose arguments have been counted.
    pub(super) fn sketch(
        &mut self,
        name: &str,
        arguments: &'q [Argument],
        summary: &mut Summary<'_>,
        scope: &Scope<'q, '_>,
    ) -> Result<Typed> {
        let at = arguments[0].value.span;
        let value = self.expression(&arguments[0].value, scope)?;
        let of = value.value_type;
        let (kind, given, filter) = match name {
            "hll" | "hll_if" => {
                let with_filter = usize::from(name == "hll_if");
                let filter = self.filter(arguments.get(1).filter(|_| with_filter == 1), scope)?;
                let accuracy = match arguments.get(1 + with_filter) {
                    Some(accuracy) => self.constant_long(&accuracy.value, "the accuracy", scope)?,
                    None => ACCURACY_DEFAULT,
                };
                if !(0..=ACCURACY_MAX).contains(&accuracy) {
                    let message = format!("the accuracy is a number from 0 to {ACCURACY_MAX}");
                    return Err(Diagnostic::semantic(arguments[1 + with_filter].value.span, message).into());
                }
                let is_there = value.expr.clone().is_not_null();
                let filter = filter.map_or(is_there.clone(), |filter| filter.and(is_there));
                (Kind::DistinctSketch { accuracy }, vec![self.hashed(value, at)?], Some(filter))
            }
            "tdigest" => {
                let of = match of {
                    Type::Int | Type::Long => Type::Long,
                    Type::Real | Type::Decimal => Type::Real,
                    Type::DateTime | Type::TimeSpan => of,
                    other => return Err(wrong_type(at, "the argument of tdigest()", other, "a number or a time")),
                };
                let mut given = vec![self.convert(value, of, at)?.expr];
                if let Some(weight) = arguments.get(1) {
                    let typed = self.expression(&weight.value, scope)?;
                    given.push(self.coerce(typed, Type::Long, weight.value.span)?.expr);
                }
                (Kind::Digest { of }, given, None)
            }
            _ => {
                if of != Type::Dynamic {
                    return Err(wrong_type(at, &format!("the argument of {name}()"), of, "dynamic"));
                }
                let kind = match name {
                    "buildschema" => Kind::Schema,
                    "hll_merge" => Kind::MergeDistinct,
                    _ => Kind::MergeDigests,
                };
                (kind, vec![value.expr], None)
            }
        };
        let made = summary.add(aggregates::call(kind, given, filter, Vec::new()));
        Ok(Typed::new(made, Type::Dynamic))
    }

    /// The hash that `hash()` gives.
    fn hashed(&mut self, value: Typed, span: Span) -> Result<Plan> {
        let (kernel, of) = match value.value_type {
            Type::Int | Type::Long => (&codec::XXHASH64_LONG, Type::Long),
            of @ (Type::DateTime | Type::TimeSpan) => (&codec::XXHASH64_LONG, of),
            Type::Real | Type::Decimal => (&codec::XXHASH64_REAL, Type::Real),
            _ => (&codec::XXHASH64, Type::String),
        };
        Ok(kernel.call(vec![self.convert(value, of, span)?.expr]))
    }

    /// `percentile_tdigest(digest, percentile [, typeof(type)])`.
    pub(super) fn percentile_tdigest(
        &mut self,
        arguments: &'q [Argument],
        span: Span,
        scope: &Scope<'q, '_>,
    ) -> Result<Typed> {
        let [digest, percentile, rest @ ..] = arguments else {
            return Err(Diagnostic::semantic(span, "percentile_tdigest() needs a digest and a percentile").into());
        };
        let digest_typed = self.expression(&digest.value, scope)?;
        let digest_typed = self.coerce(digest_typed, Type::Dynamic, digest.value.span)?;
        let percent = self.expression(&percentile.value, scope)?;
        let percent = self.coerce(percent, Type::Real, percentile.value.span)?;
        let found = sketch::PERCENTILE_TDIGEST.call(vec![digest_typed.expr, percent.expr]);
        let found = Typed::new(found, Type::Dynamic);
        if let Some(extra) = rest.get(1) {
            return Err(Diagnostic::semantic(extra.value.span, "one argument too many").into());
        }
        self.typed_as(found, rest.first())
    }

    /// `dcount_intersect(hll, hll, ...)`: how many values the first sets have in common, for each number of sets.
    pub(super) fn dcount_intersect(
        &mut self,
        input: Relation,
        evaluate: &'q Evaluate,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        if !SETS.contains(&evaluate.arguments.len()) {
            let message = format!("dcount_intersect() takes {} to {} sets", SETS.start(), SETS.end());
            return Err(Diagnostic::semantic(span, message).into());
        }
        let columns = input.columns.clone();
        let scope = Scope { names: names.clone(), columns: &columns };
        let mut sets: Vec<Plan> = Vec::new();
        let mut outputs: Vec<(String, Typed)> = columns.iter().map(|c| (c.name.clone(), column(c))).collect();
        for (i, argument) in evaluate.arguments.iter().enumerate() {
            let typed = self.expression(&argument.value, &scope)?;
            if typed.value_type != Type::Dynamic {
                return Err(wrong_type(argument.value.span, "a set", typed.value_type, "dynamic"));
            }
            sets.push(typed.expr);
            let name = super::relation::unique_name(&format!("s{i}"), |n| outputs.iter().any(|(known, _)| known == n));
            outputs.push((name, Typed::new(sketch::HLL_COMMON.call(sets.clone()), Type::Long)));
        }
        input.project(outputs, span)
    }
}
