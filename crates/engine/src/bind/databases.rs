//! Databases by other names, in groups, and the part of them that a query may see.

use super::expression::text;
use super::findings::all;
use super::relation::Relation;
use super::source::matches_pattern;
use super::union::outer_kind;
use super::{Binder, Meaning, Names, Result, Stop, Typed, unknown};
use kql::tree::{Accessible, Expr, ExprKind, Literal, MacroExpand, Name, OperatorKind, Source};
use kql::{Diagnostic, Span, Type};

/// What the current database is called within a group's member.
const CURRENT_DATABASE: &str = "$current_database";
const CURRENT_CLUSTER: &str = "$current_cluster_endpoint";

/// Whether a `restrict` statement leaves a table of a database accessible. A lone `*` stands for what the query itself
/// declares, not for tables.
pub(super) fn allows_table(list: &[Accessible], current: &str, database: &str, table: &str) -> bool {
    list.iter().any(|entity| match entity.database.as_deref() {
        None => entity.name.text != "*" && database == current && matches_pattern(table, &entity.name),
        Some("") => database == current && matches_pattern(table, &entity.name),
        Some(named) => database == named && matches_pattern(table, &entity.name),
    })
}

/// Whether it leaves a view or pattern that the query declares accessible.
pub(super) fn allows_declared(list: &[Accessible], name: &str) -> bool {
    list.iter().any(|entity| entity.database.is_none() && matches_pattern(name, &entity.name))
}

impl<'q> Binder<'q> {
    /// The database that an expression names: `database("...")`.
    pub(super) fn database_of(&self, expr: &Expr, names: &Names<'q>) -> Result<String> {
        let name = match &expr.kind {
            _ if super::source::in_other_cluster(expr) => {
                let diagnostic = Diagnostic::unsupported(expr.span, "a query to another cluster");
                return Err(diagnostic.with_hint("database(\"name\") names another workspace.").into());
            }
            ExprKind::Call { function, arguments } if function.text == "database" => {
                match arguments.first().map(|a| &a.value.kind) {
                    Some(ExprKind::Literal(Literal::String(name))) => self.database_named(name, names),
                    None => self.database.to_owned(),
                    Some(_) => return Err(Diagnostic::semantic(expr.span, "expected the name of a database").into()),
                }
            }
            _ => return Err(Diagnostic::semantic(expr.span, "expected database(\"name\")").into()),
        };
        if self.catalog.has_database(&name) {
            return Ok(name);
        }
        let message = format!("there is no database named '{name}'");
        Err(Diagnostic::semantic(expr.span, message).of_missing_table().into())
    }

    /// A database by its name, or by one that `alias` has given it.
    pub(super) fn database_named(&self, name: &str, names: &Names<'q>) -> String {
        match names.find(&alias(name)) {
            Some(Meaning::Database(database)) => database.clone(),
            _ => name.to_owned(),
        }
    }

    /// `alias database name = database("...")`.
    pub(super) fn alias(&self, name: &Name, value: &Expr, names: &Names<'q>) -> Result<Names<'q>> {
        let database = self.database_of(value, names)?;
        Ok(names.with(&alias(&name.text), Meaning::Database(database)))
    }

    /// `restrict access to (...)`: what it names must be there.
    pub(super) fn restriction(&self, list: &'q [Accessible], names: &Names<'q>) -> Result<Names<'q>> {
        all(list.iter().map(|entity| {
            let name = &entity.name;
            let database = match entity.database.as_deref() {
                None | Some("") => self.database.to_owned(),
                Some(named) => self.database_named(named, names),
            };
            if !self.catalog.has_database(&database) {
                let message = format!("there is no database named '{database}'");
                return Err(Diagnostic::semantic(name.span, message).into());
            }
            let is_there = name.has_wildcard
                || self.catalog.table(&database, &name.text).is_some()
                || self.catalog.functions(&database).iter().any(|function| function.name == name.text)
                || (entity.database.is_none() && names.find(&name.text).is_some());
            if is_there {
                return Ok(());
            }
            let tables = self.catalog.table_names(&database);
            let what = Name { text: name.text.clone(), span: name.span };
            let declared = if entity.database.is_none() { names.all() } else { Vec::new() };
            Err(unknown("table, view or function", &what, tables.iter().map(String::as_str).chain(declared)).into())
        }))?;
        Ok(names.with("", Meaning::Restriction(list)))
    }

