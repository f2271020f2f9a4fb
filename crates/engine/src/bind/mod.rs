//! Binding: what a syntax tree means against the tables of a catalog.
//!
//! The binder walks the tree once and gives each node its type, its KQL name and its DataFusion plan or
//! expression. It executes nothing. Where the meaning of a query depends on the *result* of another
//! (`toscalar(...)`, `in (T | project x)`), binding stops with [`Stop::Needs`]; the caller runs that query and
//! binds again with the result at hand. KQL allows such queries to depend on constants only, so the order in
//! which they are met is the same each time, and is what names them.

mod about;
mod analytics;
mod call;
mod comparison;
mod constant;
mod databases;
mod evaluate;
mod expression;
mod external;
mod find;
mod findings;
mod fork;
mod geo_lookup;
mod graph;
mod graph_match;
mod groupwise;
mod ip_lookup;
mod join;
mod make_series;
mod mining;
mod mv_expand;
mod naming;
mod operators;
mod parse;
mod pattern;
mod plan;
mod relation;
mod scan;
mod schema_merge;
mod search;
mod sketch;
mod source;
mod summarize;
mod template;
mod top;
mod tuple;
mod union;
mod window;

use crate::catalog::{Catalog, StoredFunction};
use crate::external::ExternalData;
use crate::functions::refused::refusal;
use crate::session::Caller;
use crate::types;
use datafusion::arrow::array::RecordBatch;
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::logical_expr::{Expr, LogicalPlan};
use findings::Findings;
use kql::tree::{Accessible, Function, LetValue, Name, Pattern, Pipeline, Script, Source, Statement};
use kql::{Diagnostic, Span, Type};
pub(crate) use relation::Relation;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// The names of the functions and aggregates that are bound here rather than by their signatures alone.
pub(crate) fn special_names() -> impl Iterator<Item = &'static str> {
    call::SPECIAL.iter().chain(summarize::KNOWN).copied()
}

/// The result of a query that another one depends on.
#[derive(Debug, Clone)]
pub struct SubqueryResult {
    pub columns: Vec<types::Column>,
    pub batches: Vec<RecordBatch>,
}

/// Why binding stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The query is wrong, or not supported. Empty where all that is wrong has been told.
    Wrong(Vec<Diagnostic>),
    /// The next subquery must be run first.
    Needs(Box<Bound>),
    /// Rows from elsewhere must be read first, in the place of the next subquery.
    Fetch { wanted: Box<ExternalData>, span: Span },
}

impl From<Diagnostic> for Stop {
    fn from(diagnostic: Diagnostic) -> Stop {
        Stop::Wrong(vec![diagnostic])
    }
}

pub(crate) type Result<T> = std::result::Result<T, Stop>;

/// A statement that is ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    /// What the query calls this result, where it names it.
    pub name: Option<String>,
    pub plan: LogicalPlan,
    pub columns: Vec<types::Column>,
    pub visualization: Option<Visualization>,
    /// True when rows must be computed in one stream to keep their order in a list.
    pub needs_single_stream: bool,
}

/// What `render` asks of the client that shows the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visualization {
    /// The chart type, such as `timechart`.
    pub kind: String,
    /// Properties in the order of the query; a property with a list of values stands once per value.
    pub properties: Vec<(String, String)>,
}

/// An expression with its Kusto type.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub expr: Expr,
    pub value_type: Type,
}

impl Typed {
    pub fn new(expr: Expr, value_type: Type) -> Typed {
        Typed { expr, value_type }
    }

    /// Whether the value is the same for every row.
    pub fn is_constant(&self) -> bool {
        self.expr.column_refs().is_empty() && !self.expr.is_volatile()
    }
}

