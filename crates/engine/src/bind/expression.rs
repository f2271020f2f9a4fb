//! Scalar expressions: names, literals, access into dynamic values, conversions.

use super::relation::{self, column, null, wrong_type};
use super::{Binder, Meaning, Result, Scope, Stop, Typed, internal, unknown};
use crate::functions::{conversion, dynamic};
use crate::json;
use crate::types::{DECIMAL_PRECISION, DECIMAL_SCALE, arrow_type};
use datafusion::logical_expr::{Expr as Plan, cast, lit};
use datafusion::scalar::ScalarValue;
use kql::timespan::TICKS_PER_DAY;
use kql::tree::{Expr, ExprKind, Literal, Name};
use kql::{Diagnostic, Span, Type};

/// A string constant of the engine's string type.
pub(crate) fn text(value: impl Into<String>) -> Plan {
    lit(ScalarValue::Utf8View(Some(value.into())))
}

/// A long, datetime or timespan constant.
pub(crate) fn long(value: i64) -> Plan {
    lit(ScalarValue::Int64(Some(value)))
}

impl<'q> Binder<'q> {
    pub fn expression(&mut self, expr: &'q Expr, scope: &Scope<'q, '_>) -> Result<Typed> {
        const RED_ZONE_BYTES: usize = 256 << 10;
        const SEGMENT_BYTES: usize = 4 << 20;
        stacker::maybe_grow(RED_ZONE_BYTES, SEGMENT_BYTES, || self.expression_here(expr, scope))
    }

    fn expression_here(&mut self, expr: &'q Expr, scope: &Scope<'q, '_>) -> Result<Typed> {
        match &expr.kind {
            ExprKind::Literal(literal) => self.literal(literal, expr.span),
            ExprKind::Name(name) => self.name(name, expr.span, scope),
            ExprKind::Member { .. } | ExprKind::Index { .. } => self.path(expr, scope),
            ExprKind::Call { function, arguments } => self.call(function, arguments, expr.span, scope),
            ExprKind::Negate(operand) => self.negate(operand, scope),
            ExprKind::Binary { operator, left, right } => self.binary(*operator, left, right, expr.span, scope),
            ExprKind::Between { value, low, high, negated } => self.between([value, low, high], *negated, scope),
            ExprKind::Membership { operator, value, list } => self.membership(*operator, value, list, expr.span, scope),
            ExprKind::Star => Err(Diagnostic::semantic(expr.span, "'*' cannot stand here").into()),
            ExprKind::TypeOf(_) => Err(Diagnostic::semantic(expr.span, "a type cannot stand here").into()),
            ExprKind::Pipeline(_) | ExprKind::DataTable { .. } => {
                let diagnostic = Diagnostic::semantic(expr.span, "rows cannot stand where a value is expected");
                Err(diagnostic.with_hint("toscalar(...) takes the first value of the first row.").into())
            }
            ExprKind::Error => Err(Diagnostic::syntax(expr.span, "this expression could not be read").into()),
        }
    }

    /// A condition: bool, or dynamic taken as bool.
    pub fn condition(&mut self, expr: &'q Expr, what: &str, scope: &Scope<'q, '_>) -> Result<Plan> {
        let typed = self.expression(expr, scope)?;
        match typed.value_type {
            Type::Bool => Ok(typed.expr),
            Type::Dynamic => Ok(self.coerce(typed, Type::Bool, expr.span)?.expr),
            other => Err(wrong_type(expr.span, what, other, "bool")),
        }
    }

