//! `union`: the rows of several sources under one set of columns.

use super::expression::text;
use super::findings::Findings;
use super::operators::exact;
use super::relation::{Column, Relation, column, null, unique_name};
use super::source::matches_pattern;
use super::{Binder, Meaning, Names, Result, Scope, Stop, Typed, internal, unknown};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, Union as LogicalUnion};
use kql::tree::{Expr, ExprKind, Literal, Name, NamePattern, Pipeline, Source, Union, UnionLeg};
use kql::{Diagnostic, Span, Type};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A column of the result: matched by name and type.
struct Output {
    source: Column,
    name: String,
}

impl<'q> Binder<'q> {
    pub(super) fn union(
        &mut self,
        input: Option<Relation>,
        union: &'q Union,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let outer = outer_kind(union.kind.as_ref())?;
        let mut legs: Vec<(String, Relation)> = Vec::new();
        if let Some(input) = input {
            legs.push((input.table.clone().unwrap_or_else(|| "union_arg0".to_owned()), input));
        }
        self.add_legs(&mut legs, &union.legs, union.is_fuzzy, names)?;
        if legs.iter().all(|(_, leg)| leg.is_absent) {
            return Err(Diagnostic::semantic(span, "none of the tables of this union can be found").into());
        }
        self.unite(legs, union.with_source.as_ref(), outer, span)
    }

    /// Adds what the legs of a union stand for, each with its label.
    pub(super) fn add_legs(
        &mut self,
        legs: &mut Vec<(String, Relation)>,
        added: &'q [UnionLeg],
        is_fuzzy: bool,
        names: &Names<'q>,
    ) -> Result<()> {
        let mut findings = Findings::default();
        for leg in added {
            match leg {
                UnionLeg::Wildcard(pattern) => self.add_matching(legs, pattern, names)?,
                UnionLeg::Pipeline(pipeline) if tables_of_database(pipeline).is_some() => {
                    let Some((database, pattern)) = tables_of_database(pipeline) else { continue };
                    self.add_of_databases(legs, database, &pattern, names)?;
                }
                UnionLeg::Pipeline(pipeline) => {
                    let label = match &pipeline.source {
                        Source::Expression(e) if pipeline.operators.is_empty() => match &e.kind {
                            ExprKind::Name(name) => match names.find(name) {
                                None => Some(name.clone()),
                                Some(Meaning::Function { function, .. }) if function.is_view => Some(name.clone()),
                                Some(_) => None,
                            },
                            _ => None,
                        },
                        _ => None,
                    };
                    let label = label.unwrap_or_else(|| format!("union_arg{}", legs.len()));
                    let bound = match &pipeline.source {
                        Source::Expression(e) if pipeline.operators.is_empty() => self.table_expression(e, names),
                        _ => self.pipeline(pipeline, names),
                    };
                    match bound {
                        Err(Stop::Wrong(found)) if is_fuzzy && found.iter().all(|d| d.is_missing_table) => {
                            legs.extend(self.absent(pipeline, names).ok().map(|relation| (label, relation)));
                        }
                        bound => legs.extend(findings.note(bound)?.map(|relation| (label, relation))),
                    }
                }
            }
        }
        findings.end(())
    }

    /// What is known of the rows of a leg whose table is not there: the columns that its operators compute.
    fn absent(&mut self, pipeline: &'q Pipeline, names: &Names<'q>) -> Result<Relation> {
        let source = match &pipeline.source {
            Source::Expression(Expr { kind: ExprKind::Pipeline(inner), .. }) => self.absent(inner, names)?,
            _ => Relation { is_open: true, ..Relation::new(LogicalPlanBuilder::empty(false), Vec::new()) },
        };
        Ok(Relation { is_absent: true, ..self.operators(source, &pipeline.operators, names)? })
    }

    /// Adds the views and tables whose names match.
    pub(super) fn add_matching(
        &mut self,
        legs: &mut Vec<(String, Relation)>,
        pattern: &NamePattern,
        names: &Names<'q>,
    ) -> Result<()> {
        for (view, function, scope) in names.views() {
            if matches_pattern(view, pattern) {
                let here = Scope { names: names.clone(), columns: &[] };
                legs.push((view.to_owned(), self.call_table(function, &scope, &[], &here, pattern.span)?));
            }
        }
        self.add_tables(legs, self.database, pattern, names)
    }

    /// Adds the tables of one database whose names match.
    fn add_tables(
        &mut self,
        legs: &mut Vec<(String, Relation)>,
        database: &str,
        pattern: &NamePattern,
        names: &Names<'q>,
    ) -> Result<()> {
        for table in self.catalog.table_names(database) {
            if matches_pattern(&table, pattern) && names.allows_table(self.database, database, &table) {
                let name = Name { text: table.clone(), span: pattern.span };
                legs.push((table, self.table(database, &name)?));
            }
        }
        Ok(())
    }

    /// Adds the tables whose names match, of the databases whose names match. Where that is not the current one alone,
    /// each is labelled with its database.
    fn add_of_databases(
        &mut self,
        legs: &mut Vec<(String, Relation)>,
        database: &str,
        pattern: &NamePattern,
        names: &Names<'q>,
    ) -> Result<()> {
        let of_databases =
            NamePattern { text: database.to_owned(), has_wildcard: database.contains('*'), span: pattern.span };
        let named = self.database_named(database, names);
        let mut matching = self.catalog.database_names();
        matching.retain(|name| matches_pattern(name, &of_databases));
        if !of_databases.has_wildcard {
            matching = vec![named];
        }
        for database in matching {
            let before = legs.len();
            self.add_tables(legs, &database, pattern, names)?;
            if of_databases.has_wildcard {
                for (label, _) in &mut legs[before..] {
                    *label = format!("database(\"{database}\").{label}");
                }
            }
        }
        Ok(())
    }

