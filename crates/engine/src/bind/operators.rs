//! Arithmetic, logic, word operators and lists.

use super::comparison::{Comparison, compare, null_is_false};
use super::expression::{long, text};
use super::findings::both;
use super::relation::wrong_type;
use super::{Binder, Result, Scope, Typed, constant, internal};
use crate::functions::{decimal, dynamic, math, regexes, terms};
use crate::json;
use crate::types::arrow_type;
use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::logical_expr::{Expr as Plan, Operator, binary_expr, cast, in_list, lit, not};
use datafusion::scalar::ScalarValue;
use kql::tree::{BinaryOperator, Expr, ExprKind, MembershipOperator, TextMatch};
use kql::{Diagnostic, Span, Type};

/// Lists longer than this are refused; the original takes about a million.
const LIST_ITEMS_MAX: usize = 1_000_000;

impl<'q> Binder<'q> {
    pub(super) fn negate(&mut self, operand: &'q Expr, scope: &Scope<'q, '_>) -> Result<Typed> {
        let typed = self.expression(operand, scope)?;
        if let Plan::Literal(value, _) = &typed.expr {
            match (value, typed.value_type) {
                (ScalarValue::Int64(Some(n)), t) => return Ok(Typed::new(long(n.wrapping_neg()), t)),
                (ScalarValue::Float64(Some(x)), t) => return Ok(Typed::new(lit(-x), t)),
                _ => {}
            }
        }
        match typed.value_type {
            Type::Int => {
                let wide = self.convert(typed, Type::Long, operand.span)?;
                Ok(Typed::new(binary_expr(long(0), Operator::Minus, wide.expr), Type::Long))
            }
            Type::Long | Type::TimeSpan => {
                Ok(Typed::new(binary_expr(long(0), Operator::Minus, typed.expr), typed.value_type))
            }
            Type::Real | Type::Decimal => Ok(Typed::new(Plan::Negative(Box::new(typed.expr)), typed.value_type)),
            other => Err(wrong_type(operand.span, "the operand of '-'", other, "a number or a timespan")),
        }
    }

    pub(super) fn binary(
        &mut self,
        operator: BinaryOperator,
        left: &'q Expr,
        right: &'q Expr,
        span: Span,
        scope: &Scope<'q, '_>,
    ) -> Result<Typed> {
        match operator {
            BinaryOperator::And | BinaryOperator::Or => {
                let what = format!("an operand of '{}'", operator.text());
                let (a, b) = both(self.condition(left, &what, scope), self.condition(right, &what, scope))?;
                let operator = if operator == BinaryOperator::And { Operator::And } else { Operator::Or };
                Ok(Typed::new(binary_expr(a, operator, b), Type::Bool))
            }
            BinaryOperator::Search => Err(Diagnostic::syntax(span, "':' stands in 'search' alone").into()),
            BinaryOperator::Text(_) | BinaryOperator::EqualIgnoreCase | BinaryOperator::NotEqualIgnoreCase => {
                self.text_operator(operator, left, right, scope)
            }
            _ => {
                let (a, b) = both(self.expression(left, scope), self.expression(right, scope))?;
                match comparison_of(operator) {
                    Some(comparison) => self.comparison(comparison, operator, a, b, span),
                    None => self.arithmetic(operator, a, b, span),
                }
            }
        }
    }

    /// Gives both operands one type and compares.
    fn comparison(
        &mut self,
        comparison: Comparison,
        operator: BinaryOperator,
        left: Typed,
        right: Typed,
        span: Span,
    ) -> Result<Typed> {
        let is_order = !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        let comparable = if is_order { comparable_type } else { equatable_type };
        let common = comparable(left.value_type, right.value_type).ok_or_else(|| {
            let (a, b) = (left.value_type, right.value_type);
            Diagnostic::semantic(span, format!("'{}' cannot compare {a} with {b}", operator.text()))
        })?;
        if is_order && matches!(common, Type::Bool | Type::Guid) {
            let message = format!("'{}' does not apply to values of type {common}", operator.text());
            return Err(Diagnostic::semantic(span, message).into());
        }
        let left = self.convert(left, common, span)?;
        let right = self.convert(right, common, span)?;
        Ok(Typed::new(compare(comparison, left.expr, right.expr, common), Type::Bool))
    }