    fn literal(&self, literal: &Literal, span: Span) -> Result<Typed> {
        let typed = |value, value_type| Ok(Typed::new(lit(value), value_type));
        match literal {
            Literal::Bool(value) => typed(ScalarValue::Boolean(*value), Type::Bool),
            Literal::Int(value) => typed(ScalarValue::Int32(*value), Type::Int),
            Literal::Long(value) => typed(ScalarValue::Int64(*value), Type::Long),
            Literal::Real(value) => typed(ScalarValue::Float64(*value), Type::Real),
            Literal::Decimal(value) => {
                let unscaled = match value {
                    Some(digits) => Some(conversion::parse_decimal(digits).ok_or_else(|| {
                        Diagnostic::semantic(span, format!("'{digits}' has more digits than a decimal holds"))
                    })?),
                    None => None,
                };
                typed(ScalarValue::Decimal128(unscaled, DECIMAL_PRECISION, DECIMAL_SCALE), Type::Decimal)
            }
            Literal::String(value) => Ok(Typed::new(text(value), Type::String)),
            Literal::DateTime(value) => typed(ScalarValue::Int64(*value), Type::DateTime),
            Literal::Now => Ok(Typed::new(long(self.now_ticks), Type::DateTime)),
            Literal::Today(ticks) => {
                let midnight = self.now_ticks - self.now_ticks.rem_euclid(TICKS_PER_DAY);
                Ok(Typed::new(long(midnight + ticks), Type::DateTime))
            }
            Literal::TimeSpan(value) => typed(ScalarValue::Int64(*value), Type::TimeSpan),
            Literal::Guid(value) => typed(ScalarValue::Utf8View(value.clone()), Type::Guid),
            Literal::Dynamic(raw) => match json::from_literal(raw) {
                Ok(text) if text == "null" => Ok(null(Type::Dynamic)),
                Ok(json) => Ok(Typed::new(text(json), Type::Dynamic)),
                Err(problem) => {
                    Err(Diagnostic::semantic(span, format!("this is no dynamic literal: {problem}")).into())
                }
            },
            Literal::Null => Err(Diagnostic::semantic(span, "a bare null has no type")
                .with_hint("Write its type: long(null), dynamic(null).")
                .into()),
        }
    }

    fn name(&mut self, name: &str, span: Span, scope: &Scope<'q, '_>) -> Result<Typed> {
        if let Some(found) = scope.columns.iter().find(|c| c.name == name) {
            return Ok(column(found));
        }
        match scope.names.find(name) {
            Some(Meaning::Value(typed)) => Ok(typed.clone()),
            Some(Meaning::Mistaken(found)) => Err(Stop::Wrong(found.clone())),
            Some(Meaning::Graph(_)) => {
                Err(Diagnostic::semantic(span, format!("'{name}' is a graph, not a value")).into())
            }
            Some(Meaning::Table(_)) => {
                let diagnostic = Diagnostic::semantic(span, format!("'{name}' is a table, not a value"));
                Err(diagnostic.with_hint("toscalar(...) takes the first value of the first row.").into())
            }
            // A function without parameters may stand without its parentheses.
            Some(Meaning::Function { function, scope: defined_in }) if function.parameters.is_empty() => {
                let (function, defined_in) = (*function, defined_in.clone());
                self.call_value(function, &defined_in, &[], scope, span)
            }
            Some(Meaning::Pattern { .. }) => {
                Err(Diagnostic::semantic(span, format!("'{name}' is a pattern, which gives rows")).into())
            }
            Some(Meaning::Database(_) | Meaning::Group(_) | Meaning::Restriction(_)) => {
                Err(Diagnostic::semantic(span, format!("'{name}' is a database, not a value")).into())
            }
            Some(Meaning::Row(_)) => {
                let message = format!("'{name}' is a row");
                Err(Diagnostic::semantic(span, message).with_hint(format!("Name a column of it: {name}.x.")).into())
            }
            Some(Meaning::Function { .. }) => {
                let message = format!("'{name}' is a function");
                Err(Diagnostic::semantic(span, message).with_hint(format!("Call it: {name}().")).into())
            }
            None if self.is_open => Ok(null(Type::Dynamic)),
            None => {
                let names = scope.names.all();
                let candidates = scope.columns.iter().map(|c| c.name.as_str()).chain(names);
                Err(unknown("column", &Name { text: name.to_owned(), span }, candidates).into())
            }
        }
    }

