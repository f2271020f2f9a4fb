//! Window functions: `prev`, `next`, `row_number` and their kin, and the order of rows that they go by.
//!
//! KQL has them only where the rows are *serialized*: after `sort`, `top`, `range` and `serialize`, and as long as
//! operators follow that keep the order. A plan keeps no order that nothing asks for, so the rows are numbered in a
//! field of their own, and each window is over that number.

use super::relation::{Relation, fresh_field, null, wrong_type};
use super::{Binder, Names, Result, Scope, Stop, Typed, constant, internal, plan};
use crate::windows::{self, Kind};
use datafusion::functions_aggregate::min_max::max_udaf;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::{Case, WindowFunction};
use datafusion::logical_expr::{
    Expr as Plan, ExprFunctionExt, SortExpr, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
    ident, lit,
};
use datafusion::scalar::ScalarValue;
use kql::tree::{Argument, Evaluate, Expr, Name};
use kql::{Diagnostic, Span, Type};

const FUNCTIONS: &[&str] =
    &["next", "prev", "row_cumsum", "row_number", "row_rank", "row_rank_dense", "row_rank_min", "row_window_session"];

pub(super) fn is_window_function(name: &str) -> bool {
    FUNCTIONS.contains(&name)
}

/// The diagnostic for a call that asks for rows in order.
fn not_serialized(name: &str, span: Span) -> Stop {
    Diagnostic::semantic(span, format!("{name}() needs rows in a known order"))
        .with_hint("Put '| sort by ...' or '| serialize' before this operator.")
        .into()
}

/// The window functions that the expressions of one operator call, in the order in which they are bound.
#[derive(Debug)]
pub(crate) struct Windows {
    /// The field that numbers the rows.
    row: String,
    /// The fields that tell groups apart; a window is over the rows of one.
    group: Vec<String>,
    /// Each call with the field that its result has; arguments may read the fields of calls before it.
    calls: Vec<(String, Plan)>,
}

impl Windows {
    /// For expressions over `input`; `None` when its rows are in no known order.
    pub(super) fn over(input: &Relation) -> Option<Windows> {
        let row = input.row.clone().unwrap_or_else(|| fresh_field("$row"));
        let group = input.group.clone();
        input.is_serialized.then_some(Windows { row, group, calls: Vec::new() })
    }
}

impl Relation {
    /// The rows with a number each, in their order, unless they have one.
    pub(super) fn numbered(self, span: Span) -> Result<Relation> {
        match self.row {
            Some(_) => Ok(self),
            None => self.numbered_as(fresh_field("$row"), span),
        }
    }

    fn numbered_as(self, row: String, span: Span) -> Result<Relation> {
        let group: Vec<Plan> = self.group.iter().map(ident).collect();
        let number = match (self.order.is_empty(), group.is_empty()) {
            (true, true) => Ok(row_number()),
            (true, false) => row_number().partition_by(group).build(),
            (false, true) => row_number().order_by(self.order).build(),
            (false, false) => row_number().partition_by(group).order_by(self.order).build(),
        };
        let number = number.map_err(|e| internal(span, &e))?;
        let (builder, name) = with_window(self.builder, number, span)?;
        let kept =
            self.columns.iter().map(|c| &c.field).chain(&self.group).chain(self.carried.iter().map(|c| &c.field));
        let mut fields: Vec<Plan> = kept.map(ident).collect();
        fields.push(ident(name).alias(&row));
        let builder = plan::select(builder, fields, span)?;
        let order = self.group.iter().chain([&row]).map(|field| by_row(field)).collect();
        Ok(Relation { builder, order, row: Some(row), ..self })
    }
}

/// Adds the result of one window function; the name of its field.
pub(super) fn with_window(
    builder: datafusion::logical_expr::LogicalPlanBuilder,
    call: Plan,
    span: Span,
) -> Result<(datafusion::logical_expr::LogicalPlanBuilder, String)> {
    let name = call.schema_name().to_string();
    let builder = plan::window(builder, call, span)?;
    Ok((builder, name))
}

pub(super) fn by_row(row: &str) -> SortExpr {
    SortExpr::new(ident(row), true, false)
}

