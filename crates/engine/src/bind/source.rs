//! Pipelines: where rows come from, and the operators that shape them row by row.

use super::comparison::filter_form;
use super::evaluate::refused_plugin;
use super::findings::{Findings, all, reads_expressions};
use super::graph::{Stage, needs_graph};
use super::naming::implicit_name;
use super::relation::{Column, Relation, null, unique_name, wrong_type};
use super::window::Windows;
use super::{Binder, Meaning, Names, Result, Scope, Stop, Typed, Visualization, constant, internal, unknown};
use crate::json;
use crate::range::RangeTable;
use crate::types::{self, arrow_schema, arrow_type};
use datafusion::arrow::array::{ArrayRef, Int32Array, RecordBatch, StringViewArray};
use datafusion::common::TableReference;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr as Plan, LogicalPlanBuilder, SortExpr, ident, lit};
use datafusion::scalar::ScalarValue;
use kql::tree::{
    ColumnDeclaration, Expr, ExprKind, Literal, Name, NamePattern, NamedExpr, Operator, OperatorKind, Pipeline,
    ReorderKey, SortKey, Source,
};
use kql::{Diagnostic, Span, Type};
use std::sync::Arc;

impl<'q> Binder<'q> {
    pub fn pipeline(&mut self, pipeline: &'q Pipeline, names: &Names<'q>) -> Result<Relation> {
        self.stage(pipeline, names)?.rows(pipeline.span)
    }

    pub(super) fn pipeline_source(&mut self, pipeline: &'q Pipeline, names: &Names<'q>) -> Result<Relation> {
        match &pipeline.source {
            Source::Operator(operator) => self.operator(None, operator, names),
            Source::Expression(expr) if pipeline.operators.is_empty() && self.is_scalar_statement(expr, names) => {
                // A scalar as a statement of its own gives one row.
                let scope = Scope { names: names.clone(), columns: &[] };
                let typed = self.expression(expr, &scope)?;
                Relation::no_columns().project(vec![("print_0".to_owned(), typed)], expr.span)
            }
            Source::Expression(expr) => self.table_expression(expr, names),
        }
    }

    /// Passes rows through operators in turn.
    pub(super) fn operators(
        &mut self,
        relation: Relation,
        operators: &'q [Operator],
        names: &Names<'q>,
    ) -> Result<Relation> {
        let end = operators.last().map_or(Span::new(0, 0), |operator| operator.span);
        self.stages(Stage::Rows(relation), operators, names)?.rows(end)
    }

    /// Passes rows or a graph through operators in turn.
    pub(super) fn stages(&mut self, mut stage: Stage, operators: &'q [Operator], names: &Names<'q>) -> Result<Stage> {
        let mut names = names.clone();
        let mut findings = Findings::default();
        let mut is_vague = false;
        for operator in operators {
            if is_vague && !reads_expressions(operator) {
                self.note_inner(operator, &names, &mut findings)?;
                return Err(findings.stop());
            }
            stage = match (stage, &operator.kind) {
                (Stage::Rows(mut relation), OperatorKind::As(name)) => {
                    relation.table = Some(name.text.clone());
                    names = names.with(&name.text, Meaning::Table(relation.clone()));
                    Stage::Rows(relation)
                }
                (Stage::Rows(relation), OperatorKind::MakeGraph(made)) => {
                    let made = self.make_graph(relation, made, operator.span, &names);
                    match findings.note(made)? {
                        Some(stage) => stage,
                        None => return Err(findings.stop()),
                    }
                }
                (Stage::Rows(relation), _) => {
                    let before = relation.clone();
                    let after = self.operator(Some(relation), operator, &names);
                    match findings.note(after)? {
                        Some(relation) => Stage::Rows(relation),
                        None => {
                            let Some(guess) = self.after_mistake(before, operator, &names) else {
                                return Err(findings.stop());
                            };
                            is_vague |= guess.is_vague;
                            names = guess.names;
                            Stage::Rows(guess.relation)
                        }
                    }
                }
                (Stage::Graph(graph), _) => {
                    let after = self.graph_operator(graph, operator, &names);
                    match findings.note(after)? {
                        Some(stage) => stage,
                        None => return Err(findings.stop()),
                    }
                }
            };
        }
        findings.end(stage)
    }

    /// A statement such as `1 + 1`. A bare name that means nothing is taken for a table that is not there.
    fn is_scalar_statement(&self, expr: &'q Expr, names: &Names<'q>) -> bool {
        let unknown_name = matches!(&expr.kind, ExprKind::Name(name) if names.find(name).is_none());
        !unknown_name && !self.is_tabular_expression(expr, names)
    }

    pub fn is_tabular(&self, pipeline: &'q Pipeline, names: &Names<'q>) -> bool {
        match &pipeline.source {
            Source::Operator(operator) => !matches!(operator.kind, OperatorKind::Error),
            Source::Expression(expr) => !pipeline.operators.is_empty() || self.is_tabular_expression(expr, names),
        }
    }