    /// The databases of `entity_group [...]`.
    pub(super) fn group(&self, entities: &[Expr], span: Span, names: &Names<'q>) -> Result<Vec<String>> {
        let mut databases: Vec<String> = Vec::new();
        for entity in entities {
            let database = self.database_of(entity, names)?;
            if databases.contains(&database) {
                let message = format!("the database '{database}' stands twice in the group");
                return Err(Diagnostic::semantic(entity.span, message).into());
            }
            databases.push(database);
        }
        if databases.is_empty() {
            return Err(Diagnostic::syntax(span, "a group has at least one database").into());
        }
        Ok(databases)
    }

    fn group_of(&self, expr: &Expr, names: &Names<'q>) -> Result<Vec<String>> {
        match &expr.kind {
            ExprKind::Name(name) => match names.find(name) {
                Some(Meaning::Group(databases)) => Ok(databases.clone()),
                _ => {
                    let message = format!("there is no group of databases named '{name}'");
                    Err(Diagnostic::semantic(expr.span, message).into())
                }
            },
            ExprKind::Pipeline(pipeline) => match &pipeline.source {
                Source::Operator(operator) => match &operator.kind {
                    OperatorKind::EntityGroup(entities) => self.group(entities, expr.span, names),
                    _ => Err(Diagnostic::semantic(expr.span, "expected a group of databases").into()),
                },
                Source::Expression(_) => Err(Diagnostic::semantic(expr.span, "expected a group of databases").into()),
            },
            _ => Err(Diagnostic::semantic(expr.span, "expected a group of databases").into()),
        }
    }

    /// `macro-expand`: the statements for each database, all rows together.
    pub(super) fn macro_expand(&mut self, expand: &'q MacroExpand, span: Span, names: &Names<'q>) -> Result<Relation> {
        let is_outer = outer_kind(expand.kind.as_ref())?;
        let mut legs: Vec<(String, Relation)> = Vec::new();
        for database in self.group_of(&expand.group, names)? {
            let names = names.with(&expand.scope.text, Meaning::Database(database));
            let bound = self.nested(span, |b| {
                let (names, last) = b.body(&expand.body, names, span)?;
                b.pipeline(last, &names)
            });
            match bound {
                Ok(relation) => legs.push((format!("union_arg{}", legs.len()), relation)),
                Err(Stop::Wrong(found)) if expand.is_fuzzy && found.iter().all(|d| d.is_missing_table) => {}
                Err(stop) => return Err(stop),
            }
        }
        if legs.is_empty() {
            return Err(Diagnostic::semantic(span, "none of the databases has the tables").into());
        }
        self.unite(legs, expand.with_source.as_ref(), is_outer, span)
    }

    /// `scope.$current_database`, where the name before the dot means a database.
    pub(super) fn member_of_database(&self, base: &Expr, member: &Name, names: &Names<'q>) -> Option<Typed> {
        let ExprKind::Name(name) = &base.kind else { return None };
        let Some(Meaning::Database(database)) = names.find(name) else { return None };
        match member.text.as_str() {
            CURRENT_DATABASE => Some(Typed::new(text(database), Type::String)),
            CURRENT_CLUSTER => Some(Typed::new(text(""), Type::String)),
            _ => None,
        }
    }
}

/// The name under which an alias is known: apart from all names that queries can write.
fn alias(name: &str) -> String {
    format!("$database {name}")
}
