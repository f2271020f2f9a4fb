//! `search`: rows in which a term stands, whatever the column.

use super::expression::text;
use super::relation::{self, Relation};
use super::{Binder, Names, Result, Scope, Typed};
use crate::functions::terms;
use datafusion::logical_expr::{Expr as Plan, lit, not};
use kql::tree::{BinaryOperator, Expr, ExprKind, Literal, Name, Search, TextMatch, TextOperator};
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
            None if search.tables.is_empty() => {
                for table in self.catalog.table_names(self.database) {
                    let relation = self.table(self.database, &Name { text: table.clone(), span })?;
                    legs.push((table, relation));
                }
            }
            None => self.add_legs(&mut legs, &search.tables, false, names)?,
        }
        if legs.is_empty() {
            return Err(Diagnostic::semantic(span, "there are no tables to search").into());
        }
        let with_source = Name { text: TABLE.to_owned(), span };
        let united = self.unite(legs, Some(&with_source), true, span)?;
        let columns = united.columns.clone();
        let scope = Scope { names: names.clone(), columns: &columns };
        let condition = self.search_condition(&search.predicate, search.is_case_sensitive, &scope)?;
        united.filter(condition, span)
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
            _ => self.condition(expr, "the condition of 'search'", scope),
        }
    }

    /// Whether any column holds the term.
    fn anywhere(&mut self, term: &str, case_sensitive: bool, span: Span, scope: &Scope<'q, '_>) -> Result<Plan> {
        let mut test: Option<Plan> = None;
        for column in scope.columns.iter().filter(|c| c.name != TABLE) {
            let holds = self.holds(relation::column(column), term, case_sensitive, span)?;
            test = Some(match test {
                Some(before) => before.or(holds),
                None => holds,
            });
        }
        Ok(test.unwrap_or_else(|| lit(false)))
    }

    /// Whether a value, as text, holds the term. A `*` stands for any text: at the end the term begins a word, at the
    /// start it ends one.
    fn holds(&mut self, value: Typed, term: &str, case_sensitive: bool, span: Span) -> Result<Plan> {
        let value = self.convert(value, Type::String, span)?.expr;
        let inner = term.trim_matches('*');
        let (kind, needle) = match (term.starts_with('*'), term.ends_with('*')) {
            _ if inner.is_empty() => return Ok(lit(true)),
            _ if inner.contains('*') => {
                let fragments: Vec<String> = term.split('*').map(regex::escape).collect();
                let flags = if case_sensitive { "(?s)" } else { "(?is)" };
                (TextMatch::Regex, format!("{flags}{}", fragments.join(".*")))
            }
            (false, false) => (TextMatch::Has, inner.to_owned()),
            (false, true) => (TextMatch::HasPrefix, inner.to_owned()),
            (true, false) => (TextMatch::HasSuffix, inner.to_owned()),
            (true, true) => (TextMatch::Contains, inner.to_owned()),
        };
        let operator = TextOperator { kind, case_sensitive, negated: false };
        Ok(terms::kernel(operator).call(vec![value, text(needle)]))
    }
}