    /// Whether an expression gives rows rather than a value.
    pub fn is_tabular_expression(&self, expr: &'q Expr, names: &Names<'q>) -> bool {
        match &expr.kind {
            ExprKind::Pipeline(pipeline) => self.is_tabular(pipeline, names),
            ExprKind::DataTable { .. } => true,
            ExprKind::Name(name) => match names.find(name) {
                Some(Meaning::Table(_) | Meaning::Graph(_)) => true,
                Some(Meaning::Function { function, scope }) => self.returns_table(function, scope),
                Some(
                    Meaning::Value(_)
                    | Meaning::Mistaken(_)
                    | Meaning::Row(_)
                    | Meaning::Pattern { .. }
                    | Meaning::Database(_)
                    | Meaning::Group(_)
                    | Meaning::Restriction(_),
                ) => false,
                None => self.catalog.table(self.database, name).is_some(),
            },
            ExprKind::Member { .. } => {
                self.called_pattern(expr, names).is_some() || self.qualified_table(expr, names).is_some()
            }
            ExprKind::Call { function, .. } => match names.find(&function.text) {
                Some(Meaning::Function { function, scope }) => self.returns_table(function, scope),
                Some(Meaning::Pattern { .. }) => true,
                Some(_) => false,
                None => matches!(
                    function.text.as_str(),
                    "table"
                        | "materialize"
                        | "database"
                        | "cluster"
                        | "workspace"
                        | "app"
                        | "external_table"
                        | "materialized_view"
                        | "view"
                ),
            },
            _ => false,
        }
    }

    /// Binds an expression that gives rows.
    pub fn table_expression(&mut self, expr: &'q Expr, names: &Names<'q>) -> Result<Relation> {
        if let Some(called) = self.called_pattern(expr, names) {
            return self.pattern_rows(called, expr.span, names);
        }
        match &expr.kind {
            ExprKind::Pipeline(pipeline) => self.pipeline(pipeline, names),
            ExprKind::DataTable { columns, cells } => self.datatable(columns, cells, expr.span),
            ExprKind::Name(name) => match names.find(name).cloned() {
                Some(Meaning::Table(relation)) => Ok(relation),
                Some(Meaning::Graph(graph)) => Stage::Graph(*graph).rows(expr.span),
                Some(Meaning::Function { function, scope: defined_in }) => {
                    let scope = Scope { names: names.clone(), columns: &[] };
                    self.call_table(function, &defined_in, &[], &scope, expr.span)
                }
                Some(
                    Meaning::Row(_)
                    | Meaning::Pattern { .. }
                    | Meaning::Database(_)
                    | Meaning::Group(_)
                    | Meaning::Restriction(_),
                ) => Err(Diagnostic::semantic(expr.span, format!("'{name}' is no table")).into()),
                Some(Meaning::Mistaken(found)) => Err(Stop::Wrong(found)),
                Some(Meaning::Value(typed)) => {
                    Err(wrong_type(expr.span, &format!("'{name}'"), typed.value_type, "a table"))
                }
                None => self.table_or_name(&Name { text: name.clone(), span: expr.span }, names),
            },
            ExprKind::Member { member, .. } => match self.qualified_table(expr, names) {
                Some((database, _)) => self.visible_table(&database, member, names),
                None if in_other_cluster(expr) => {
                    let diagnostic = Diagnostic::unsupported(expr.span, "a query to another cluster");
                    Err(diagnostic.with_hint("database(\"name\").Table names a table of another workspace.").into())
                }
                None => Err(Diagnostic::semantic(expr.span, "this is no table").into()),
            },
            ExprKind::Call { function, arguments } => match names.find(&function.text).cloned() {
                Some(Meaning::Function { function, scope: defined_in }) => {
                    let scope = Scope { names: names.clone(), columns: &[] };
                    self.call_table(function, &defined_in, arguments, &scope, expr.span)
                }
                _ => match (function.text.as_str(), arguments.as_slice()) {
                    ("materialize", [argument]) => self.table_expression(&argument.value, names),
                    ("table", [argument]) => {
                        let scope = Scope { names: names.clone(), columns: &[] };
                        let text = self.constant_text(&argument.value, "the table name", &scope)?;
                        self.visible_table(self.database, &Name { text, span: argument.value.span }, names)
                    }
                    ("cluster" | "workspace" | "app" | "database" | "external_table" | "materialized_view", _) => {
                        Err(Diagnostic::unsupported(function.span, format!("{}()", function.text)).into())
                    }
                    _ => Err(unknown("table or function", function, names.all()).of_missing_table().into()),
                },
            },
            ExprKind::Error => Err(Diagnostic::syntax(expr.span, "these rows could not be read").into()),
            _ => Err(Diagnostic::semantic(expr.span, "expected rows: a table, a pipeline or a function").into()),
        }
    }