/// What a name means besides a column or a table.
#[derive(Clone)]
pub(crate) enum Meaning<'q> {
    Value(Typed),
    /// A value that is wrong, which is told where it is used; empty where it has been told already.
    Mistaken(Vec<Diagnostic>),
    Table(Relation),
    Graph(Box<graph::Graph>),
    Function {
        function: &'q Function,
        scope: Names<'q>,
    },
    Pattern {
        pattern: &'q Pattern,
        scope: Names<'q>,
    },
    /// A database by another name: an alias, or a member of the group of a `macro-expand`.
    Database(String),
    /// An `entity_group`: the names of its databases.
    Group(Vec<String>),
    /// What a `restrict` statement leaves accessible to what follows it.
    Restriction(&'q [Accessible]),
    /// A row besides the current one, such as the last that met a step of `scan`; its columns are its members.
    Row(Arc<Vec<relation::Column>>),
}

/// The names that `let` and parameters have bound, innermost first. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Names<'q>(Option<Arc<NameFrame<'q>>>);

pub(crate) struct NameFrame<'q> {
    name: String,
    meaning: Meaning<'q>,
    outer: Names<'q>,
}

impl<'q> Names<'q> {
    fn with(&self, name: &str, meaning: Meaning<'q>) -> Names<'q> {
        Names(Some(Arc::new(NameFrame { name: name.to_owned(), meaning, outer: self.clone() })))
    }

    fn find(&self, name: &str) -> Option<&Meaning<'q>> {
        let mut frame = self.0.as_deref();
        let mut is_allowed = true;
        while let Some(current) = frame {
            if let Meaning::Restriction(list) = current.meaning {
                is_allowed &= databases::allows_declared(list, name);
            } else if current.name == name {
                let is_hidden = match &current.meaning {
                    Meaning::Function { function, .. } => function.is_view && !is_allowed,
                    Meaning::Pattern { .. } => !is_allowed,
                    _ => false,
                };
                return (!is_hidden).then_some(&current.meaning);
            }
            frame = current.outer.0.as_deref();
        }
        None
    }

    /// Whether no `restrict` statement hides a table.
    fn allows_table(&self, current: &str, database: &str, table: &str) -> bool {
        let mut frame = self.0.as_deref();
        while let Some(here) = frame {
            if let Meaning::Restriction(list) = here.meaning
                && !databases::allows_table(list, current, database, table)
            {
                return false;
            }
            frame = here.outer.0.as_deref();
        }
        true
    }

    /// The functions declared as views that take no arguments, by name.
    fn views(&self) -> Vec<(&str, &'q Function, Names<'q>)> {
        let mut views: Vec<(&str, &'q Function, Names<'q>)> = Vec::new();
        let mut frame = self.0.as_deref();
        while let Some(current) = frame {
            if let Meaning::Function { function, scope } = &current.meaning
                && function.is_view
                && function.parameters.is_empty()
                && self.find(&current.name).is_some()
                && !views.iter().any(|(name, ..)| *name == current.name)
            {
                views.push((&current.name, function, scope.clone()));
            }
            frame = current.outer.0.as_deref();
        }
        views.reverse();
        views
    }

    fn all(&self) -> Vec<&str> {
        let mut names = Vec::new();
        let mut frame = self.0.as_deref();
        while let Some(current) = frame {
            names.push(current.name.as_str());
            frame = current.outer.0.as_deref();
        }
        names
    }
}

/// What an expression can refer to where it stands.
#[derive(Clone)]
pub(crate) struct Scope<'q, 'c> {
    pub names: Names<'q>,
    pub columns: &'c [relation::Column],
}

/// What a query can refer to besides its own text.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'q> {
    pub catalog: &'q dyn Catalog,
    pub functions: &'q [Arc<StoredFunction>],
    /// The database that unqualified table names mean.
    pub database: &'q str,
    /// The instant that `now()` means, in ticks; the same throughout the query.
    pub now_ticks: i64,
    /// The values of query parameters, as texts, by name.
    pub parameters: &'q HashMap<String, String>,
    pub caller: &'q Caller,
}

