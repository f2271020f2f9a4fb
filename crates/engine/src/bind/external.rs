//! `externaldata`: rows of files elsewhere, which are read before the query is bound to its end.

use super::relation::Relation;
use super::source::constant_rows;
use super::{Binder, Names, Result, Scope, Stop, SubqueryResult, constant, internal};
use crate::external;
use crate::types::Column;
use datafusion::scalar::ScalarValue;
use kql::tree::{Expr, ExprKind, ExternalData};
use kql::{Diagnostic, Span};

impl<'q> Binder<'q> {
    pub(super) fn external_data(
        &mut self,
        external: &'q ExternalData,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let scope = Scope { names: names.clone(), columns: &[] };
        let columns: Vec<Column> = external.columns.iter().map(|c| Column::new(&c.name.text, c.column_type)).collect();
        for (i, declared) in external.columns.iter().enumerate() {
            if external.columns[..i].iter().any(|c| c.name.text == declared.name.text) {
                let message = format!("the column '{}' is declared twice", declared.name.text);
                return Err(Diagnostic::semantic(declared.name.span, message).into());
            }
        }
        let mut addresses = Vec::with_capacity(external.addresses.len());
        for address in &external.addresses {
            addresses.push(self.constant_text(address, "an address", &scope)?);
        }
        if addresses.is_empty() {
            return Err(Diagnostic::semantic(span, "externaldata needs an address").into());
        }
        let mut wanted = external::ExternalData { addresses, columns, format: None, ignores_first_record: false };
        for (name, value) in &external.properties {
            match name.text.to_ascii_lowercase().as_str() {
                "format" => wanted.format = Some(self.word(value, &scope)?.to_ascii_lowercase()),
                "ignorefirstrecord" => {
                    wanted.ignores_first_record = self.word(value, &scope)?.eq_ignore_ascii_case("true");
                }
                other => {
                    let diagnostic = Diagnostic::unsupported(name.span, format!("the property {other}"));
                    return Err(diagnostic.with_hint("format and ignoreFirstRecord are.").into());
                }
            }
        }
        let index = self.next_subquery;
        self.next_subquery += 1;
        let Some(SubqueryResult { batches, .. }) = self.known.get(index) else {
            return Err(Stop::Fetch { wanted: Box::new(wanted), span });
        };
        constant_rows("externaldata", &wanted.columns, batches.clone(), span)
    }

    /// A value that may be a bare word or stand in quotes.
    fn word(&mut self, value: &'q Expr, scope: &Scope<'q, '_>) -> Result<String> {
        if let ExprKind::Name(word) = &value.kind
            && scope.names.find(word).is_none()
        {
            return Ok(word.clone());
        }
        let typed = self.expression(value, scope)?;
        match constant::evaluate(&typed.expr).map_err(|e| internal(value.span, &e))? {
            ScalarValue::Utf8View(Some(text)) => Ok(text),
            ScalarValue::Boolean(Some(flag)) => Ok(flag.to_string()),
            _ => Err(Diagnostic::semantic(value.span, "expected a word or a text").into()),
        }
    }
}