    fn arithmetic(&mut self, operator: BinaryOperator, left: Typed, right: Typed, span: Span) -> Result<Typed> {
        use BinaryOperator::{Add, Divide, Modulo, Multiply, Subtract};
        use Type::{DateTime, Decimal, Long, Real, TimeSpan};
        let (a, b) = (left.value_type, right.value_type);
        let refuse = || {
            let message = format!("'{}' does not apply to {a} and {b}", operator.text());
            let diagnostic = Diagnostic::semantic(span, message);
            if a == Type::Dynamic || b == Type::Dynamic {
                diagnostic.with_hint("Convert a dynamic value first, with tolong(...) or toreal(...).")
            } else {
                diagnostic
            }
        };
        let native =
            |operator, left: Typed, right: Typed, of| Ok(Typed::new(binary_expr(left.expr, operator, right.expr), of));
        if a.is_numeric() && b.is_numeric() {
            let common = match (a, b) {
                (Real, _) | (_, Real) => Real,
                (Decimal, _) | (_, Decimal) => Decimal,
                _ => Long,
            };
            let (left, right) = (self.convert(left, common, span)?, self.convert(right, common, span)?);
            if common == Decimal {
                let kernel = match operator {
                    Add => &decimal::ADD,
                    Subtract => &decimal::SUBTRACT,
                    Multiply => &decimal::MULTIPLY,
                    Divide => &decimal::DIVIDE,
                    Modulo => &decimal::MODULO,
                    _ => return Err(refuse().into()),
                };
                return Ok(Typed::new(kernel.call(vec![left.expr, right.expr]), Decimal));
            }
            return match (operator, common) {
                (Add, _) => native(Operator::Plus, left, right, common),
                (Subtract, _) => native(Operator::Minus, left, right, common),
                (Multiply, _) => native(Operator::Multiply, left, right, common),
                (Divide, Long) => Ok(Typed::new(math::DIVIDE_LONG.call(vec![left.expr, right.expr]), Long)),
                (Divide, _) => Ok(Typed::new(math::DIVIDE_REAL.call(vec![left.expr, right.expr]), Real)),
                (Modulo, Long) => Ok(Typed::new(math::MODULO_LONG.call(vec![left.expr, right.expr]), Long)),
                (Modulo, _) => Ok(Typed::new(math::MODULO_REAL.call(vec![left.expr, right.expr]), Real)),
                _ => Err(refuse().into()),
            };
        }
        match (operator, a, b) {
            (Subtract, DateTime, DateTime) => native(Operator::Minus, left, right, TimeSpan),
            (Add, DateTime, TimeSpan) => {
                Ok(Typed::new(math::ADD_TO_DATETIME.call(vec![left.expr, right.expr]), DateTime))
            }
            (Add, TimeSpan, DateTime) => {
                Ok(Typed::new(math::ADD_TO_DATETIME.call(vec![right.expr, left.expr]), DateTime))
            }
            (Subtract, DateTime, TimeSpan) => {
                Ok(Typed::new(math::SUBTRACT_FROM_DATETIME.call(vec![left.expr, right.expr]), DateTime))
            }
            (Add, TimeSpan, TimeSpan) => native(Operator::Plus, left, right, TimeSpan),
            (Subtract, TimeSpan, TimeSpan) => native(Operator::Minus, left, right, TimeSpan),
            (Divide, TimeSpan, TimeSpan) => {
                Ok(Typed::new(math::TIMESPAN_RATIO.call(vec![left.expr, right.expr]), Real))
            }
            (Modulo, TimeSpan, TimeSpan) => {
                Ok(Typed::new(math::MODULO_TIMESPAN.call(vec![left.expr, right.expr]), TimeSpan))
            }
            (Multiply, TimeSpan, n) if n.is_integer() => {
                let factor = self.convert(right, Long, span)?;
                native(Operator::Multiply, left, factor, TimeSpan)
            }
            (Multiply, n, TimeSpan) if n.is_integer() => {
                let factor = self.convert(left, Long, span)?;
                native(Operator::Multiply, factor, right, TimeSpan)
            }
            (Multiply, TimeSpan, Real) => {
                Ok(Typed::new(math::SCALE_TIMESPAN.call(vec![left.expr, right.expr]), TimeSpan))
            }
            (Multiply, Real, TimeSpan) => {
                Ok(Typed::new(math::SCALE_TIMESPAN.call(vec![right.expr, left.expr]), TimeSpan))
            }
            (Divide, TimeSpan, n) if n.is_integer() || n == Real => {
                let divisor = self.convert(right, Real, span)?;
                Ok(Typed::new(math::DIVIDE_TIMESPAN.call(vec![left.expr, divisor.expr]), TimeSpan))
            }
            _ => Err(refuse().into()),
        }
    }