    /// `database("d").T` or `Solution.T`: the database and the table.
    fn qualified_table(&self, expr: &Expr, names: &Names<'q>) -> Option<(String, String)> {
        let ExprKind::Member { base, member } = &expr.kind else { return None };
        let database = match &base.kind {
            ExprKind::Call { function, arguments } if function.text == "database" => {
                match arguments.first().map(|a| &a.value.kind) {
                    Some(ExprKind::Literal(Literal::String(name))) => self.database_named(name, names),
                    None => self.database.to_owned(),
                    Some(_) => return None,
                }
            }
            ExprKind::Name(scope) if matches!(names.find(scope), Some(Meaning::Database(_))) => match names.find(scope)
            {
                Some(Meaning::Database(database)) if !member.text.starts_with('$') => database.clone(),
                _ => return None,
            },
            ExprKind::Name(solution) => {
                let qualified = format!("{solution}.{}", member.text);
                return self
                    .catalog
                    .table(self.database, &qualified)
                    .map(|_| (self.database.to_owned(), member.text.clone()));
            }
            _ => return None,
        };
        Some((database, member.text.clone()))
    }

    /// A table by its bare name; when there is none, the names that `let` has bound are suggested too.
    fn table_or_name(&mut self, name: &Name, names: &Names<'q>) -> Result<Relation> {
        let is_visible = names.allows_table(self.database, self.database, &name.text);
        if is_visible && self.catalog.table(self.database, &name.text).is_some() {
            return self.table(self.database, name);
        }
        let tables = self.catalog.table_names(self.database);
        Err(unknown("table", name, tables.iter().map(String::as_str).chain(names.all())).of_missing_table().into())
    }

    /// A table of a database, if no `restrict` statement hides it.
    fn visible_table(&mut self, database: &str, name: &Name, names: &Names<'q>) -> Result<Relation> {
        if names.allows_table(self.database, database, &name.text) {
            return self.table(database, name);
        }
        let message = format!("there is no table named '{}'", name.text);
        Err(Diagnostic::semantic(name.span, message).of_missing_table().into())
    }

    pub fn table(&mut self, database: &str, name: &Name) -> Result<Relation> {
        let Some(table) = self.catalog.table(database, &name.text) else {
            if !self.catalog.has_database(database) {
                let message = format!("there is no database named '{database}'");
                return Err(Diagnostic::semantic(name.span, message).of_missing_table().into());
            }
            let candidates = self.catalog.table_names(database);
            return Err(unknown("table", name, candidates.iter().map(String::as_str)).of_missing_table().into());
        };
        let reference = TableReference::bare(name.text.as_str());
        let builder = LogicalPlanBuilder::scan(reference, provider_as_source(table.provider), None)
            .map_err(|e| internal(name.span, &e))?;
        let relation = Relation {
            table: Some(name.text.clone()),
            ..Relation::new(builder, table.columns.iter().map(Column::from).collect())
        };
        let outputs = relation.outputs();
        relation.project(outputs, name.span)
    }

    fn datatable(&mut self, columns: &'q [ColumnDeclaration], cells: &'q [Expr], span: Span) -> Result<Relation> {
        let schema: Vec<types::Column> =
            columns.iter().map(|c| types::Column::new(&c.name.text, c.column_type)).collect();
        for (i, declared) in columns.iter().enumerate() {
            if columns[..i].iter().any(|c| c.name.text == declared.name.text) {
                let message = format!("the column '{}' is declared twice", declared.name.text);
                return Err(Diagnostic::semantic(declared.name.span, message).into());
            }
        }
        if columns.is_empty() || !cells.len().is_multiple_of(columns.len()) {
            let message = format!("{} cells do not fill rows of {} columns", cells.len(), columns.len());
            return Err(Diagnostic::semantic(span, message).into());
        }
        let mut findings = Findings::default();
        let mut values: Vec<Vec<ScalarValue>> = vec![Vec::new(); columns.len()];
        for (i, cell) in cells.iter().enumerate() {
            let column = &schema[i % columns.len()];
            let value = self.cell(cell, column.column_type);
            values[i % columns.len()].extend(findings.note(value)?);
        }
        findings.end(())?;
        let arrow = arrow_schema(&schema);
        let arrays = values.into_iter().zip(&schema).map(|(column, declared)| match column.is_empty() {
            true => Ok(datafusion::arrow::array::new_empty_array(&arrow_type(declared.column_type))),
            false => ScalarValue::iter_to_array(column),
        });
        let arrays = arrays.collect::<datafusion::common::Result<Vec<_>>>().map_err(|e| internal(span, &e))?;
        let batch = RecordBatch::try_new(arrow.clone(), arrays).map_err(|e| internal(span, &e.into()))?;
        constant_rows("datatable", &schema, vec![batch], span)
    }

    /// A cell of a `datatable`, in its column's type.
    fn cell(&mut self, cell: &'q Expr, wanted: Type) -> Result<ScalarValue> {
        let null_cell = || constant::evaluate(&null(wanted).expr).map_err(|e| internal(cell.span, &e));
        if cell.kind == ExprKind::Literal(Literal::Null) {
            if wanted == Type::String {
                return Err(Diagnostic::semantic(cell.span, "a string has no null").with_hint("Write \"\".").into());
            }
            return null_cell();
        }
        let scope = Scope { names: Names::default(), columns: &[] };
        let typed = self.expression(cell, &scope)?;
        let converted = if wanted == Type::Dynamic {
            self.in_json(typed, cell.span)?
        } else {
            self.convert(typed, wanted, cell.span)?
        };
        constant::evaluate(&converted.expr).map_err(|e| internal(cell.span, &e))
    }

