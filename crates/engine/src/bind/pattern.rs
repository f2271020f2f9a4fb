//! `declare`: values that come with the request, and rows that are named by texts.

use super::expression::text;
use super::{Binder, Meaning, Names, Result, Scope, Surroundings, Typed, constant, internal};
use datafusion::logical_expr::lit;
use kql::tree::{Argument, Expr, ExprKind, Name, Parameter, ParameterKind, Pattern, Source, Statement};
use kql::{Diagnostic, Span, Type};
use std::collections::HashMap;

impl<'q> Binder<'q> {
    /// The names of `declare query_parameters(...)`, each with its value: that of the request, else its default.
    pub(super) fn query_parameters(&mut self, parameters: &'q [Parameter], names: &Names<'q>) -> Result<Names<'q>> {
        let mut bound = names.clone();
        for parameter in parameters {
            let (name, span) = (&parameter.name.text, parameter.name.span);
            let ParameterKind::Scalar(of) = parameter.kind else {
                return Err(Diagnostic::semantic(span, "a query parameter is a value, not a table").into());
            };
            let typed = match (self.parameters.get(name), &parameter.default) {
                (Some(given), _) => self.parameter_value(given, of, span)?,
                (None, Some(default)) => {
                    let typed = self.expression(default, &Scope { names: names.clone(), columns: &[] })?;
                    self.coerce(typed, of, default.span)?
                }
                (None, None) => {
                    let diagnostic = Diagnostic::semantic(span, format!("the parameter '{name}' has no value"));
                    return Err(diagnostic.with_hint("Send it with the request, or declare a default.").into());
                }
            };
            let value = constant::evaluate(&typed.expr).map_err(|e| internal(span, &e))?;
            bound = bound.with(name, Meaning::Value(Typed::new(lit(value), of)));
        }
        Ok(bound)
    }

    /// A value that came with the request: a literal of KQL, or else the text itself.
    fn parameter_value(&mut self, given: &str, of: Type, span: Span) -> Result<Typed> {
        if let Some(typed) = self.literal_value(given)
            && let Ok(typed) = self.coerce(typed, of, span)
        {
            return Ok(typed);
        }
        let typed = self.convert(Typed::new(text(given), Type::String), of, span)?;
        let value = constant::evaluate(&typed.expr).map_err(|e| internal(span, &e))?;
        if value.is_null() {
            return Err(Diagnostic::semantic(span, format!("the value sent for this parameter is no {of}")).into());
        }
        Ok(typed)
    }

    fn literal_value(&self, given: &str) -> Option<Typed> {
        let parsed = kql::parse(given);
        if !parsed.diagnostics.is_empty() {
            return None;
        }
        let [Statement::Query(pipeline)] = parsed.script.statements.as_slice() else { return None };
        let Source::Expression(expression) = &pipeline.source else { return None };
        let is_literal = |e: &Expr| matches!(e.kind, ExprKind::Literal(_));
        let is_negative = matches!(&expression.kind, ExprKind::Negate(inner) if is_literal(inner));
        if !pipeline.operators.is_empty() || !(is_literal(expression) || is_negative) {
            return None;
        }
        let no_parameters = HashMap::new();
        let surroundings = Surroundings {
            catalog: self.catalog,
            functions: &[],
            database: self.database,
            now_ticks: self.now_ticks,
            parameters: &no_parameters,
            caller: self.caller,
        };
        let mut inner = Binder::new(surroundings, &[]);
        inner.expression(expression, &Scope { names: Names::default(), columns: &[] }).ok()
    }

    /// The pattern that an expression calls, as `name(...)` or `name(...).path`, with its arguments and path.
    pub(super) fn called_pattern(
        &self,
        expr: &'q Expr,
        names: &Names<'q>,
    ) -> Option<(&'q Pattern, Names<'q>, &'q [Argument], Option<&'q Name>)> {
        let (call, path) = match &expr.kind {
            ExprKind::Member { base, member } => (base.as_ref(), Some(member)),
            _ => (expr, None),
        };
        let ExprKind::Call { function, arguments } = &call.kind else { return None };
        match names.find(&function.text) {
            Some(Meaning::Pattern { pattern, scope }) => Some((pattern, scope.clone(), arguments, path)),
            _ => None,
        }
    }

    /// The rows of the case whose texts are those given.
    pub(super) fn pattern_rows(
        &mut self,
        (pattern, defined_in, arguments, path): (&'q Pattern, Names<'q>, &'q [Argument], Option<&'q Name>),
        span: Span,
        names: &Names<'q>,
    ) -> Result<super::Relation> {
        let scope = Scope { names: names.clone(), columns: &[] };
        let mut given = Vec::with_capacity(arguments.len());
        for argument in arguments {
            given.push(self.constant_text(&argument.value, "the argument", &scope)?);
        }
        let mut body_names = defined_in;
        let declared = pattern.arguments.iter().zip(&given).map(|(c, value)| (c, value.as_str()));
        let declared = declared.chain(pattern.path.iter().zip(path).map(|(c, name)| (c, name.text.as_str())));
        for (column, value) in declared {
            body_names = body_names.with(&column.name.text, Meaning::Value(Typed::new(text(value), Type::String)));
        }
        let constants = Scope { names: Names::default(), columns: &[] };
        for case in &pattern.cases {
            if case.path.as_deref() != path.map(|name| name.text.as_str()) || case.arguments.len() != given.len() {
                continue;
            }
            let mut is_same = true;
            for (wanted, value) in case.arguments.iter().zip(&given) {
                is_same &= self.constant_text(wanted, "the text of the pattern", &constants)? == *value;
            }
            if is_same {
                return self.call_table(&case.body, &body_names, &[], &scope, span);
            }
        }
        let message = format!("the pattern '{}' has no case for these texts", pattern.name.text);
        Err(Diagnostic::semantic(span, message).into())
    }
}