pub(crate) struct Binder<'q> {
    pub catalog: &'q dyn Catalog,
    pub database: &'q str,
    pub now_ticks: i64,
    pub parameters: &'q HashMap<String, String>,
    pub caller: &'q Caller,
    functions: &'q [Arc<StoredFunction>],
    /// The names outside of any query: the stored functions.
    root: Names<'q>,
    /// Which of the stored functions give rows, as far as it is known.
    stored_returns: RefCell<HashMap<usize, bool>>,
    pub known: &'q [SubqueryResult],
    pub next_subquery: usize,
    pub visualization: Option<Visualization>,
    pub needs_single_stream: bool,
    /// Where aggregates stand whose values are known while the expression around them is bound.
    placeholders: Vec<Span>,
    /// The window functions called so far by the operator that is being bound, where it may call any.
    windows: Option<window::Windows>,
    /// Whether the input of the operator that is being bound is [`Relation::is_open`].
    is_open: bool,
    /// What `set` has said so far.
    options: HashMap<&'q str, &'q kql::tree::Expr>,
    /// The pattern of `graph-match` whose expressions are being bound.
    matching: Option<graph_match::Matching>,
    depth: usize,
}

/// Calls of functions that the query defines may nest this deep.
const CALL_DEPTH_MAX: usize = 64;

impl<'q> Binder<'q> {
    pub fn new(surroundings: Surroundings<'q>, known: &'q [SubqueryResult]) -> Self {
        let Surroundings { catalog, functions, database, now_ticks, parameters, caller } = surroundings;
        // What a stored function may call is all of them, not just those before it; see `around`.
        let root = functions.iter().fold(Names::default(), |names, stored| {
            let meaning = Meaning::Function { function: &stored.function, scope: Names::default() };
            names.with(&stored.name, meaning)
        });
        Binder {
            catalog,
            database,
            now_ticks,
            parameters,
            caller,
            functions,
            root,
            stored_returns: RefCell::default(),
            known,
            next_subquery: 0,
            visualization: None,
            needs_single_stream: false,
            placeholders: Vec::new(),
            windows: None,
            is_open: false,
            options: HashMap::new(),
            matching: None,
            depth: 0,
        }
    }

    /// Binds all statements; one result for each that returns rows.
    pub fn script(&mut self, script: &'q Script) -> Result<Vec<Bound>> {
        let mut results = Vec::new();
        let mut names = self.root.clone();
        let mut findings = Findings::default();
        for statement in &script.statements {
            match statement {
                Statement::Query(pipeline) => {
                    let bound = self.statement(pipeline, &mut names);
                    results.extend(findings.note(bound)?.unwrap_or_default());
                }
                other => names = self.noted_declaration(other, &names, &mut findings)?,
            }
        }
        findings.end(results).map_err(|stop| match stop {
            Stop::Wrong(found) => Stop::Wrong(findings::in_order(found)),
            other => other,
        })
    }

    /// The results of one statement. Tables that it gives names to are known from then on.
    fn statement(&mut self, pipeline: &'q Pipeline, names: &mut Names<'q>) -> Result<Vec<Bound>> {
        self.visualization = None;
        self.needs_single_stream = false;
        if let Some(tables) = self.named_graph_tables(pipeline, names)? {
            *names = tables;
            return Ok(Vec::new());
        }
        if let Some(several) = self.several_results(pipeline, names)? {
            return Ok(several);
        }
        let relation = self.pipeline(pipeline, names)?;
        Ok(vec![self.finish(relation, pipeline.span)?])
    }

    fn finish(&mut self, relation: Relation, span: Span) -> Result<Bound> {
        let relation = relation.in_order(span)?;
        let plan = relation.builder.build().map_err(|e| internal(span, &e))?;
        Ok(Bound {
            name: None,
            plan,
            columns: relation.columns.iter().map(types::Column::from).collect(),
            visualization: self.visualization.take(),
            needs_single_stream: self.needs_single_stream,
        })
    }