    fn text_operator(
        &mut self,
        operator: BinaryOperator,
        left: &'q Expr,
        right: &'q Expr,
        scope: &Scope<'q, '_>,
    ) -> Result<Typed> {
        let what = format!("an operand of '{}'", operator.text());
        let needle = self.expression(right, scope)?;
        if needle.value_type != Type::String && needle.value_type != Type::Dynamic {
            return Err(wrong_type(right.span, &what, needle.value_type, "string"));
        }
        let needle = self.convert(needle, Type::String, right.span)?;
        let (kernel, negated) = match operator {
            BinaryOperator::Text(text) => (terms::kernel(text), text.negated),
            other => (&terms::EQUALS_IGNORE_CASE, other == BinaryOperator::NotEqualIgnoreCase),
        };
        if matches!(operator, BinaryOperator::Text(text) if text.kind == TextMatch::Regex)
            && let Plan::Literal(ScalarValue::Utf8View(Some(pattern)), _) = &needle.expr
        {
            regexes::compile(pattern).map_err(|problem| Diagnostic::semantic(right.span, problem))?;
        }
        // `* has "x"`: any column that holds text.
        let haystacks = if left.kind == ExprKind::Star {
            let columns = scope.columns.iter().filter(|c| matches!(c.column_type, Type::String | Type::Dynamic));
            columns.map(super::relation::column).collect()
        } else {
            vec![self.expression(left, scope)?]
        };
        let mut tests = Vec::new();
        for haystack in haystacks {
            if !matches!(haystack.value_type, Type::String | Type::Dynamic | Type::Guid) {
                return Err(wrong_type(left.span, &what, haystack.value_type, "string"));
            }
            let haystack = self.convert(haystack, Type::String, left.span)?;
            tests.push(kernel.call(vec![haystack.expr, needle.expr.clone()]));
        }
        let test = tests.into_iter().reduce(Plan::or).unwrap_or_else(|| lit(false));
        Ok(Typed::new(if negated { not(test) } else { test }, Type::Bool))
    }