impl<'q> Binder<'q> {
    /// Computes the window functions that were called while the expressions over `input` were bound. Their fields
    /// stand behind those of the columns until the next projection.
    pub(super) fn with_windows(&mut self, input: Relation, span: Span) -> Result<Relation> {
        let Some(windows) = self.windows.take().filter(|w| !w.calls.is_empty()) else { return Ok(input) };
        if input.order.is_empty() {
            self.needs_single_stream = true;
        }
        let mut relation = match input.row {
            Some(_) => input,
            None => input.numbered_as(windows.row, span)?,
        };
        let mut fields: Vec<Plan> = relation.columns.iter().map(|c| ident(&c.field)).collect();
        fields.extend(relation.hidden().into_iter().map(ident));
        for (field, call) in windows.calls {
            let (builder, name) = with_window(relation.builder, call, span)?;
            let computed = fields.iter().cloned().chain([ident(name).alias(&field)]);
            relation.builder = plan::select(builder, computed, span)?;
            fields.push(ident(&field));
        }
        Ok(relation)
    }

    /// `evaluate rows_near(condition, before [, after])`: the rows that are close to one that meets the condition.
    pub(super) fn rows_near(
        &mut self,
        input: Relation,
        evaluate: &'q Evaluate,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        if !input.is_serialized {
            return Err(not_serialized("rows_near", evaluate.plugin.span));
        }
        if input.order.is_empty() {
            self.needs_single_stream = true;
        }
        let input = input.numbered(span)?;
        let Some(row) = input.row.clone() else { return Ok(input) };
        let columns = input.columns.clone();
        let scope = Scope { names: names.clone(), columns: &columns };
        let [condition, counts @ ..] = evaluate.arguments.as_slice() else {
            return Err(Diagnostic::semantic(span, "rows_near() needs a condition and a number of rows").into());
        };
        let (before, after) = match counts {
            [both] => (&both.value, &both.value),
            [before, after] => (&before.value, &after.value),
            _ => return Err(Diagnostic::semantic(span, "rows_near() takes two or three arguments").into()),
        };
        let condition = self.condition(&condition.value, "the condition of rows_near()", &scope)?;
        let count = |n: usize| ScalarValue::UInt64(u64::try_from(n).ok());
        let (before, after) = (self.row_count(before, &scope)?, self.row_count(after, &scope)?);
        let flag =
            Plan::Case(Case::new(None, vec![(Box::new(condition), Box::new(lit(1i64)))], Some(Box::new(lit(0i64)))));
        // A row before a match has it in front, a row after it behind.
        let frame = WindowFrame::new_bounds(
            WindowFrameUnits::Rows,
            WindowFrameBound::Preceding(count(after)),
            WindowFrameBound::Following(count(before)),
        );
        let group: Vec<Plan> = input.group.iter().map(ident).collect();
        let near = Plan::from(WindowFunction::new(WindowFunctionDefinition::AggregateUDF(max_udaf()), vec![flag]))
            .partition_by(group)
            .order_by(vec![by_row(&row)])
            .window_frame(frame)
            .build()
            .map_err(|e| internal(span, &e))?;
        let (builder, near) = with_window(input.builder.clone(), near, span)?;
        let found = Relation { builder, ..input }.filter(ident(near).eq(lit(1i64)), span)?;
        let outputs = found.outputs();
        found.project(outputs, span)
    }

    pub(super) fn window_call(
        &mut self,
        function: &'q Name,
        arguments: &'q [Argument],
        span: Span,
        scope: &Scope<'q, '_>,
    ) -> Result<Typed> {
        let name = function.text.as_str();
        if self.windows.is_none() {
            return Err(not_serialized(name, function.span));
        }
        let (least, most) = match name {
            "prev" | "next" => (1, 3),
            "row_number" => (0, 2),
            "row_window_session" => (3, 4),
            _ => (1, 2),
        };
        if !(least..=most).contains(&arguments.len()) {
            let message = format!("{name}() takes {least} to {most} arguments, not {}", arguments.len());
            return Err(Diagnostic::semantic(span, message).into());
        }
        let expr = |i: usize| arguments.get(i).map(|a| &a.value);
        match name {
            "prev" | "next" => self.shift(name == "prev", [expr(0), expr(1), expr(2)], scope),
            "row_number" => {
                let start = match expr(0) {
                    Some(start) => self.integer(start, scope)?,
                    None => lit(1i64),
                };
                let restart = self.restart(expr(1), scope)?;
                self.window(Kind::RowNumber, vec![start, restart], Type::Long, span)
            }
            "row_window_session" => self.session(arguments, span, scope),
            _ => {
                let value_expr = &arguments[0].value;
                let value = self.expression(value_expr, scope)?;
                let restart = self.restart(expr(1), scope)?;
                if name != "row_cumsum" {
                    if value.value_type == Type::Dynamic {
                        return Err(wrong_type(
                            value_expr.span,
                            "the ranked value",
                            Type::Dynamic,
                            "a type with an order",
                        ));
                    }
                    let kind = if name == "row_rank_min" { Kind::RankMin } else { Kind::RankDense };
                    return self.window(kind, vec![value.expr, restart], Type::Long, span);
                }
                let of = match value.value_type {
                    Type::Int | Type::Long => Type::Long,
                    t @ (Type::Real | Type::Decimal | Type::TimeSpan) => t,
                    other => {
                        return Err(wrong_type(value_expr.span, "the summed value", other, "a number or a timespan"));
                    }
                };
                let given = value.value_type;
                let value = self.convert(value, of, value_expr.span)?;
                let sum = self.window(Kind::RunningSum, vec![value.expr, restart], of, span)?;
                if given == Type::Int { self.convert(sum, Type::Int, span) } else { Ok(sum) }
            }
        }
    }

    /// `prev(value [, rows [, default]])`: rows and default are constants.
    fn shift(&mut self, back: bool, arguments: [Option<&'q Expr>; 3], scope: &Scope<'q, '_>) -> Result<Typed> {
        let [Some(value_expr), rows, default] = arguments else {
            return Err(Diagnostic::semantic(Span::default(), "the value is missing").into());
        };
        let value = self.expression(value_expr, scope)?;
        let rows = match rows {
            Some(rows_expr) => {
                let rows = self.constant_long(rows_expr, "the offset", scope)?;
                if rows < 1 {
                    return Err(Diagnostic::semantic(rows_expr.span, "the offset must be 1 or more").into());
                }
                rows
            }
            None => 1,
        };
        let of = value.value_type;
        let default = match default {
            Some(default_expr) => {
                let typed = self.expression(default_expr, &Scope { names: scope.names.clone(), columns: &[] })?;
                let typed = if of == Type::Dynamic {
                    self.in_json(typed, default_expr.span)?
                } else {
                    self.coerce(typed, of, default_expr.span)?
                };
                lit(constant::evaluate(&typed.expr).map_err(|e| internal(default_expr.span, &e))?)
            }
            None => null(of).expr,
        };
        let kind = Kind::Shift { rows_back: if back { rows } else { -rows } };
        let shifted = self.window(kind, vec![value.expr, default], of, value_expr.span)?;
        Ok(shifted)
    }

    fn session(&mut self, arguments: &'q [Argument], span: Span, scope: &Scope<'q, '_>) -> Result<Typed> {
        let time = self.expression(&arguments[0].value, scope)?;
        let distance_type = match time.value_type {
            Type::DateTime | Type::TimeSpan => Type::TimeSpan,
            Type::Int | Type::Long => Type::Long,
            other => return Err(wrong_type(arguments[0].value.span, "the time", other, "a datetime or an integer")),
        };
        let of = if time.value_type == Type::Int { Type::Long } else { time.value_type };
        let mut values = vec![self.convert(time, of, span)?.expr];
        for limit in &arguments[1..3] {
            let typed = self.expression(&limit.value, scope)?;
            values.push(self.coerce(typed, distance_type, limit.value.span)?.expr);
        }
        values.push(self.restart(arguments.get(3).map(|a| &a.value), scope)?);
        self.window(Kind::SessionStart, values, of, span)
    }

    fn integer(&mut self, expr: &'q Expr, scope: &Scope<'q, '_>) -> Result<Plan> {
        let typed = self.expression(expr, scope)?;
        Ok(self.coerce(typed, Type::Long, expr.span)?.expr)
    }

    fn restart(&mut self, expr: Option<&'q Expr>, scope: &Scope<'q, '_>) -> Result<Plan> {
        match expr {
            Some(expr) => self.condition(expr, "the restart", scope),
            None => Ok(lit(false)),
        }
    }

    fn window(&mut self, kind: Kind, arguments: Vec<Plan>, of: Type, span: Span) -> Result<Typed> {
        let Some(windows) = &mut self.windows else {
            return Err(Diagnostic::semantic(span, "this needs rows in a known order").into());
        };
        let group = windows.group.iter().map(ident).collect();
        let call = windows::call(kind, arguments, group, by_row(&windows.row)).map_err(|e| internal(span, &e))?;
        let field = match windows.calls.iter().find(|(_, existing)| *existing == call) {
            Some((field, _)) => field.clone(),
            None => {
                let field = fresh_field("$window");
                windows.calls.push((field.clone(), call));
                field
            }
        };
        Ok(Typed::new(ident(field), of))
    }
}