    /// Adds what a `let` or `declare` declares, or remembers an option.
    fn declaration(&mut self, statement: &'q Statement, names: &Names<'q>) -> Result<Names<'q>> {
        let (name, value) = match statement {
            Statement::Let { name, value, .. } => (name, value),
            Statement::Parameters(parameters) => return self.query_parameters(parameters, names),
            Statement::Pattern(pattern) => {
                let scope = names.clone();
                return Ok(names.with(&pattern.name.text, Meaning::Pattern { pattern, scope }));
            }
            Statement::Alias { name, value } => return self.alias(name, value, names),
            Statement::Restrict(list) => return self.restriction(list, names),
            Statement::Set { option, value, .. } => {
                self.options.extend(value.as_ref().map(|value| (option.text.as_str(), value)));
                return Ok(names.clone());
            }
            Statement::Query(_) => return Ok(names.clone()),
        };
        let meaning = match value {
            LetValue::Function(function) => Meaning::Function { function, scope: names.clone() },
            LetValue::Expression(pipeline) => self.let_expression(pipeline, names)?,
        };
        Ok(names.with(&name.text, meaning))
    }

    fn let_expression(&mut self, pipeline: &'q Pipeline, names: &Names<'q>) -> Result<Meaning<'q>> {
        if let Source::Operator(operator) = &pipeline.source
            && let kql::tree::OperatorKind::EntityGroup(entities) = &operator.kind
        {
            return Ok(Meaning::Group(self.group(entities, operator.span, names)?));
        }
        if self.makes_graph(pipeline, names)
            && let graph::Stage::Graph(graph) = self.stage(pipeline, names)?
        {
            return Ok(Meaning::Graph(Box::new(graph)));
        }
        if self.is_tabular(pipeline, names) {
            return Ok(Meaning::Table(self.pipeline(pipeline, names)?));
        }
        let Source::Expression(expression) = &pipeline.source else {
            return Ok(Meaning::Table(self.pipeline(pipeline, names)?));
        };
        if let kql::tree::ExprKind::Name(name) = &expression.kind
            && let Some(meaning) = names.find(name)
        {
            return Ok(meaning.clone());
        }
        let scope = Scope { names: names.clone(), columns: &[] };
        Ok(Meaning::Value(self.expression(expression, &scope)?))
    }

    /// Binds a call of a function that the query defines, as rows.
    pub fn call_table(
        &mut self,
        function: &'q Function,
        defined_in: &Names<'q>,
        arguments: &'q [kql::tree::Argument],
        scope: &Scope<'q, '_>,
        span: Span,
    ) -> Result<Relation> {
        self.call_table_over(None, function, defined_in, arguments, scope, span)
    }

    /// As [`Binder::call_table`], with `first` in the place of the first argument.
    pub fn call_table_over(
        &mut self,
        first: Option<Relation>,
        function: &'q Function,
        defined_in: &Names<'q>,
        arguments: &'q [kql::tree::Argument],
        scope: &Scope<'q, '_>,
        span: Span,
    ) -> Result<Relation> {
        let names = self.bind_parameters(first, function, defined_in, arguments, scope, span)?;
        self.inside(function, span, |b| {
            let (names, last) = b.body(&function.body, names, span)?;
            b.nested(span, |b| b.pipeline(last, &names))
        })
    }

    /// Binds the body of a function. A stored one has a text of its own: where it is wrong is told by its name, at the
    /// place of the call.
    fn inside<T>(
        &mut self,
        function: &'q Function,
        span: Span,
        bind: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let Some(stored) = self.functions.iter().find(|stored| std::ptr::eq(&stored.function, function)) else {
            return bind(self);
        };
        // These know places in the text of the query.
        let placeholders = std::mem::take(&mut self.placeholders);
        let result = bind(self);
        self.placeholders = placeholders;
        result.map_err(|stop| match stop {
            Stop::Wrong(found) => {
                let told = |inner: Diagnostic| {
                    let message = format!("in the function '{}': {}", stored.name, inner.message);
                    Diagnostic { message, span, ..inner }
                };
                Stop::Wrong(found.into_iter().map(told).collect())
            }
            other => other,
        })
    }

    /// Binds a call of a function that the query defines, as a value.
    pub fn call_value(
        &mut self,
        function: &'q Function,
        defined_in: &Names<'q>,
        arguments: &'q [kql::tree::Argument],
        scope: &Scope<'q, '_>,
        span: Span,
    ) -> Result<Typed> {
        let names = self.bind_parameters(None, function, defined_in, arguments, scope, span)?;
        self.inside(function, span, |b| {
            let (names, last) = b.body(&function.body, names, span)?;
            match &last.source {
                Source::Expression(expression) if last.operators.is_empty() => {
                    b.nested(span, |b| b.expression(expression, &Scope { names, columns: &[] }))
                }
                _ => Err(Diagnostic::semantic(span, "this function returns rows, not a value").into()),
            }
        })
    }

    /// The names around a function: where it has none of its own, those of all stored functions.
    fn around(&self, defined_in: &Names<'q>) -> Names<'q> {
        if defined_in.0.is_none() { self.root.clone() } else { defined_in.clone() }
    }

    /// Whether the body of a function ends in rows.
    pub fn returns_table(&self, function: &'q Function, defined_in: &Names<'q>) -> bool {
        let Some(stored) = self.functions.iter().position(|stored| std::ptr::eq(&stored.function, function)) else {
            return self.ends_in_rows(function, defined_in);
        };
        // Stored functions may call each other in a circle; one that is being looked at gives nothing.
        if let Some(known) = self.stored_returns.borrow().get(&stored) {
            return *known;
        }
        self.stored_returns.borrow_mut().insert(stored, false);
        let found = self.ends_in_rows(function, defined_in);
        self.stored_returns.borrow_mut().insert(stored, found);
        found
    }

    fn ends_in_rows(&self, function: &'q Function, defined_in: &Names<'q>) -> bool {
        let Some(Statement::Query(pipeline)) = function.body.statements.last() else { return false };
        let mut names = self.around(defined_in);
        for parameter in &function.parameters {
            if let kql::tree::ParameterKind::Table(_) = parameter.kind {
                names = names.with(&parameter.name.text, Meaning::Table(Relation::no_columns()));
            }
        }
        for statement in &function.body.statements {
            if let Statement::Let { name, value: LetValue::Expression(p), .. } = statement
                && self.is_tabular(p, &names)
            {
                names = names.with(&name.text, Meaning::Table(Relation::no_columns()));
            }
        }
        self.is_tabular(pipeline, &names)
    }

    fn body(&mut self, body: &'q Script, mut names: Names<'q>, span: Span) -> Result<(Names<'q>, &'q Pipeline)> {
        let mut last = None;
        let mut findings = Findings::default();
        for statement in &body.statements {
            match statement {
                Statement::Query(pipeline) => last = Some(pipeline),
                other => names = self.noted_declaration(other, &names, &mut findings)?,
            }
        }
        match last {
            Some(pipeline) => findings.end((names, pipeline)),
            None => Err(Diagnostic::semantic(span, "the function has no expression to return").into()),
        }
    }

    fn bind_parameters(
        &mut self,
        first: Option<Relation>,
        function: &'q Function,
        defined_in: &Names<'q>,
        arguments: &'q [kql::tree::Argument],
        scope: &Scope<'q, '_>,
        span: Span,
    ) -> Result<Names<'q>> {
        let piped = usize::from(first.is_some());
        if arguments.len() + piped > function.parameters.len() {
            let message = format!("the function takes {} arguments at most", function.parameters.len());
            return Err(Diagnostic::semantic(span, message).into());
        }
        let mut names = self.around(defined_in);
        if let (Some(relation), Some(parameter)) = (first, function.parameters.first()) {
            let kql::tree::ParameterKind::Table(columns) = &parameter.kind else {
                return Err(Diagnostic::semantic(span, "the first parameter of the function takes no rows").into());
            };
            for column in columns {
                relation.require(&column.name)?;
            }
            names = names.with(&parameter.name.text, Meaning::Table(relation));
        }
        for (i, parameter) in function.parameters.iter().skip(piped).enumerate() {
            let named = arguments.iter().find(|a| a.name.as_ref().is_some_and(|n| n.text == parameter.name.text));
            let given = named.or_else(|| arguments.get(i).filter(|a| a.name.is_none())).map(|a| &a.value);
            let Some(value) = given.or(parameter.default.as_ref()) else {
                let message = format!("the argument '{}' is missing", parameter.name.text);
                return Err(Diagnostic::semantic(span, message).into());
            };
            let meaning = match &parameter.kind {
                kql::tree::ParameterKind::Scalar(wanted) => {
                    let typed = self.expression(value, scope)?;
                    match self.coerce(typed, *wanted, value.span) {
                        Ok(typed) => Meaning::Value(typed),
                        Err(Stop::Wrong(found)) => Meaning::Mistaken(found),
                        Err(stop) => return Err(stop),
                    }
                }
                kql::tree::ParameterKind::Table(columns) => {
                    let relation = self.table_expression(value, &scope.names)?;
                    for column in columns {
                        relation.require(&column.name)?;
                    }
                    Meaning::Table(relation)
                }
            };
            names = names.with(&parameter.name.text, meaning);
        }
        Ok(names)
    }

    /// Runs `bind` one call deeper; an error beyond [`CALL_DEPTH_MAX`].
    pub fn nested<T>(&mut self, span: Span, bind: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= CALL_DEPTH_MAX {
            let message = format!("calls nest deeper than {CALL_DEPTH_MAX} levels");
            return Err(Diagnostic::semantic(span, message).into());
        }
        self.depth += 1;
        let result = bind(self);
        self.depth -= 1;
        result
    }

    /// The result of the next subquery, or a stop that asks for it.
    pub fn subquery(&mut self, relation: Relation, span: Span) -> Result<SubqueryResult> {
        let index = self.next_subquery;
        self.next_subquery += 1;
        match self.known.get(index) {
            Some(result) => Ok(result.clone()),
            None => Err(Stop::Needs(Box::new(self.finish(relation, span)?))),
        }
    }
}