    fn operator(&mut self, input: Option<Relation>, operator: &'q Operator, names: &Names<'q>) -> Result<Relation> {
        // Expressions of this operator call window functions over its own input, not over that of one around it.
        let around = std::mem::replace(&mut self.windows, input.as_ref().and_then(Windows::over));
        let is_open = input.as_ref().is_some_and(|i| i.is_open);
        let around_is_open = std::mem::replace(&mut self.is_open, is_open);
        let result = self.operator_here(input, operator, names);
        self.windows = around;
        self.is_open = around_is_open;
        let mut relation = result?;
        relation.is_open = match operator.kind {
            OperatorKind::Evaluate(_)
            | OperatorKind::Invoke { .. }
            | OperatorKind::Join(_)
            | OperatorKind::Lookup(_) => is_open || relation.is_open,
            OperatorKind::Where(_)
            | OperatorKind::Extend(_)
            | OperatorKind::Serialize(_)
            | OperatorKind::Sort(_)
            | OperatorKind::Take(_)
            | OperatorKind::Top { .. }
            | OperatorKind::ProjectAway(_)
            | OperatorKind::ProjectRename(_)
            | OperatorKind::ProjectReorder(_)
            | OperatorKind::MvExpand(_)
            | OperatorKind::MvApply { .. }
            | OperatorKind::Parse(_)
            | OperatorKind::ParseKv(_) => is_open,
            _ => false,
        };
        Ok(relation)
    }

