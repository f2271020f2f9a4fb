//! `parse`, `parse-where` and `parse-kv`: columns out of text.

use super::relation::{Relation, wrong_type};
use super::{Binder, Names, Result, Scope, Typed, unknown};
use crate::aggregates::field_name;
use crate::functions::parse::{KeyValues, Part, Pattern, Specification};
use crate::functions::regexes;
use datafusion::functions::expr_fn::{coalesce, get_field};
use datafusion::logical_expr::{Expr as Plan, ident};
use kql::tree::{ColumnDeclaration, Expr, ExprKind, Literal, Name, Parse, ParseKv, ParseMode, ParsePart};
use kql::{Diagnostic, Span, Type};

impl<'q> Binder<'q> {
    pub(super) fn parse(
        &mut self,
        input: Relation,
        parse: &'q Parse,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let mut columns: Vec<&'q ColumnDeclaration> = Vec::new();
        let mut parts = Vec::new();
        let mut after_text: Option<Span> = None;
        for part in &parse.pattern {
            let (at, converted) = match part {
                ParsePart::Literal(text) => {
                    after_text = None;
                    parts.push(Part::Literal(text.clone()));
                    continue;
                }
                ParsePart::Skip(at) => (*at, Part::Skip),
                ParsePart::Column(column) => {
                    columns.push(column);
                    (column.name.span, Part::Column(column.column_type.name().to_owned()))
                }
            };
            // Nothing says where the text of the one before would end.
            if after_text.is_some() {
                let diagnostic = Diagnostic::semantic(at, "a text must stand between a string column and what follows");
                return Err(diagnostic.into());
            }
            let takes_any = !matches!(part, ParsePart::Column(c) if c.column_type != Type::String);
            after_text = takes_any.then_some(at);
            parts.push(converted);
        }
        let mut pattern = Pattern { parts, is_strict: parse.mode != ParseMode::Relaxed, regex: None };
        if parse.mode == ParseMode::Regex {
            if let Some(flag) = parse.flags.chars().find(|c| !"imsU".contains(*c)) {
                return Err(Diagnostic::semantic(span, format!("'{flag}' is no flag of a regular expression")).into());
            }
            let regex = pattern.to_regex(&parse.flags);
            regexes::compile(&regex).map_err(|problem| Diagnostic::semantic(span, problem))?;
            pattern.regex = Some(regex);
        }
        self.parsed(input, &parse.value, Specification::Pattern(pattern), &columns, parse.drops_others, span, names)
    }

    pub(super) fn parse_kv(
        &mut self,
        input: Relation,
        parse: &'q ParseKv,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let mut options = KeyValues {
            keys: parse.columns.iter().map(|c| c.name.text.clone()).collect(),
            delimiters: None,
            quotes: None,
            escape: None,
            is_greedy: false,
            regex: None,
        };
        let (mut pair, mut key_value) = (None, None);
        for (name, value) in &parse.options {
            match name.text.as_str() {
                "pair_delimiter" => pair = Some(self.delimiter(value, names)?),
                "kv_delimiter" => key_value = Some(self.delimiter(value, names)?),
                "quote" => {
                    let quotes = self.delimiter(value, names)?;
                    let mut chars = quotes.chars();
                    let open = chars.next().unwrap_or('"');
                    options.quotes = Some((open, chars.next().unwrap_or(open)));
                }
                "escape" => options.escape = self.delimiter(value, names)?.chars().next(),
                "greedy" => match &value.kind {
                    ExprKind::Literal(Literal::Bool(Some(flag))) => options.is_greedy = *flag,
                    _ => return Err(Diagnostic::semantic(value.span, "expected true or false").into()),
                },
                "regex" => {
                    let pattern = self.delimiter(value, names)?;
                    match regexes::group_count(&pattern) {
                        Some(groups) if groups >= 2 => options.regex = Some(pattern),
                        Some(_) => {
                            let message = "the pattern needs a group for the key and one for the value";
                            return Err(Diagnostic::semantic(value.span, message).into());
                        }
                        None => {
                            regexes::compile(&pattern).map_err(|problem| Diagnostic::semantic(value.span, problem))?;
                        }
                    }
                }
                _ => {
                    let known = ["pair_delimiter", "kv_delimiter", "quote", "escape", "greedy", "regex"];
                    return Err(unknown("option", name, known).into());
                }
            }
        }
        options.delimiters = pair.zip(key_value);
        let columns: Vec<&ColumnDeclaration> = parse.columns.iter().collect();
        self.parsed(input, &parse.value, Specification::KeyValues(options), &columns, false, span, names)
    }

    fn delimiter(&mut self, value: &'q Expr, names: &Names<'q>) -> Result<String> {
        let scope = Scope { names: names.clone(), columns: &[] };
        let text = self.constant_text(value, "this option", &scope)?;
        if text.is_empty() {
            return Err(Diagnostic::semantic(value.span, "this option must not be empty").into());
        }
        Ok(text)
    }

    /// Adds the columns that `specification` finds in the value.
    #[expect(clippy::too_many_arguments, reason = "the two callers have all of them at hand")]
    fn parsed(
        &mut self,
        input: Relation,
        value: &'q Expr,
        specification: Specification,
        declared: &[&ColumnDeclaration],
        drops_others: bool,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let columns = input.columns.clone();
        let scope = Scope { names: names.clone(), columns: &columns };
        let text = self.expression(value, &scope)?;
        if !matches!(text.value_type, Type::String | Type::Dynamic) {
            return Err(wrong_type(value.span, "the parsed value", text.value_type, "string"));
        }
        let text = self.convert(text, Type::String, value.span)?;
        let found = specification.call(text.expr);
        const FOUND: &str = "$parsed";
        let with_found = input.extend(vec![(FOUND.to_owned(), Typed::new(found, Type::Dynamic))], span)?;
        let field = with_found.require(&Name { text: FOUND.to_owned(), span })?.field.clone();
        let part = |i: usize| -> Plan { get_field(ident(&field), field_name(i)) };
        let filtered = if drops_others { with_found.filter(part(declared.len()), span)? } else { with_found };
        let mut added: Vec<(String, Typed)> = Vec::new();
        for (i, column) in declared.iter().enumerate() {
            if added.iter().any(|(name, _)| *name == column.name.text) {
                let message = format!("the column '{}' is given twice", column.name.text);
                return Err(Diagnostic::semantic(column.name.span, message).into());
            }
            let text = Typed::new(coalesce(vec![part(i), super::relation::null(Type::String).expr]), Type::String);
            added.push((column.name.text.clone(), self.convert(text, column.column_type, column.name.span)?));
        }
        let mut outputs: Vec<(String, Typed)> = filtered.outputs();
        outputs.retain(|(name, _)| name != FOUND);
        for (name, typed) in added {
            match outputs.iter_mut().find(|(existing, _)| *existing == name) {
                Some(existing) => existing.1 = typed,
                None => outputs.push((name, typed)),
            }
        }
        filtered.project(outputs, span)
    }
}