    /// `base.a["b"][0]`: all the steps at once, so that the text is read once. Over `parse_json(x)` the text of
    /// `x` is read in place.
    fn path(&mut self, expr: &'q Expr, scope: &Scope<'q, '_>) -> Result<Typed> {
        if let Some(column) = self.member_of_row(expr, scope)? {
            return Ok(column);
        }
        if let ExprKind::Member { base, member } = &expr.kind
            && let Some(value) = self.member_of_database(base, member, &scope.names)
        {
            return Ok(value);
        }
        let mut steps = Vec::new();
        let mut base = expr;
        let mut innermost_index = None;
        loop {
            match &base.kind {
                ExprKind::Member { .. } if self.member_of_row(base, scope)?.is_some() => break,
                ExprKind::Member { base: inner, member } => {
                    steps.push(text(json::quote(&member.text)));
                    innermost_index = None;
                    base = inner;
                }
                ExprKind::Index { base: inner, index } => {
                    steps.push(self.path_step(index, scope)?);
                    innermost_index = Some(index.as_ref());
                    base = inner;
                }
                _ => break,
            }
        }
        // An index right after a function of several columns is the number of a column.
        let column = match innermost_index {
            Some(index) => self.indexed_column(base, index, scope)?,
            None => None,
        };
        if column.is_some() {
            steps.pop();
        }
        let document = match column {
            Some(column) if steps.is_empty() => return Ok(column),
            Some(column) if column.value_type == Type::Dynamic => column.expr,
            _ => self.document(base, scope)?,
        };
        steps.reverse();
        let mut arguments = vec![document];
        arguments.extend(steps);
        Ok(Typed::new(dynamic::PATH.call(arguments), Type::Dynamic))
    }

    /// `step.column`, where the name before the dot means a row.
    fn member_of_row(&self, expr: &Expr, scope: &Scope<'q, '_>) -> Result<Option<Typed>> {
        let ExprKind::Member { base, member } = &expr.kind else { return Ok(None) };
        let ExprKind::Name(name) = &base.kind else { return Ok(None) };
        let Some(Meaning::Row(columns)) = scope.names.find(name) else { return Ok(None) };
        match columns.iter().find(|c| c.name == member.text) {
            Some(column) => Ok(Some(relation::column(column))),
            None => Err(unknown("column", member, columns.iter().map(|c| c.name.as_str())).into()),
        }
    }

    fn document(&mut self, base: &'q Expr, scope: &Scope<'q, '_>) -> Result<Plan> {
        if let ExprKind::Call { function, arguments } = &base.kind
            && matches!(function.text.as_str(), "parse_json" | "parsejson" | "todynamic" | "toobject")
            && let [argument] = arguments.as_slice()
            && scope.names.find(&function.text).is_none()
        {
            let inner = self.expression(&argument.value, scope)?;
            if inner.value_type == Type::String {
                // Text that is no JSON has no members, which is also what parse_json() of it has.
                return Ok(inner.expr);
            }
        }
        let typed = self.expression(base, scope)?;
        if typed.value_type != Type::Dynamic {
            let message = format!("a value of type {} has no members", typed.value_type);
            let diagnostic = Diagnostic::semantic(base.span, message);
            return Err(match typed.value_type {
                Type::String => diagnostic.with_hint("parse_json(...) turns text into a dynamic value."),
                _ => diagnostic,
            }
            .into());
        }
        Ok(typed.expr)
    }

    /// An index as JSON: a quoted key or an integer.
    fn path_step(&mut self, index: &'q Expr, scope: &Scope<'q, '_>) -> Result<Plan> {
        let typed = self.expression(index, scope)?;
        match typed.value_type {
            Type::String => Ok(conversion::STRING_AS_DYNAMIC.call(vec![typed.expr])),
            Type::Int | Type::Long => Ok(self.in_json(typed, index.span)?.expr),
            Type::Dynamic => Ok(typed.expr),
            other => Err(wrong_type(index.span, "the index", other, "a string or an integer")),
        }
    }

