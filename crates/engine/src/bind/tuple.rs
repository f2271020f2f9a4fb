//! Functions that give several columns at once: `series_stats`, `series_decompose_anomalies`, `array_sort_asc` …

use super::expression::text;
use super::naming::implicit_name;
use super::relation::wrong_type;
use super::{Binder, Result, Scope, Typed};
use crate::functions::dynamic::{self, PATH};
use crate::functions::series;
use datafusion::logical_expr::{Expr as Plan, lit};
use datafusion::scalar::ScalarValue;
use kql::tree::{Argument, Expr, ExprKind, Literal, Name};
use kql::{Diagnostic, Span, Type};

/// Column `i` of the array that such a function's kernel gives.
fn column_of(whole: &Typed, i: usize) -> Typed {
    Typed::new(PATH.call(vec![whole.expr.clone(), text(i.to_string())]), Type::Dynamic)
}

pub(super) fn is_array_sort(name: &str) -> bool {
    matches!(name, "array_sort_asc" | "array_sort_desc")
}

impl<'q> Binder<'q> {
    /// The columns of a call of a function that gives several, by the names that they have by themselves. `None` for
    /// every other expression.
    pub(super) fn tuple(&mut self, expr: &'q Expr, scope: &Scope<'q, '_>) -> Result<Option<Vec<(String, Typed)>>> {
        let ExprKind::Call { function, arguments } = &expr.kind else { return Ok(None) };
        if scope.names.find(&function.text).is_some() {
            return Ok(None);
        }
        let name_of = |argument: &Argument| implicit_name(&argument.value, scope.columns).unwrap_or_default();
        if is_array_sort(&function.text) {
            let (sorted, arrays) = self.array_sort(function, arguments, expr.span, scope)?;
            let columns = arguments.iter().take(arrays).enumerate();
            return Ok(Some(columns.map(|(i, a)| (format!("{}_sorted", name_of(a)), column_of(&sorted, i))).collect()));
        }
        let Some((_, columns)) = series::COLUMNS.iter().find(|(name, _)| *name == function.text) else {
            return Ok(None);
        };
        let whole = self.plain_call(function, arguments, expr.span, scope)?;
        let first = arguments.first().map(name_of).unwrap_or_default();
        let mut found = Vec::with_capacity(columns.len());
        for (i, (suffix, of)) in columns.iter().enumerate() {
            let typed = self.convert(column_of(&whole, i), *of, expr.span)?;
            found.push((format!("{}_{first}_{suffix}", function.text), typed));
        }
        Ok(Some(found))
    }

    /// `f(...)[i]` over a function of several columns: that column.
    pub(super) fn indexed_column(
        &mut self,
        expr: &'q Expr,
        index: &'q Expr,
        scope: &Scope<'q, '_>,
    ) -> Result<Option<Typed>> {
        let ExprKind::Literal(Literal::Long(Some(index))) = &index.kind else { return Ok(None) };
        let Some(mut columns) = self.tuple(expr, scope)?.filter(|columns| columns.len() > 1) else { return Ok(None) };
        match usize::try_from(*index).ok().filter(|i| *i < columns.len()) {
            Some(i) => Ok(Some(columns.swap_remove(i).1)),
            None => {
                let message = format!("there are only {} columns", columns.len());
                Err(Diagnostic::semantic(expr.span, message).into())
            }
        }
    }

    /// The value of such a function where one value is expected: its first column.
    pub(super) fn first_of_tuple(&mut self, whole: Typed, function: &Name, span: Span) -> Result<Typed> {
        match series::COLUMNS.iter().find(|(name, _)| *name == function.text) {
            Some((_, columns)) => self.convert(column_of(&whole, 0), columns[0].1, span),
            None => Ok(whole),
        }
    }

    pub(super) fn first_of_array_sort(
        &mut self,
        function: &'q Name,
        arguments: &'q [Argument],
        span: Span,
        scope: &Scope<'q, '_>,
    ) -> Result<Typed> {
        let (sorted, _) = self.array_sort(function, arguments, span, scope)?;
        Ok(column_of(&sorted, 0))
    }

    /// `array_sort_asc(array, ... [, nulls last])`: all arrays in the order of the first; how many arrays there are.
    fn array_sort(
        &mut self,
        function: &'q Name,
        arguments: &'q [Argument],
        span: Span,
        scope: &Scope<'q, '_>,
    ) -> Result<(Typed, usize)> {
        let mut arrays: Vec<Plan> = Vec::new();
        let mut nulls_last = true;
        for (i, argument) in arguments.iter().enumerate() {
            let at = argument.value.span;
            let typed = self.expression(&argument.value, scope)?;
            match (typed.value_type, &typed.expr) {
                (Type::Dynamic, _) => arrays.push(typed.expr),
                (Type::Bool, Plan::Literal(ScalarValue::Boolean(Some(flag)), _))
                    if i > 0 && i + 1 == arguments.len() =>
                {
                    nulls_last = *flag;
                }
                (other, _) => return Err(wrong_type(at, "this", other, "an array")),
            }
        }
        if arrays.is_empty() {
            return Err(Diagnostic::semantic(span, format!("{}() takes at least one array", function.text)).into());
        }
        let count = arrays.len();
        let ascending = function.text == "array_sort_asc";
        let flags = [lit(ascending), lit(nulls_last)];
        let sorted = dynamic::ARRAY_SORT.call(flags.into_iter().chain(arrays).collect());
        Ok((Typed::new(sorted, Type::Dynamic), count))
    }
}