    fn operator_here(
        &mut self,
        input: Option<Relation>,
        operator: &'q Operator,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let span = operator.span;
        if let OperatorKind::Union(union) = &operator.kind {
            return self.union(input, union, span, names);
        }
        if let OperatorKind::Search(search) = &operator.kind {
            return self.search(input, search, span, names);
        }
        if let OperatorKind::Find(find) = &operator.kind {
            return self.find(find, span, names);
        }
        let Some(input) = input else {
            return match &operator.kind {
                OperatorKind::Print(items) => self.print(items, span, names),
                OperatorKind::ExternalData(external) => self.external_data(external, span, names),
                OperatorKind::MacroExpand(expand) => self.macro_expand(expand, span, names),
                OperatorKind::EntityGroup(_) => {
                    let diagnostic = Diagnostic::semantic(span, "a group of databases has no rows");
                    Err(diagnostic.with_hint("Give it a name with 'let', and expand it with 'macro-expand'.").into())
                }
                OperatorKind::Range { column, from, to, step } => self.range(column, [from, to, step], span, names),
                OperatorKind::Unsupported(name) => Err(Diagnostic::unsupported(span, name).into()),
                OperatorKind::Evaluate(evaluate) => Err(refused_plugin(&evaluate.plugin).into()),
                _ => Err(Diagnostic::syntax(span, "this operator needs rows before it").into()),
            };
        };
        let combines = matches!(
            operator.kind,
            OperatorKind::Join(_)
                | OperatorKind::Lookup(_)
                | OperatorKind::Invoke { .. }
                | OperatorKind::PartitionEach { .. }
        );
        if combines && !input.group.is_empty() {
            return Err(Diagnostic::unsupported(span, "this operator within mv-apply or partition").into());
        }
        let columns = input.columns.clone();
        let scope = Scope { names: names.clone(), columns: &columns };
        match &operator.kind {
            OperatorKind::Where(predicate) => {
                let condition = self.condition(predicate, "the condition of 'where'", &scope)?;
                let input = self.with_windows(input, span)?;
                let filtered = input.filter(filter_form(condition), span)?;
                let outputs = filtered.outputs();
                if filtered.row.is_some() { filtered.project(outputs, span) } else { Ok(filtered) }
            }
            OperatorKind::Extend(items) => {
                let added = self.named_expressions(items, &scope, &columns, true)?;
                self.with_windows(input, span)?.extend(added, span)
            }
            OperatorKind::Serialize(items) => {
                self.windows = self.windows.take().or_else(|| Windows::over(&input.clone().serialized()));
                let added = self.named_expressions(items, &scope, &columns, true)?;
                let input = input.serialized();
                if input.order.is_empty() {
                    self.needs_single_stream = true;
                }
                self.with_windows(input, span)?.extend(added, span)
            }
            OperatorKind::Project(items) => {
                let outputs = self.named_expressions(items, &scope, &[], false)?;
                self.with_windows(input, span)?.project(outputs, span)
            }
            OperatorKind::ProjectAway(patterns) => {
                let dropped = matched_columns(&columns, patterns)?;
                let outputs = input.outputs().into_iter().filter(|(name, _)| !dropped.contains(name)).collect();
                input.project(outputs, span)
            }
            OperatorKind::ProjectKeep(patterns) => {
                let kept = matched_columns(&columns, patterns)?;
                let outputs = input.outputs().into_iter().filter(|(name, _)| kept.contains(name)).collect();
                input.project(outputs, span)
            }
            OperatorKind::ProjectByNames(items) => {
                let mut outputs: Vec<(String, Typed)> = Vec::new();
                for item in items {
                    for pattern in self.name_texts(item, &scope)? {
                        let has_wildcard = pattern.contains('*');
                        let pattern = NamePattern { text: pattern, has_wildcard, span: item.span };
                        let found = input.columns.iter().filter(|c| matches_pattern(&c.name, &pattern));
                        for c in found {
                            if !outputs.iter().any(|(name, _)| *name == c.name) {
                                outputs.push((c.name.clone(), super::relation::column(c)));
                            }
                        }
                    }
                }
                input.project(outputs, span)
            }
            OperatorKind::ProjectRename(items) => self.project_rename(input, items, span),
            OperatorKind::ProjectReorder(keys) => project_reorder(input, keys, span),
            OperatorKind::Summarize { aggregates, by } => self.summarize(input, aggregates, by, span, names),
            OperatorKind::Take(count) => {
                let count = self.row_count(count, &scope)?;
                input.limit(count, span)
            }
            OperatorKind::Top { count, keys } => {
                let count = self.row_count(count, &scope)?;
                let keys = self.sort_keys(keys, &scope)?;
                self.with_windows(input, span)?.sort(keys, span)?.limit(count, span)
            }
            OperatorKind::Sort(keys) => {
                let keys = self.sort_keys(keys, &scope)?;
                self.with_windows(input, span)?.sort(keys, span)
            }
            OperatorKind::Distinct(items) => {
                let outputs = match items.as_slice() {
                    [NamedExpr { names, value: Expr { kind: ExprKind::Star, .. }, .. }] if names.is_empty() => {
                        input.outputs()
                    }
                    _ => self.named_expressions(items, &scope, &[], false)?,
                };
                if let Some((name, _)) = outputs.iter().find(|(_, typed)| typed.value_type == Type::Dynamic) {
                    let message = format!("rows cannot be told apart by '{name}', a dynamic value");
                    let diagnostic = Diagnostic::semantic(span, message);
                    return Err(diagnostic.with_hint("Convert it first, with tostring(...).").into());
                }
                distinct(input.project(outputs, span)?, span)
            }
            OperatorKind::Count => {
                let counted = input.aggregate(Vec::new(), vec![count(lit(1i64)).alias("Count")], span)?;
                Ok(Relation { columns: vec![Column::new("Count", Type::Long)], ..counted })
            }
            OperatorKind::Join(join) => self.join(input, join, span, names),
            OperatorKind::Lookup(join) => self.lookup(input, join, span, names),
            OperatorKind::Scan(scan) => self.scan(input, scan, span, names),
            OperatorKind::Parse(parse) => self.parse(input, parse, span, names),
            OperatorKind::ParseKv(parse) => self.parse_kv(input, parse, span, names),
            OperatorKind::MakeSeries(series) => self.make_series(input, series, span, names),
            OperatorKind::As(_) => Ok(input),
            OperatorKind::Reduce(reduce) => self.reduce(input, reduce, span, names),
            OperatorKind::Consume => input.limit(0, span),
            OperatorKind::Sample(count) => {
                let count = self.row_count(count, &scope)?;
                input.limit(count, span)
            }
            OperatorKind::SampleDistinct { count, of } => {
                let count = self.row_count(count, &scope)?;
                let outputs = self.named_expressions(std::slice::from_ref(of), &scope, &[], false)?;
                distinct(input.project(outputs, span)?, span)?.limit(count, span)
            }
            OperatorKind::GetSchema => schema_rows(&columns, span),
            OperatorKind::Invoke { function, arguments } => match names.find(&function.text).cloned() {
                Some(Meaning::Function { function, scope: defined_in }) => {
                    self.call_table_over(Some(input), function, &defined_in, arguments, &scope, span)
                }
                _ => Err(unknown("function", function, names.all()).into()),
            },
            OperatorKind::MvExpand(expand) => self.mv_expand(input, expand, span, names),
            OperatorKind::MvApply { expand, body } => self.mv_apply(input, expand, body, span, names),
            OperatorKind::Evaluate(evaluate) => self.evaluate(input, evaluate, span, names),
            OperatorKind::TopNested(levels) => self.top_nested(input, levels, span, names),
            OperatorKind::TopHitters { count, of, by } => {
                self.top_hitters(input, (count, of, by.as_ref()), span, names)
            }
            OperatorKind::Partition { by, body } => self.partition(input, by, body, span, names),
            OperatorKind::PartitionEach { by, body } => self.partition_each(input, by, body, span, names),
            OperatorKind::Render { visualization, properties } => {
                let text = |e: &Expr| match &e.kind {
                    ExprKind::Literal(Literal::String(s)) => s.clone(),
                    ExprKind::Literal(Literal::Long(Some(n))) => n.to_string(),
                    ExprKind::Literal(Literal::Real(Some(n))) => n.to_string(),
                    ExprKind::Literal(Literal::Bool(Some(b))) => b.to_string(),
                    ExprKind::Name(name) => name.clone(),
                    _ => String::new(),
                };
                let properties = properties.iter().map(|(n, v)| (n.text.clone(), text(v))).collect();
                self.visualization = Some(Visualization { kind: visualization.text.clone(), properties });
                Ok(input)
            }
            OperatorKind::Unsupported(name) => Err(Diagnostic::unsupported(span, name).into()),
            OperatorKind::MakeGraph(_) => Err(Diagnostic::semantic(span, "a graph cannot be made here").into()),
            OperatorKind::GraphMatch(_)
            | OperatorKind::GraphWhereNodes(_)
            | OperatorKind::GraphWhereEdges(_)
            | OperatorKind::GraphMarkComponents(_)
            | OperatorKind::GraphToTable(_) => Err(needs_graph(span)),
            OperatorKind::Print(_)
            | OperatorKind::Range { .. }
            | OperatorKind::ExternalData(_)
            | OperatorKind::MacroExpand(_)
            | OperatorKind::EntityGroup(_) => Err(Diagnostic::syntax(span, "this operator takes no rows").into()),
            OperatorKind::Fork(_) | OperatorKind::Facet { .. } => {
                let diagnostic = Diagnostic::semantic(span, "this operator gives several results");
                Err(diagnostic.with_hint("It can only end a query.").into())
            }
            OperatorKind::Union(_) | OperatorKind::Search(_) | OperatorKind::Find(_) | OperatorKind::Error => {
                Err(Diagnostic::syntax(span, "this operator could not be read").into())
            }
        }
    }