    pub(super) fn between(
        &mut self,
        [value, low, high]: [&'q Expr; 3],
        negated: bool,
        scope: &Scope<'q, '_>,
    ) -> Result<Typed> {
        let span = value.span.to(high.span);
        let bounds = both(self.expression(low, scope), self.expression(high, scope));
        let (typed, (low_typed, mut high_typed)) = both(self.expression(value, scope), bounds)?;
        if low_typed.value_type == Type::DateTime && high_typed.value_type == Type::TimeSpan {
            high_typed = self.arithmetic(BinaryOperator::Add, low_typed.clone(), high_typed, high.span)?;
        }
        let at_least = self.comparison(
            Comparison::GreaterOrEqual,
            BinaryOperator::GreaterOrEqual,
            typed.clone(),
            low_typed,
            span,
        )?;
        let at_most = self.comparison(Comparison::LessOrEqual, BinaryOperator::LessOrEqual, typed, high_typed, span)?;
        let inside = at_least.expr.and(at_most.expr);
        Ok(Typed::new(if negated { not(inside) } else { inside }, Type::Bool))
    }

    /// `around(value, center, delta)`: no farther from the center than the delta.
    pub(super) fn is_around(&mut self, arguments: [&'q Expr; 3], scope: &Scope<'q, '_>) -> Result<Typed> {
        let [value, center, delta] = arguments;
        let span = value.span.to(delta.span);
        let range = both(self.expression(center, scope), self.expression(delta, scope));
        let (typed, (center, delta)) = both(self.expression(value, scope), range)?;
        let low = self.arithmetic(BinaryOperator::Subtract, center.clone(), delta.clone(), span)?;
        let high = self.arithmetic(BinaryOperator::Add, center, delta, span)?;
        let (at_least, at_most) = (BinaryOperator::GreaterOrEqual, BinaryOperator::LessOrEqual);
        let above = self.comparison(Comparison::GreaterOrEqual, at_least, typed.clone(), low, span)?;
        let below = self.comparison(Comparison::LessOrEqual, at_most, typed, high, span)?;
        Ok(Typed::new(above.expr.and(below.expr), Type::Bool))
    }

    pub(super) fn membership(
        &mut self,
        operator: MembershipOperator,
        value: &'q Expr,
        list: &'q [Expr],
        span: Span,
        scope: &Scope<'q, '_>,
    ) -> Result<Typed> {
        use MembershipOperator::{HasAll, HasAny, In, InIgnoreCase, NotIn, NotInIgnoreCase};
        let (mut needle, (items, row_lists)) = both(self.expression(value, scope), self.list_items(list, scope))?;
        let wants_text = !matches!(operator, In | NotIn);
        if wants_text && !matches!(needle.value_type, Type::String | Type::Dynamic) {
            let what = format!("the left operand of '{}'", operator.text());
            return Err(wrong_type(value.span, &what, needle.value_type, "string"));
        }
        if needle.value_type == Type::Dynamic {
            needle = self.convert(needle, Type::String, value.span)?;
        }
        let mut common = needle.value_type;
        for item in items.iter().filter(|i| i.value_type != Type::Dynamic) {
            common = equatable_type(common, item.value_type).ok_or_else(|| {
                let message = format!("'{}' cannot compare {common} with {}", operator.text(), item.value_type);
                Diagnostic::semantic(span, message)
            })?;
        }
        let needle = self.convert(needle, common, span)?;
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            values.push(self.convert(item, common, span)?.expr);
        }
        let mut row_tests = Vec::new();
        for row_list in row_lists {
            row_tests.push(match operator {
                In | NotIn => dynamic::IN_ARRAY.call(vec![self.in_json(needle.clone(), value.span)?.expr, row_list]),
                InIgnoreCase | NotInIgnoreCase => terms::IN_LIST_IGNORE_CASE.call(vec![needle.expr.clone(), row_list]),
                HasAny => terms::HAS_ANY_OF_LIST.call(vec![needle.expr.clone(), row_list]),
                HasAll => terms::HAS_ALL_OF_LIST.call(vec![needle.expr.clone(), row_list]),
            });
        }
        let needle = needle.expr;
        let test = match operator {
            _ if values.is_empty() => lit(operator == HasAll),
            HasAny | HasAll => {
                let kernel = if operator == HasAny { &terms::HAS_ANY } else { &terms::HAS_ALL };
                kernel.call(std::iter::once(needle).chain(values).collect())
            }
            InIgnoreCase | NotInIgnoreCase => {
                terms::IN_IGNORE_CASE.call(std::iter::once(needle).chain(values).collect())
            }
            In | NotIn if common == Type::String => in_list(needle, values, false),
            In | NotIn => null_is_false(in_list(needle, values, false)),
        };
        let test = row_tests.into_iter().fold(test, |test, row_test| match operator {
            HasAll => test.and(row_test),
            _ => test.or(row_test),
        });
        let negated = matches!(operator, NotIn | NotInIgnoreCase);
        Ok(Typed::new(if negated { not(test) } else { test }, Type::Bool))
    }

    /// The items of a list: values as they stand, the elements of constant arrays, the first column of rows. Beside
    /// them the dynamic values whose elements differ from row to row.
    fn list_items(&mut self, list: &'q [Expr], scope: &Scope<'q, '_>) -> Result<(Vec<Typed>, Vec<Plan>)> {
        let mut items = Vec::new();
        let mut row_lists = Vec::new();
        for expr in list {
            if self.is_tabular_expression(expr, &scope.names) {
                let relation = self.table_expression(expr, &scope.names)?;
                // Of several columns the first is the list.
                let first: Vec<_> = relation.outputs().into_iter().take(1).collect();
                let relation = relation.project(first, expr.span)?;
                let result = self.subquery(relation, expr.span)?;
                let value_type = result.columns[0].column_type;
                for batch in &result.batches {
                    items.extend(column_items(batch.column(0), value_type));
                }
            } else {
                let typed = self.expression(expr, scope)?;
                match (typed.value_type, typed.is_constant()) {
                    (Type::Dynamic, true) => items.extend(dynamic_items(&typed, expr.span)?),
                    (Type::Dynamic, false) => row_lists.push(typed.expr),
                    _ => items.push(typed),
                }
            }
            if items.len() > LIST_ITEMS_MAX {
                let message = format!("the list has more than {LIST_ITEMS_MAX} items");
                return Err(Diagnostic::semantic(expr.span, message).into());
            }
        }
        Ok((items, row_lists))
    }
}

fn column_items(array: &ArrayRef, value_type: Type) -> Vec<Typed> {
    let items = (0..array.len()).filter(|i| array.is_valid(*i));
    let values = items.filter_map(|i| ScalarValue::try_from_array(array, i).ok());
    values.map(|v| Typed::new(lit(v), value_type)).collect()
}

/// The elements of a constant array, as strings or as what they are; a constant that is no array is one item.
pub(super) fn dynamic_items(typed: &Typed, span: Span) -> Result<Vec<Typed>> {
    let value = constant::evaluate(&typed.expr).map_err(|e| internal(span, &e))?;
    let ScalarValue::Utf8View(Some(json)) = value else { return Ok(Vec::new()) };
    let elements = match json::tree(&json) {
        serde_json::Value::Array(elements) => elements,
        other => vec![other],
    };
    Ok(elements
        .into_iter()
        .filter_map(|element| match element {
            serde_json::Value::Null => None,
            serde_json::Value::String(s) => Some(Typed::new(text(s), Type::String)),
            serde_json::Value::Bool(b) => Some(Typed::new(lit(b), Type::Bool)),
            serde_json::Value::Number(n) => Some(match n.as_i64() {
                Some(whole) => Typed::new(long(whole), Type::Long),
                None => Typed::new(lit(n.as_f64().unwrap_or(f64::NAN)), Type::Real),
            }),
            nested => Some(Typed::new(text(nested.to_string()), Type::Dynamic)),
        })
        .collect())
}

fn comparison_of(operator: BinaryOperator) -> Option<Comparison> {
    Some(match operator {
        BinaryOperator::Equal => Comparison::Equal,
        BinaryOperator::NotEqual => Comparison::NotEqual,
        BinaryOperator::Less => Comparison::Less,
        BinaryOperator::LessOrEqual => Comparison::LessOrEqual,
        BinaryOperator::Greater => Comparison::Greater,
        BinaryOperator::GreaterOrEqual => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

/// The type in which values of two types are compared, `None` when they cannot be.
pub(super) fn comparable_type(a: Type, b: Type) -> Option<Type> {
    use Type::{Bool, DateTime, Decimal, Dynamic, Guid, Int, Long, Real, String, TimeSpan};
    Some(match (a, b) {
        (Dynamic, Dynamic) => return None,
        _ if a == b => a,
        (Int | Long, Int | Long) => Long,
        (Real, Int | Long) | (Int | Long, Real) => Real,
        (Decimal, Int | Long) | (Int | Long, Decimal) => Decimal,
        (Decimal, Real) | (Real, Decimal) => Real,
        // A number inside a dynamic value may have a fraction.
        (Dynamic, Int | Long | Real) | (Int | Long | Real, Dynamic) => Real,
        (Dynamic, t @ (Bool | String | DateTime | TimeSpan | Guid)) => t,
        (t @ (Bool | String | DateTime | TimeSpan | Guid), Dynamic) => t,
        (Guid, String) | (String, Guid) => Guid,
        (Bool, Int | Long) | (Int | Long, Bool) => Long,
        _ => return None,
    })
}

/// The type in which values of two types are tested for equality. A number equals the text that it is written as.
fn equatable_type(a: Type, b: Type) -> Option<Type> {
    comparable_type(a, b).or(match (a, b) {
        (Type::String, other) | (other, Type::String) if other.is_numeric() => Some(Type::String),
        (Type::String, other @ (Type::Bool | Type::TimeSpan))
        | (other @ (Type::Bool | Type::TimeSpan), Type::String) => Some(other),
        _ => None,
    })
}

/// The type of a result that may come from either of two branches.
pub(super) fn branch_type(a: Type, b: Type) -> Option<Type> {
    match (a, b) {
        _ if a == b => Some(a),
        (Type::Int, Type::Long) | (Type::Long, Type::Int) => Some(Type::Long),
        (Type::Dynamic, other) | (other, Type::Dynamic) => Some(other),
        _ => None,
    }
}

/// `e` in the Arrow type of `of`, for branches of a CASE that must agree to the letter.
pub(super) fn exact(e: Plan, of: Type) -> Plan {
    match &e {
        Plan::Literal(value, _) if value.data_type() == arrow_type(of) => e,
        _ => cast(e, arrow_type(of)),
    }
}