    /// A value as a dynamic one; a string becomes a JSON string.
    pub fn in_json(&mut self, typed: Typed, span: Span) -> Result<Typed> {
        match typed.value_type {
            Type::Dynamic => Ok(typed),
            Type::String => Ok(Typed::new(conversion::STRING_AS_DYNAMIC.call(vec![typed.expr]), Type::Dynamic)),
            _ => self.convert(typed, Type::Dynamic, span),
        }
    }

    /// Converts as the `to…()` functions do.
    pub fn convert(&mut self, typed: Typed, to: Type, span: Span) -> Result<Typed> {
        let from = typed.value_type;
        if from == to {
            return Ok(typed);
        }
        // Widening is DataFusion's own cast, which its optimizer sees through.
        match (from, to) {
            (Type::Int, Type::Long)
            | (Type::Int | Type::Long, Type::Real | Type::Decimal)
            | (Type::Decimal, Type::Real) => return Ok(Typed::new(cast(typed.expr, arrow_type(to)), to)),
            (Type::Decimal, Type::Int | Type::Long | Type::Bool) => {
                let real = self.convert(typed, Type::Real, span)?;
                return self.convert(real, to, span);
            }
            (Type::Bool, Type::Decimal) => {
                let long = self.convert(typed, Type::Long, span)?;
                return self.convert(long, to, span);
            }
            (Type::Dynamic, Type::Decimal) => {
                let string = self.convert(typed, Type::String, span)?;
                return self.convert(string, to, span);
            }
            _ => {}
        }
        let kernel = conversion::kernel(from, to)
            .ok_or_else(|| Diagnostic::semantic(span, format!("a value of type {from} cannot be converted to {to}")))?;
        let widened = if from == Type::Int { cast(typed.expr, arrow_type(Type::Long)) } else { typed.expr };
        Ok(Typed::new(kernel.call(vec![widened]), to))
    }

    /// Converts where the language does so by itself: int to long to real, dynamic to anything.
    pub fn coerce(&mut self, typed: Typed, to: Type, span: Span) -> Result<Typed> {
        let from = typed.value_type;
        let implicit = from == to
            || matches!(
                (from, to),
                (Type::Int, Type::Long)
                    | (Type::Int | Type::Long, Type::Real | Type::Decimal)
                    | (Type::Long, Type::Int)
                    | (Type::Dynamic, _)
            );
        if !implicit {
            return Err(wrong_type(span, "this", from, to.name()));
        }
        self.convert(typed, to, span)
    }

    /// The number behind an expression that must be a constant.
    pub fn constant_long(&mut self, expr: &'q Expr, what: &str, scope: &Scope<'q, '_>) -> Result<i64> {
        let outer = Scope { names: scope.names.clone(), columns: &[] };
        let typed = self.expression(expr, &outer)?;
        if !matches!(typed.value_type, Type::Int | Type::Long | Type::DateTime | Type::TimeSpan) {
            return Err(wrong_type(expr.span, what, typed.value_type, "an integer"));
        }
        let value = super::constant::evaluate(&typed.expr).map_err(|e| internal(expr.span, &e))?;
        match value {
            ScalarValue::Int64(Some(n)) => Ok(n),
            ScalarValue::Int32(Some(n)) => Ok(n.into()),
            _ => Err(Diagnostic::semantic(expr.span, format!("{what} must not be null")).into()),
        }
    }

    /// The text behind an expression that must be a constant string.
    pub fn constant_text(&mut self, expr: &'q Expr, what: &str, scope: &Scope<'q, '_>) -> Result<String> {
        let outer = Scope { names: scope.names.clone(), columns: &[] };
        let typed = self.expression(expr, &outer)?;
        match (typed.value_type, super::constant::evaluate(&typed.expr)) {
            (Type::String, Ok(ScalarValue::Utf8View(Some(value)))) => Ok(value),
            (Type::String, Err(error)) => Err(internal(expr.span, &error)),
            _ => Err(Diagnostic::semantic(expr.span, format!("{what} must be a constant string")).into()),
        }
    }
}