    pub(super) fn unite(
        &mut self,
        legs: Vec<(String, Relation)>,
        with_source: Option<&Name>,
        outer: bool,
        span: Span,
    ) -> Result<Relation> {
        let outputs = output_columns(&legs, outer);
        let mut plans: Vec<Arc<LogicalPlan>> = Vec::with_capacity(legs.len());
        let mut columns: Option<Vec<Column>> = None;
        for (label, leg) in legs {
            let mut projected: Vec<(String, Typed)> = Vec::new();
            if let Some(name) = with_source {
                projected.push((name.text.clone(), Typed::new(text(&label), Type::String)));
            }
            let own: HashMap<(&str, Type), &Column> =
                leg.columns.iter().map(|c| ((c.name.as_str(), c.column_type), c)).collect();
            for output in &outputs {
                let of = output.source.column_type;
                let found = own.get(&(output.source.name.as_str(), of));
                let value = found.map_or_else(|| null(of), |c| column(c));
                projected.push((output.name.clone(), Typed::new(exact_literal(value.expr, of), of)));
            }
            let next = leg.plain(span)?.project(projected, span)?;
            plans.push(Arc::new(next.builder.build().map_err(|e| internal(span, &e))?));
            columns.get_or_insert(next.columns);
        }
        let Some(columns) = columns else {
            return Err(Diagnostic::semantic(span, "a union needs at least one table").into());
        };
        // All at once: a union of unions would be planned anew for each.
        let plan = match <[_; 1]>::try_from(plans) {
            Ok([only]) => Arc::unwrap_or_clone(only),
            Err(several) => LogicalPlan::Union(LogicalUnion::try_new(several).map_err(|e| internal(span, &e))?),
        };
        Ok(Relation::new(LogicalPlanBuilder::from(plan), columns))
    }
}

/// Whether a union keeps the columns that only some legs have.
pub(super) fn outer_kind(kind: Option<&Name>) -> Result<bool> {
    match kind.map(|k| (k, k.text.as_str())) {
        None | Some((_, "outer")) => Ok(true),
        Some((_, "inner")) => Ok(false),
        Some((name, _)) => Err(unknown("kind of union", name, ["inner", "outer"]).into()),
    }
}

/// The database and the pattern of `database("d").Security*`.
fn tables_of_database(pipeline: &Pipeline) -> Option<(&str, NamePattern)> {
    let Source::Expression(Expr { kind: ExprKind::Member { base, member }, .. }) = &pipeline.source else {
        return None;
    };
    let ExprKind::Call { function, arguments } = &base.kind else { return None };
    let is_pattern = function.text == "database" && pipeline.operators.is_empty();
    match arguments.first().map(|a| &a.value.kind) {
        Some(ExprKind::Literal(Literal::String(database)))
            if is_pattern && (member.text.contains('*') || database.contains('*')) =>
        {
            Some((database, NamePattern { text: member.text.clone(), has_wildcard: true, span: member.span }))
        }
        _ => None,
    }
}

/// Literals are cast so that all legs agree to the letter; columns already do.
fn exact_literal(expr: datafusion::logical_expr::Expr, of: Type) -> datafusion::logical_expr::Expr {
    match expr {
        datafusion::logical_expr::Expr::Column(_) => expr,
        other => exact(other, of),
    }
}

/// Columns in order of first appearance. One name with several types becomes several columns, `x_long`,
/// `x_string`; an inner union keeps the columns that every leg has. A dynamic column of an absent leg is one of which
/// nothing is known: it has the type that others give it, or else is text.
fn output_columns(legs: &[(String, Relation)], outer: bool) -> Vec<Output> {
    let is_guess = |leg: &Relation, c: &Column| leg.is_absent && c.column_type == Type::Dynamic;
    let mut known: HashMap<&str, Type> = HashMap::new();
    for (_, leg) in legs {
        for c in leg.columns.iter().filter(|c| !is_guess(leg, c)) {
            known.entry(&c.name).or_insert(c.column_type);
        }
    }
    let mut legs_with: HashMap<(&str, Type), usize> = HashMap::new();
    let mut found: Vec<(&str, Type)> = Vec::new();
    for (_, leg) in legs {
        for c in &leg.columns {
            let of = match is_guess(leg, c) {
                true => known.get(c.name.as_str()).copied().unwrap_or(Type::String),
                false => c.column_type,
            };
            let count = legs_with.entry((&c.name, of)).or_insert_with(|| {
                found.push((&c.name, of));
                0
            });
            *count += usize::from(!leg.is_absent);
        }
    }
    if !outer {
        let present = legs.iter().filter(|(_, leg)| !leg.is_absent).count();
        found.retain(|key| legs_with.get(key) == Some(&present));
    }
    let mut types_of: HashMap<&str, usize> = HashMap::new();
    for (name, _) in &found {
        *types_of.entry(name).or_default() += 1;
    }
    let is_split = |name: &str| types_of.get(name).is_some_and(|types| *types > 1);
    let mut taken: HashSet<String> = HashSet::new();
    let mut outputs: Vec<Output> = Vec::with_capacity(found.len());
    for (name, of) in found {
        let splits = is_split(name);
        let wanted = if splits { format!("{name}_{of}") } else { name.to_owned() };
        let is_plain = |n: &str| types_of.contains_key(n) && !is_split(n);
        let unique = unique_name(&wanted, |n| taken.contains(n) || (splits && is_plain(n)));
        taken.insert(unique.clone());
        outputs.push(Output { source: Column::new(name, of), name: unique });
    }
    outputs
}
