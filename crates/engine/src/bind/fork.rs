//! `fork`, `facet` and the plugins that have several results of the same rows.

use super::relation::{Column, Relation, fresh_field};
use super::template::Given;
use super::{Binder, Bound, Names, Result, Scope};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{ident, lit};
use kql::tree::{Operator, OperatorKind, Pipeline};
use kql::{Diagnostic, Type};

impl<'q> Binder<'q> {
    /// The results of a pipeline that ends in `fork`, `facet` or a plugin that has several; `None` for any other, which has one.
    pub(super) fn several_results(&mut self, pipeline: &'q Pipeline, names: &Names<'q>) -> Result<Option<Vec<Bound>>> {
        let Some((last, before)) = pipeline.operators.split_last() else { return Ok(None) };
        let is_several = match &last.kind {
            OperatorKind::Fork(_) | OperatorKind::Facet { .. } => true,
            OperatorKind::Evaluate(evaluate) => matches!(evaluate.plugin.text.as_str(), "preview" | "funnel_sequence"),
            _ => false,
        };
        if !is_several {
            return Ok(None);
        }
        let source = self.source_stage(pipeline, names)?;
        let input = self.stages(source, before, names)?.rows(last.span)?;
        let single_stream = self.needs_single_stream;
        let mut results = Vec::new();
        let mut relations: Vec<(Option<String>, Relation)> = Vec::new();
        match &last.kind {
            OperatorKind::Fork(legs) => {
                for leg in legs {
                    let relation = self.operators(input.clone(), &leg.body, names)?;
                    let name = leg.name.as_ref().map(|n| n.text.clone()).or_else(|| name_of(&leg.body));
                    relations.push((name, relation));
                }
            }
            OperatorKind::Facet { by, body } => {
                for name in by {
                    let key = input.require(name)?.clone();
                    let field = fresh_field(&key.name);
                    let counted = Column::new(format!("count_{}", key.name), Type::Long);
                    let counts = input.clone().plain(last.span)?.aggregate(
                        vec![ident(&key.field).alias(&field)],
                        vec![count(lit(1i64)).alias(&counted.field)],
                        last.span,
                    )?;
                    relations.push((None, Relation { columns: vec![Column { field, ..key }, counted], ..counts }));
                }
                if let Some(body) = body {
                    let relation = self.operators(input, body, names)?;
                    relations.push((name_of(body), relation));
                }
            }
            OperatorKind::Evaluate(evaluate) if evaluate.plugin.text == "preview" => {
                let Some(count) = evaluate.arguments.first() else {
                    return Err(Diagnostic::semantic(last.span, "preview() needs a number of rows").into());
                };
                let constants = Scope { names: names.clone(), columns: &[] };
                let count = self.constant_long(&count.value, "the number of rows", &constants)?.max(0);
                for text in [format!("_rows | take {count}"), "_rows | count".to_owned()] {
                    let given = vec![("_rows", Given::Rows(input.clone()))];
                    relations.push((None, self.expand(&text, given, last.span)?));
                }
            }
            OperatorKind::Evaluate(evaluate) => {
                let found = self.funnel_sequence(input, evaluate, last.span, names)?;
                relations.extend(found.into_iter().map(|relation| (None, relation)));
            }
            _ => {}
        }
        for (name, relation) in relations {
            self.needs_single_stream |= single_stream;
            results.push(Bound { name, ..self.finish(relation, last.span)? });
        }
        Ok(Some(results))
    }
}

/// The name that operators give their rows at their end.
fn name_of(body: &[Operator]) -> Option<String> {
    match &body.last()?.kind {
        OperatorKind::As(name) => Some(name.text.clone()),
        _ => None,
    }
}