    /// The texts of an item of `project-by-names`: one, or those of an array.
    fn name_texts(&mut self, item: &'q Expr, scope: &Scope<'q, '_>) -> Result<Vec<String>> {
        let typed = self.expression(item, &Scope { names: scope.names.clone(), columns: &[] })?;
        let value = constant::evaluate(&typed.expr).map_err(|e| internal(item.span, &e))?;
        match (typed.value_type, value) {
            (Type::String, ScalarValue::Utf8View(Some(name))) => Ok(vec![name]),
            (Type::Dynamic, ScalarValue::Utf8View(Some(list))) => Ok(match json::kind(&list) {
                json::Kind::Array => json::strings(&list),
                _ => vec![json::to_text(&list).into_owned()],
            }),
            (other, _) => Err(wrong_type(item.span, "the name of a column", other, "a string or an array")),
        }
    }

    /// Names and binds the items of `project`, `extend`, `distinct` or a `by`.
    pub(super) fn named_expressions(
        &mut self,
        items: &'q [NamedExpr],
        scope: &Scope<'q, '_>,
        taken: &[Column],
        replaces: bool,
    ) -> Result<Vec<(String, Typed)>> {
        let mut outputs: Vec<(String, Typed)> = Vec::new();
        let mut findings = Findings::default();
        for item in items {
            if item.is_tuple || item.names.is_empty() {
                let columns = self.tuple(&item.value, scope);
                let Some(columns) = findings.note(columns)? else { continue };
                if let Some(columns) = columns {
                    let own = columns.len();
                    for (i, (own_name, typed)) in columns.into_iter().enumerate() {
                        let name = match item.names.get(i) {
                            Some(name) => name.text.clone(),
                            None if item.is_tuple => break,
                            None => unique_name(&own_name, |n| outputs.iter().any(|(existing, _)| existing == n)),
                        };
                        outputs.push((name, typed));
                    }
                    if let Some(extra) = item.names.get(own) {
                        return Err(Diagnostic::semantic(extra.span, format!("there are only {own} columns")).into());
                    }
                    continue;
                }
                if let Some(extra) = item.names.get(1) {
                    return Err(Diagnostic::semantic(extra.span, "there is only one value").into());
                }
            }
            let typed = self.expression(&item.value, scope);
            let Some(typed) = findings.note(typed)? else { continue };
            let name = match item.names.first() {
                Some(name) => {
                    if outputs.iter().any(|(existing, _)| *existing == name.text) {
                        let message = format!("the column '{}' is given twice", name.text);
                        return Err(Diagnostic::semantic(name.span, message).into());
                    }
                    name.text.clone()
                }
                None => match implicit_name(&item.value, scope.columns) {
                    // A column that is named as it stands may be replaced; a computed one gets a name of its own.
                    Some(name) if replaces && !matches!(item.value.kind, ExprKind::Name(_)) => {
                        unique_name(&name, |n| {
                            outputs.iter().any(|(existing, _)| existing == n) || taken.iter().any(|c| c.name == n)
                        })
                    }
                    Some(name) => unique_name(&name, |n| outputs.iter().any(|(existing, _)| existing == n)),
                    None => {
                        let used = |n: &str| {
                            outputs.iter().any(|(existing, _)| existing == n) || taken.iter().any(|c| c.name == n)
                        };
                        (1..).map(|i| format!("Column{i}")).find(|n| !used(n)).unwrap_or_default()
                    }
                },
            };
            outputs.push((name, typed));
        }
        findings.end(outputs)
    }