/// The diagnostic for a plan that DataFusion would not build.
///
/// Fields have names that no other has, so one that is not there belongs to a query around this one. Anything else is
/// a fault of the binder, not of the query.
pub(crate) fn internal(span: Span, error: &DataFusionError) -> Stop {
    if let DataFusionError::SchemaError(problem, _) = error.find_root()
        && matches!(problem.as_ref(), SchemaError::FieldNotFound { .. })
    {
        let message = "this depends on a column of the query around it, which differs from row to row";
        return Diagnostic::semantic(span, message).into();
    }
    Diagnostic::semantic(span, format!("failed to plan this part of the query: {}", error.strip_backtrace())).into()
}

/// The diagnostic for a function or plugin that KQL has and this engine refuses.
pub(crate) fn refused(name: &Name) -> Option<Diagnostic> {
    let reason = refusal(&name.text)?;
    let diagnostic = Diagnostic::unsupported(name.span, &name.text);
    Some(diagnostic.with_hint(reason))
}

/// The diagnostic for a name that means nothing, with the nearest one that does.
pub(crate) fn unknown<'a>(what: &str, name: &Name, candidates: impl IntoIterator<Item = &'a str>) -> Diagnostic {
    let diagnostic = Diagnostic::semantic(name.span, format!("there is no {what} named '{}'", name.text));
    match kql::diagnostic::nearest(&name.text, candidates) {
        Some(near) => diagnostic.with_hint(format!("Did you mean '{near}'?")),
        None => diagnostic,
    }
}
