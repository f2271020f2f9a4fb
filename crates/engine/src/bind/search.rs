//! `search`: rows in which a term stands, whatever the column.

use super::evaluate::names_in;
use super::expression::text;
use super::relation::{self, Column, Relation};
use super::{Binder, Names, Result, Scope, Typed};
use crate::functions::terms;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::logical_expr::{Expr as Plan, lit, not};
use kql::tree::{BinaryOperator, Expr, ExprKind, Literal, Name, NamePattern, Search, TextMatch, TextOperator};
use kql::{Diagnostic, Span, Type};

/// The column that says which table a row is from.
const TABLE: &str = "$table";

impl<'q> Binder<'q> {
    pub(super) fn search(
        &mut self,
        input: Option<Relation>,
        search: &'q Search,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let mut legs: Vec<(String, Relation)> = Vec::new();
        match input {
            Some(input) => legs.push(("search_arg0".to_owned(), input)),
            None if search.tables.is_empty() => self.add_all_tables(&mut legs, span, names)?,
            None => self.add_legs(&mut legs, &search.tables, false, names)?,
        }
        if legs.is_empty() {
            return Err(Diagnostic::semantic(span, "there are no tables to search").into());
        }
        let filtered = self.filtered(legs, &search.predicate, search.is_case_sensitive, span, names)?;
        let filtered = self.with_matches(filtered, span)?;
        let with_source = Name { text: TABLE.to_owned(), span };
        self.unite(filtered, Some(&with_source), true, span)
    }

    /// All tables and views.
    pub(super) fn add_all_tables(
        &mut self,
        legs: &mut Vec<(String, Relation)>,
        span: Span,
        names: &Names<'q>,
    ) -> Result<()> {
        let pattern = NamePattern { text: "*".to_owned(), has_wildcard: true, span };
        self.add_matching(legs, &pattern, names)
    }

    /// Each table filtered by itself, so that a term is looked for in its own columns alone. A column that the
    /// predicate names, and another table has, is empty here.
    pub(super) fn filtered(
        &mut self,
        legs: Vec<(String, Relation)>,
        predicate: &'q Expr,
        case_sensitive: bool,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Vec<(String, Relation)>> {
        let mut named = Vec::new();
        names_in(predicate, &mut named);
        let all: Vec<Column> = legs.iter().flat_map(|(_, leg)| leg.columns.clone()).collect();
        let mut filtered: Vec<(String, Relation)> = Vec::with_capacity(legs.len());
        for (label, leg) in legs {
            let missing = named.iter().filter(|name| leg.find(name).is_none());
            let missing = missing.filter_map(|name| all.iter().find(|c| c.name == *name));
            let nulls: Vec<(String, Typed)> =
                missing.map(|c| (c.name.clone(), relation::null(c.column_type))).collect();
            let own = leg.outputs();
            let leg = if nulls.is_empty() { leg } else { leg.extend(nulls, span)? };
            let columns = leg.columns.clone();
            let scope = Scope { names: names.clone(), columns: &columns };
            let condition = self.search_condition(predicate, case_sensitive, &scope)?;
            let leg = leg.filter(condition, span)?;
            let kept: Vec<(String, Typed)> =
                leg.outputs().into_iter().filter(|(name, _)| own.iter().any(|(own, _)| own == name)).collect();
            filtered.push((label, if kept.len() < leg.columns.len() { leg.project(kept, span)? } else { leg }));
        }
        Ok(filtered)
    }

    /// The legs that have rows, found by a query of its own: the columns of all tables of a workspace are many
    /// thousands, those of the few that a term stands in are not. The first leg where none has any.
    pub(super) fn with_matches(
        &mut self,
        legs: Vec<(String, Relation)>,
        span: Span,
    ) -> Result<Vec<(String, Relation)>> {
        if legs.len() < 2 {
            return Ok(legs);
        }
        let mut probes = Vec::with_capacity(legs.len());
        for (i, (_, leg)) in legs.iter().enumerate() {
            let number = Typed::new(super::expression::long(i as i64), Type::Long);
            let probe = leg.clone().limit(1, span)?.project(vec![("leg".to_owned(), number)], span)?;
            probes.push((String::new(), probe));
        }
        let probe = self.unite(probes, None, true, span)?;
        let found = self.subquery(probe, span)?;
        let numbers = found.batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec());
        let mut matching: Vec<usize> = numbers.filter_map(|n| usize::try_from(n).ok()).collect();
        if matching.is_empty() {
            matching.push(0);
        }
        Ok(legs.into_iter().enumerate().filter(|(i, _)| matching.contains(i)).map(|(_, leg)| leg).collect())
    }