    fn print(&mut self, items: &'q [NamedExpr], span: Span, names: &Names<'q>) -> Result<Relation> {
        let scope = Scope { names: names.clone(), columns: &[] };
        let mut outputs: Vec<(String, Typed)> = Vec::new();
        let mut findings = Findings::default();
        for (i, item) in items.iter().enumerate() {
            if item.names.is_empty() {
                let columns = self.tuple(&item.value, &scope);
                match findings.note(columns)? {
                    Some(Some(columns)) => {
                        outputs.extend(columns);
                        continue;
                    }
                    Some(None) => {}
                    None => continue,
                }
            }
            let typed = self.expression(&item.value, &scope);
            let Some(typed) = findings.note(typed)? else { continue };
            let name = item.names.first().map_or_else(|| format!("print_{i}"), |n| n.text.clone());
            let name = unique_name(&name, |n| outputs.iter().any(|(existing, _)| existing == n));
            outputs.push((name, typed));
        }
        Relation::no_columns().project(findings.end(outputs)?, span)
    }

    fn range(&mut self, column: &'q Name, bounds: [&'q Expr; 3], span: Span, names: &Names<'q>) -> Result<Relation> {
        let scope = Scope { names: names.clone(), columns: &[] };
        let typed = all(bounds.iter().map(|bound| self.expression(bound, &scope)))?;
        let (from, to, step) = (typed[0].value_type, typed[1].value_type, typed[2].value_type);
        let value_type = match (from, to, step) {
            (Type::DateTime, Type::DateTime, Type::TimeSpan) => Type::DateTime,
            (Type::TimeSpan, Type::TimeSpan, Type::TimeSpan) => Type::TimeSpan,
            (a, b, c) if a.is_integer() && b.is_integer() && c.is_integer() => Type::Long,
            (a, b, c) if a.is_numeric() && b.is_numeric() && c.is_numeric() => Type::Real,
            _ => {
                let message = format!("a range cannot go from {from} to {to} in steps of {step}");
                return Err(Diagnostic::semantic(span, message).into());
            }
        };
        let mut values = Vec::new();
        for (typed, bound) in typed.into_iter().zip(bounds) {
            let is_step = values.len() == 2;
            let to = if is_step && value_type == Type::DateTime { Type::TimeSpan } else { value_type };
            let converted = self.convert(typed, to, bound.span)?;
            values.push(constant::evaluate(&converted.expr).map_err(|e| internal(bound.span, &e))?);
        }
        let column = types::Column::new(&column.text, value_type);
        let table = RangeTable::new(&column, &values).map_err(|problem| Diagnostic::semantic(span, problem))?;
        let provider = table.provider().map_err(|e| internal(span, &e))?;
        let builder = LogicalPlanBuilder::scan(TableReference::bare("range"), provider_as_source(provider), None)
            .map_err(|e| internal(span, &e))?;
        let order = vec![SortExpr::new(ident(&column.name), table.is_ascending(), false)];
        let relation = Relation { order, is_serialized: true, ..Relation::new(builder, vec![Column::from(&column)]) };
        let outputs = relation.outputs();
        relation.project(outputs, span)
    }

    pub(super) fn row_count(&mut self, expr: &'q Expr, scope: &Scope<'q, '_>) -> Result<usize> {
        let count = self.constant_long(expr, "the number of rows", scope)?;
        usize::try_from(count)
            .map_err(|_| Diagnostic::semantic(expr.span, "the number of rows must not be negative").into())
    }

    pub(super) fn sort_keys(&mut self, keys: &'q [SortKey], scope: &Scope<'q, '_>) -> Result<Vec<SortExpr>> {
        let mut out = Vec::new();
        let values = all(keys.iter().map(|key| self.expression(&key.value.value, scope)))?;
        for (key, typed) in keys.iter().zip(values) {
            if self.is_open && typed.is_constant() {
                continue;
            }
            if typed.value_type == Type::Dynamic {
                let diagnostic = Diagnostic::semantic(key.value.value.span, "dynamic values have no order");
                return Err(diagnostic.with_hint("Convert them first, with tostring(...) or tolong(...).").into());
            }
            let ascending = key.ascending.unwrap_or(false);
            let nulls_first = key.nulls_first.unwrap_or(ascending);
            if typed.value_type == Type::Real {
                // NaN stands between null and the numbers, whichever end they are at.
                let nan = datafusion::logical_expr::binary_expr(
                    typed.expr.clone(),
                    datafusion::logical_expr::Operator::IsNotDistinctFrom,
                    lit(f64::NAN),
                );
                out.push(SortExpr::new(typed.expr.clone().is_null(), !nulls_first, false));
                out.push(SortExpr::new(nan, !nulls_first, false));
            }
            out.push(SortExpr::new(typed.expr, ascending, nulls_first));
        }
        Ok(out)
    }

    fn project_rename(&mut self, input: Relation, items: &'q [NamedExpr], span: Span) -> Result<Relation> {
        let mut outputs = input.outputs();
        for item in items {
            let (ExprKind::Name(old), [new]) = (&item.value.kind, item.names.as_slice()) else {
                return Err(Diagnostic::semantic(item.value.span, "expected NewName = OldName").into());
            };
            let old = Name { text: old.clone(), span: item.value.span };
            input.require(&old)?;
            if outputs.iter().any(|(name, _)| *name == new.text) {
                let message = format!("there already is a column named '{}'", new.text);
                return Err(Diagnostic::semantic(new.span, message).into());
            }
            if let Some(output) = outputs.iter_mut().find(|(name, _)| *name == old.text) {
                output.0 = new.text.clone();
            }
        }
        input.project(outputs, span)
    }
}

