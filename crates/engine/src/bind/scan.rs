//! `scan`: sequences of rows that meet conditions one after another.

use super::relation::{Column, Relation, column, fresh_field};
use super::window::{by_row, with_window};
use super::{Binder, Meaning, Names, Result, Scope, Typed, constant, internal, plan, unknown};
use crate::scan::{self, MATCH_ID, NUMBER, Origin, Program, Remembered, Slot, Source, Step};
use crate::types::{arrow_type, null_value};
use datafusion::common::{Column as PlanColumn, UnnestOptions};
use datafusion::functions::expr_fn::get_field;
use datafusion::logical_expr::{Expr as Plan, ident, lit};
use datafusion::scalar::ScalarValue;
use kql::tree::Scan;
use kql::{Diagnostic, Span, Type};
use std::collections::HashSet;
use std::sync::Arc;

/// The list of the steps that a row met, until it is unfolded.
const MET: &str = "$met";

/// A column that a step remembers, and its field there.
struct Member {
    step: usize,
    field: String,
    of: Place,
    empty: ScalarValue,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// The column of the input.
    Own(usize),
    /// The declared column.
    Declared(usize),
}

impl<'q> Binder<'q> {
    pub(super) fn scan(&mut self, input: Relation, scan: &'q Scan, span: Span, names: &Names<'q>) -> Result<Relation> {
        if !input.is_serialized {
            return Err(Diagnostic::semantic(span, "scan needs rows in a known order")
                .with_hint("Put '| sort by ...' or '| serialize' before it.")
                .into());
        }
        // Window functions count rows of the input; a step sees one.
        self.windows = None;
        if input.order.is_empty() {
            self.needs_single_stream = true;
        }
        let input = input.numbered(span)?;
        let Some(row) = input.row.clone() else {
            return Err(Diagnostic::semantic(span, "the rows could not be told apart").into());
        };
        let columns = input.columns.clone();
        let (names, declared) = self.scan_columns(scan, &columns, names)?;
        let (names, members) = scan_members(scan, &columns, &declared, names)?;

        // The slots are the declared columns, and behind them those of the input that a step assigns.
        let mut assigned: Vec<usize> = Vec::new();
        let scope = Scope { names, columns: &columns };
        let mut steps = Vec::with_capacity(scan.steps.len());
        for step in &scan.steps {
            let condition = self.condition(&step.condition, "the condition of the step", &scope)?;
            let mut assignments: Vec<(usize, Plan)> = Vec::new();
            for item in &step.assignments {
                let [target] = item.names.as_slice() else {
                    return Err(Diagnostic::semantic(item.value.span, "expected Column = value").into());
                };
                let known = declared.iter().map(|(c, _)| c).chain(&columns);
                let (slot, of) = if let Some(i) = declared.iter().position(|(c, _)| c.name == target.text) {
                    (i, declared[i].0.column_type)
                } else if let Some(i) = columns.iter().position(|c| c.name == target.text) {
                    if !assigned.contains(&i) {
                        assigned.push(i);
                    }
                    let place = assigned.iter().position(|a| *a == i).unwrap_or_default();
                    (declared.len() + place, columns[i].column_type)
                } else {
                    return Err(unknown("column", target, known.map(|c| c.name.as_str())).into());
                };
                if assignments.iter().any(|(existing, _)| *existing == slot) {
                    let message = format!("the column '{}' is assigned twice", target.text);
                    return Err(Diagnostic::semantic(target.span, message).into());
                }
                let typed = self.expression(&item.value, &scope)?;
                assignments.push((slot, self.coerce(typed, of, item.value.span)?.expr));
            }
            steps.push(Step { condition, assignments, output: step.output });
        }

        let asked: HashSet<String> = steps
            .iter()
            .flat_map(|step| std::iter::once(&step.condition).chain(step.assignments.iter().map(|(_, e)| e)))
            .flat_map(|e| e.column_refs().into_iter().map(|c| c.name.clone()).collect::<Vec<_>>())
            .collect();
        let members: Vec<Member> = members.into_iter().filter(|m| asked.contains(&m.field)).collect();
        let is_input = |i: usize| {
            asked.contains(&columns[i].field) || assigned.contains(&i) || members.iter().any(|m| m.of == Place::Own(i))
        };
        let inputs: Vec<usize> = (0..columns.len()).filter(|i| is_input(*i)).collect();
        let input_of = |i: usize| inputs.iter().position(|input| *input == i).unwrap_or_default();
        let slot_of = |i: usize| assigned.iter().position(|a| *a == i).map(|place| declared.len() + place);
        let own = declared
            .iter()
            .map(|(c, default)| Slot { data_type: arrow_type(c.column_type), own: Origin::Constant(default.clone()) });
        let replaced = assigned
            .iter()
            .map(|i| Slot { data_type: arrow_type(columns[*i].column_type), own: Origin::Input(input_of(*i)) });
        let memory = members.into_iter().map(|m| Remembered {
            of: match m.of {
                Place::Declared(i) => Source::Slot(i),
                Place::Own(i) => slot_of(i).map_or_else(|| Source::Input(input_of(i)), Source::Slot),
            },
            field: m.field,
            step: m.step,
            empty: m.empty,
        });
        let program = Program {
            inputs: inputs.iter().map(|i| (columns[*i].field.clone(), arrow_type(columns[*i].column_type))).collect(),
            slots: own.chain(replaced).collect(),
            memory: memory.collect(),
            steps,
        };

        let arguments = inputs.iter().map(|i| ident(&columns[*i].field)).collect();
        let group = input.group.iter().map(ident).collect();
        let call = scan::call(program, arguments, group, by_row(&row)).map_err(|e| internal(span, &e))?;
        let (builder, met) = with_window(input.builder, call, span)?;
        let kept = columns.iter().map(|c| &c.field).chain(&input.group).chain(input.carried.iter().map(|c| &c.field));
        let fields: Vec<Plan> = kept.map(ident).chain([ident(met).alias(MET)]).collect();
        let options = UnnestOptions::new().with_preserve_nulls(false);
        let unfolded = plan::select(builder, fields, span)?
            .unnest_columns_with_options(vec![PlanColumn::from_name(MET)], options)
            .map_err(|e| internal(span, &e))?;

        let slot = |i: usize| get_field(ident(MET), scan::slot_name(i));
        let mut outputs: Vec<(String, Typed)> = Vec::new();
        for (i, c) in columns.iter().enumerate() {
            let value = slot_of(i).map_or_else(|| column(c), |place| Typed::new(slot(place), c.column_type));
            outputs.push((c.name.clone(), value));
        }
        outputs.extend(
            declared.iter().enumerate().map(|(i, (c, _))| (c.name.clone(), Typed::new(slot(i), c.column_type))),
        );
        if let Some(name) = &scan.match_id {
            if outputs.iter().any(|(existing, _)| *existing == name.text) {
                let message = format!("there already is a column named '{}'", name.text);
                return Err(Diagnostic::semantic(name.span, message).into());
            }
            outputs.push((name.text.clone(), Typed::new(get_field(ident(MET), MATCH_ID), Type::Long)));
        }
        let mut result_columns: Vec<Column> = Vec::with_capacity(outputs.len());
        let mut fields: Vec<Plan> = Vec::with_capacity(outputs.len());
        for (name, typed) in outputs {
            let field = fresh_field(&name);
            fields.push(typed.expr.alias(&field));
            result_columns.push(Column { name, column_type: typed.value_type, field });
        }
        let number = fresh_field("$row");
        fields.extend(input.group.iter().chain(input.carried.iter().map(|c| &c.field)).map(ident));
        fields.push(get_field(ident(MET), NUMBER).alias(&number));
        let builder = plan::select(unfolded, fields, span)?;
        let order = input.group.iter().chain([&number]).map(|field| by_row(field)).collect();
        let columns = result_columns;
        Ok(Relation {
            builder,
            columns,
            order,
            is_serialized: true,
            row: Some(number),
            group: input.group,
            carried: input.carried,
            table: None,
            is_open: false,
            is_absent: false,
        })
    }