    fn search_condition(&mut self, expr: &'q Expr, case_sensitive: bool, scope: &Scope<'q, '_>) -> Result<Plan> {
        match &expr.kind {
            ExprKind::Literal(Literal::String(term)) => self.anywhere(term, case_sensitive, expr.span, scope),
            ExprKind::Literal(Literal::Long(Some(n))) => self.anywhere(&n.to_string(), true, expr.span, scope),
            // No text is a real number.
            ExprKind::Literal(Literal::Real(_)) => Ok(lit(false)),
            ExprKind::Binary { operator: operator @ (BinaryOperator::And | BinaryOperator::Or), left, right } => {
                let left = self.search_condition(left, case_sensitive, scope)?;
                let right = self.search_condition(right, case_sensitive, scope)?;
                Ok(if *operator == BinaryOperator::And { left.and(right) } else { left.or(right) })
            }
            ExprKind::Call { function, arguments } if function.text == "not" && arguments.len() == 1 => {
                Ok(not(self.search_condition(&arguments[0].value, case_sensitive, scope)?))
            }
            ExprKind::Binary { operator: BinaryOperator::Search, left, right } => {
                let ExprKind::Literal(Literal::String(term)) = &right.kind else {
                    return Err(Diagnostic::semantic(right.span, "expected a term in quotes").into());
                };
                if left.kind == ExprKind::Star {
                    return self.anywhere(term, case_sensitive, expr.span, scope);
                }
                let column = self.expression(left, scope)?;
                self.holds(column, term, case_sensitive, expr.span)
            }
            ExprKind::Binary { operator: BinaryOperator::Text(operator), left, right }
                if left.kind == ExprKind::Star =>
            {
                let needle = self.constant_text(right, "the text to look for", scope)?;
                let mut tests = Vec::with_capacity(scope.columns.len());
                for column in scope.columns {
                    let value = self.convert(relation::column(column), Type::String, expr.span)?.expr;
                    tests.push(terms::kernel(*operator).call(vec![value, text(&*needle)]));
                }
                let any = tests.into_iter().reduce(Plan::or).unwrap_or_else(|| lit(false));
                Ok(if operator.negated { not(any) } else { any })
            }
            _ => self.condition(expr, "this condition", scope),
        }
    }

    /// Whether any column holds the term: one call over all columns, which a table may have hundreds of.
    fn anywhere(&mut self, term: &str, case_sensitive: bool, span: Span, scope: &Scope<'q, '_>) -> Result<Plan> {
        let Some((kind, needle)) = term_match(term, case_sensitive) else { return Ok(lit(!scope.columns.is_empty())) };
        let mut texts = Vec::with_capacity(scope.columns.len());
        for column in scope.columns.iter().filter(|column| may_hold(column.column_type, kind, &needle)) {
            texts.push(self.convert(relation::column(column), Type::String, span)?.expr);
        }
        if texts.is_empty() {
            return Ok(lit(false));
        }
        if let Some(kernel) = terms::any_kernel(kind, case_sensitive) {
            texts.insert(0, text(needle));
            return Ok(kernel.call(texts));
        }
        let kernel = terms::kernel(TextOperator { kind, case_sensitive, negated: false });
        let tests = texts.into_iter().map(|value| kernel.call(vec![value, text(&*needle)]));
        Ok(tests.reduce(Plan::or).unwrap_or_else(|| lit(false)))
    }

    /// Whether a value, as text, holds the term.
    fn holds(&mut self, value: Typed, term: &str, case_sensitive: bool, span: Span) -> Result<Plan> {
        let value = self.convert(value, Type::String, span)?.expr;
        let Some((kind, needle)) = term_match(term, case_sensitive) else { return Ok(lit(true)) };
        let operator = TextOperator { kind, case_sensitive, negated: false };
        Ok(terms::kernel(operator).call(vec![value, text(needle)]))
    }
}

/// Whether values of a type, as text, can hold a needle, by the characters that there are in them. Printing each time of
/// a table to look for a name in it would take longer than all the rest.
fn may_hold(of: Type, kind: TextMatch, needle: &str) -> bool {
    let characters = match of {
        _ if kind == TextMatch::Regex => return true,
        Type::String | Type::Dynamic => return true,
        Type::Bool => "truefals",
        Type::Int | Type::Long => "-0123456789",
        // In exponents, infinities and what is not a number there are letters.
        Type::Real | Type::Decimal => "-+.0123456789aefinty",
        Type::DateTime => "-:.0123456789tz",
        Type::TimeSpan => "-:.0123456789",
        Type::Guid => "-0123456789abcdef",
    };
    let is_term = |term: &String| match of {
        Type::DateTime => is_term_of_time(term),
        Type::Guid => [4, 8, 12].contains(&term.len()),
        _ => true,
    };
    needle.to_lowercase().chars().all(|c| characters.contains(c))
        && terms::terms_of_matches(needle, kind, false).iter().all(is_term)
}

/// Whether a whole term can be one of a time, such as 2026-03-02T10:00:00.0000000Z.
fn is_term_of_time(term: &str) -> bool {
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    match term.len() {
        2 | 4 if term.bytes().all(|byte| byte.is_ascii_digit()) => true,
        5 => term.split_once('t').is_some_and(|(day, hour)| digits(day) && digits(hour)),
        8 => term.ends_with('z'),
        _ => false,
    }
}

/// How a term is looked for, and what for. A `*` stands for any text: at the end the term begins a word, at the start
/// it ends one. `None` for a term that any text holds.
fn term_match(term: &str, case_sensitive: bool) -> Option<(TextMatch, String)> {
    let inner = term.trim_matches('*');
    Some(match (term.starts_with('*'), term.ends_with('*')) {
        _ if inner.is_empty() => return None,
        _ if inner.contains('*') => {
            let fragments: Vec<String> = term.split('*').map(regex::escape).collect();
            let flags = if case_sensitive { "(?s)" } else { "(?is)" };
            (TextMatch::Regex, format!("{flags}{}", fragments.join(".*")))
        }
        (false, false) => (TextMatch::Has, inner.to_owned()),
        (false, true) => (TextMatch::HasPrefix, inner.to_owned()),
        (true, false) => (TextMatch::HasSuffix, inner.to_owned()),
        (true, true) => (TextMatch::Contains, inner.to_owned()),
    })
}