/// Whether an expression names something beyond this server, as `cluster(...).database(...).T`.
pub(super) fn in_other_cluster(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Member { base, .. } => in_other_cluster(base),
        ExprKind::Call { function, arguments } => {
            function.text == "cluster" || arguments.first().is_some_and(|a| in_other_cluster(&a.value))
        }
        _ => false,
    }
}

/// Each different row once.
fn distinct(input: Relation, span: Span) -> Result<Relation> {
    let keys: Vec<Plan> = input.columns.iter().map(|c| ident(&c.field)).collect();
    let columns = input.columns.clone();
    Ok(Relation { columns, ..input.aggregate(keys, Vec::new(), span)? })
}

/// The rows of `getschema`: one for each column.
fn schema_rows(columns: &[Column], span: Span) -> Result<Relation> {
    let schema = [
        ("ColumnName", Type::String),
        ("ColumnOrdinal", Type::Int),
        ("DataType", Type::String),
        ("ColumnType", Type::String),
    ]
    .map(|(name, of)| types::Column::new(name, of));
    let strings = |values: Vec<&str>| Arc::new(StringViewArray::from(values)) as ArrayRef;
    let ordinals: Int32Array = (0..columns.len()).map(|i| i32::try_from(i).ok()).collect();
    let arrays = vec![
        strings(columns.iter().map(|c| c.name.as_str()).collect()),
        Arc::new(ordinals) as ArrayRef,
        strings(columns.iter().map(|c| c.column_type.dotnet_name()).collect()),
        strings(columns.iter().map(|c| c.column_type.name()).collect()),
    ];
    let batch = RecordBatch::try_new(arrow_schema(&schema), arrays).map_err(|e| internal(span, &e.into()))?;
    constant_rows("getschema", &schema, vec![batch], span)
}

/// Rows that are known when the query is bound, in their order.
pub(super) fn constant_rows(
    name: &str,
    schema: &[types::Column],
    batches: Vec<RecordBatch>,
    span: Span,
) -> Result<Relation> {
    let table = MemTable::try_new(arrow_schema(schema), vec![batches]).map_err(|e| internal(span, &e))?;
    let builder = LogicalPlanBuilder::scan(TableReference::bare(name), provider_as_source(Arc::new(table)), None)
        .map_err(|e| internal(span, &e))?;
    let relation = Relation::new(builder, schema.iter().map(Column::from).collect());
    let outputs = relation.outputs();
    relation.project(outputs, span)
}

/// The columns that the patterns name. A plain name that is no column is an error.
fn matched_columns(columns: &[Column], patterns: &[NamePattern]) -> Result<Vec<String>> {
    let mut matched = Vec::new();
    let mut findings = Findings::default();
    for pattern in patterns {
        let found = columns.iter().filter(|c| matches_pattern(&c.name, pattern)).map(|c| c.name.clone());
        let before = matched.len();
        matched.extend(found);
        if matched.len() == before && !pattern.has_wildcard {
            let name = Name { text: pattern.text.clone(), span: pattern.span };
            let missing = unknown("column", &name, columns.iter().map(|c| c.name.as_str()));
            findings.note::<()>(Err(missing.into()))?;
        }
    }
    findings.end(matched)
}

/// Whether a name matches a pattern in which `*` stands for any text.
pub(super) fn matches_pattern(name: &str, pattern: &NamePattern) -> bool {
    if !pattern.has_wildcard {
        return name == pattern.text;
    }
    let parts: Vec<&str> = pattern.text.split('*').collect();
    let (first, last) = (parts[0], parts[parts.len() - 1]);
    if name.len() < first.len() + last.len() || !name.starts_with(first) || !name.ends_with(last) {
        return false;
    }
    let mut rest = &name[first.len()..name.len() - last.len()];
    parts[1..parts.len() - 1].iter().all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

fn project_reorder(input: Relation, keys: &[ReorderKey], span: Span) -> Result<Relation> {
    let mut order: Vec<String> = Vec::new();
    for key in keys {
        let mut found = matched_columns(&input.columns, std::slice::from_ref(&key.pattern))?;
        match key.ascending {
            Some(true) => found.sort(),
            Some(false) => found.sort_by(|a, b| b.cmp(a)),
            None => {}
        }
        found.retain(|name| !order.contains(name));
        order.extend(found);
    }
    let mut outputs = input.outputs();
    outputs.sort_by_key(|(name, _)| order.iter().position(|o| o == name).unwrap_or(order.len()));
    input.project(outputs, span)
}