    /// The declared columns with their defaults. In an expression a declared column is its default; what a step has
    /// assigned is asked for by the step's name.
    fn scan_columns(
        &mut self,
        scan: &'q Scan,
        columns: &[Column],
        names: &Names<'q>,
    ) -> Result<(Names<'q>, Vec<(Column, ScalarValue)>)> {
        let outer = Scope { names: names.clone(), columns: &[] };
        let mut names = names.clone();
        let mut declared: Vec<(Column, ScalarValue)> = Vec::new();
        for item in &scan.declared {
            let (name, of) = (&item.column.name, item.column.column_type);
            if columns.iter().chain(declared.iter().map(|(c, _)| c)).any(|c| c.name == name.text) {
                let message = format!("there already is a column named '{}'", name.text);
                return Err(Diagnostic::semantic(name.span, message).into());
            }
            let default = match &item.default {
                Some(default) => {
                    let typed = self.expression(default, &outer)?;
                    let typed = self.coerce(typed, of, default.span)?;
                    constant::evaluate(&typed.expr).map_err(|e| internal(default.span, &e))?
                }
                None => null_value(of),
            };
            names = names.with(&name.text, Meaning::Value(Typed::new(lit(default.clone()), of)));
            declared.push((Column::new(&name.text, of), default));
        }
        Ok((names, declared))
    }
}

/// The names of the steps as rows, and what these rows hold.
fn scan_members<'q>(
    scan: &Scan,
    columns: &[Column],
    declared: &[(Column, ScalarValue)],
    mut names: Names<'q>,
) -> Result<(Names<'q>, Vec<Member>)> {
    let mut members = Vec::new();
    for (i, step) in scan.steps.iter().enumerate() {
        if scan.steps[..i].iter().any(|before| before.name.text == step.name.text) {
            let message = format!("there already is a step named '{}'", step.name.text);
            return Err(Diagnostic::semantic(step.name.span, message).into());
        }
        let own = columns.iter().enumerate().map(|(place, c)| (c, Place::Own(place), null_value(c.column_type)));
        let assigned =
            declared.iter().enumerate().map(|(place, (c, default))| (c, Place::Declared(place), default.clone()));
        let mut row = Vec::new();
        for (c, of, empty) in own.chain(assigned) {
            let field = fresh_field(&format!("{}.{}", step.name.text, c.name));
            row.push(Column { name: c.name.clone(), column_type: c.column_type, field: field.clone() });
            members.push(Member { step: i, field, of, empty });
        }
        names = names.with(&step.name.text, Meaning::Row(Arc::new(row)));
    }
    Ok((names, members))
}
