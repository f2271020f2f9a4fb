//! Control commands, which begin with a dot: what there is, making and dropping it, and putting rows into it.
//!
//! What a command answers can be queried: `.show tables | where TableName has "x"`, and, after a semicolon, as
//! `$command_results`.

mod data;
mod deletion;
mod functions;
mod mappings;
mod policies;
mod schema;
mod service;
mod tables;
mod words;

use super::error::KustoError;
use super::response::{self, Table};
use crate::Services;
use crate::queries::Properties;
use crate::requester::Requester;
use access::Caller;
use access::role::{INGEST, MANAGE_WORKSPACE, PURGE, QUERY};
use axum::response::Response;
use engine::catalog::{Catalog, StoredFunction};
use engine::slot::Slot;
use kql::token::Symbol;
use policies::Entity;
use std::sync::Arc;
use words::Words;

/// The name of a command's answer in the query that follows it.
const RESULTS: &str = "$command_results";

/// A command that is being run.
struct Command<'r> {
    services: &'r Services,
    requester: &'r Requester,
    caller: Arc<Caller>,
    /// What the caller must be allowed to do in each database that the command is about.
    action: &'static str,
    database: &'r str,
    text: &'r str,
    /// What the request says of limits.
    limits: &'r Properties,
}

/// Runs the command `text` in `database`.
pub(super) async fn run(
    services: &Services,
    requester: &Requester,
    database: &str,
    text: &str,
    limits: &Properties,
) -> Result<Response, KustoError> {
    let caller = requester.is_somebody(QUERY)?.clone();
    requester.note("command", crate::query_log::obfuscated(text).0);
    requester.note("database", database);
    let command = Command { services, requester, caller, action: action(text), database, text, limits };
    if limits.scope.is_bounded() && command.action != QUERY {
        let message =
            "query_datetimescope_from and _to are for queries; a command that changes something is refused with them";
        return Err(KustoError::bad_request(message));
    }
    // What follows `<|` may be rows, which are no words.
    if let Some((before, after)) = data::split(text) {
        return Ok(response::command(command.take_rows(before, after).await?));
    }
    let mut words = Words::new(text)?;
    let table = command.answer(&mut words).await?;
    let rest = words.rest().trim();
    let query = if words.is_at(Symbol::Pipe) {
        format!("['{RESULTS}'] {rest}")
    } else if words.symbol(Symbol::Semicolon) {
        words.rest().replace(RESULTS, &format!("['{RESULTS}']"))
    } else if words.at_end() {
        String::new()
    } else {
        return Err(words.unexpected("'|' or the end of the command"));
    };
    if query.trim().is_empty() {
        return Ok(response::command(table));
    }
    let slot = Slot::default();
    let results = slot.table(table.columns());
    slot.set(vec![table.batch().map_err(|error| KustoError::workspace(&error))?]);
    let catalog = Arc::new(WithResults { inner: services.catalog_for(&command.caller), results });
    let answered = services
        .queries
        .run(catalog, database.to_owned(), query.clone(), limits.clone(), response::QueryResult::read)
        .await;
    answered.map(response::query).map_err(|failed| KustoError::failed(failed, &query))
}

/// The tables there are, and the answer of a command among them.
struct WithResults {
    inner: Arc<dyn Catalog>,
    results: engine::catalog::Table,
}

impl Catalog for WithResults {
    fn table(&self, database: &str, name: &str) -> Option<engine::catalog::Table> {
        if name == RESULTS { Some(self.results.clone()) } else { self.inner.table(database, name) }
    }

    fn functions(&self, database: &str) -> Vec<Arc<StoredFunction>> {
        self.inner.functions(database)
    }

    fn table_names(&self, database: &str) -> Vec<String> {
        self.inner.table_names(database)
    }

    fn database_names(&self) -> Vec<String> {
        self.inner.database_names()
    }

    fn has_database(&self, database: &str) -> bool {
        self.inner.has_database(database)
    }
}

/// What a command does.
fn action(text: &str) -> &'static str {
    match text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase().as_str() {
        ".show" => QUERY,
        ".ingest" | ".append" => INGEST,
        ".purge" => PURGE,
        ".delete" if text.contains("<|") => PURGE,
        _ => MANAGE_WORKSPACE,
    }
}

fn failed(error: workspace::Error) -> KustoError {
    KustoError::workspace(&error)
}

impl Command<'_> {
    async fn answer(&self, words: &mut Words<'_>) -> Result<Table, KustoError> {
        if words.take("show") {
            if let Some(answered) = self.show_of_all(words).await {
                return answered;
            }
            self.check_database(self.database)?;
            return self.show(words).await;
        }
        if words.take("create database") {
            return self.create_database(words).await;
        }
        if words.take("cancel query") {
            return self.cancel_query(words);
        }
        self.check_database(self.database)?;
        if let Some(verb) = words.one_of(&["create-or-alter", "create-merge", "alter-merge", "create", "alter"]) {
            if words.take("function") {
                return self.put_function(verb, words).await;
            }
            if words.take("tables") {
                return self.create_tables(verb, words).await;
            }
            if words.take("table") {
                return self.put_table(verb, words).await;
            }
            if matches!(verb, "alter" | "alter-merge") && words.take("database") {
                let entity = Entity::Database(words.name("a database name")?);
                if words.take("policy") {
                    return self.put_policy(entity, words).await;
                }
            }
            return Err(self.unsupported());
        }
        if words.take("drop") {
            if words.take("function") {
                return self.drop_function(words).await;
            }
            if words.take("functions") {
                return self.drop_functions(words).await;
            }
            if words.take("table") || words.take("tables") {
                return self.drop_tables(words).await;
            }
        }
        if words.take("delete")
            && let Some(kind) = words.one_of(&["table", "database"])
        {
            let name = words.name("a name")?;
            let entity = if kind == "table" { Entity::Table(name) } else { Entity::Database(name) };
            if words.take("policy") {
                return self.delete_policy(entity, words).await;
            }
            return Err(words.unexpected("'policy', or 'records' and '<|'"));
        }
        Err(self.unsupported())
    }

    /// That a database is there, and that the caller may do in it what the command does.
    fn check_database(&self, name: &str) -> Result<(), KustoError> {
        self.requester.may(self.action, &self.services.directory.workspace(name).to_string())?;
        if self.services.workspaces.catalog().has_database(name) {
            return Ok(());
        }
        Err(failed(workspace::Error::NoDatabase(name.to_owned())))
    }

    /// What is not about one database. Of databases and queries a caller sees its own.
    async fn show_of_all(&self, words: &mut Words<'_>) -> Option<Result<Table, KustoError>> {
        if words.take("version") {
            return Some(Ok(service::version()));
        }
        if words.take("queries") {
            return Some(Ok(self.show_queries()));
        }
        if words.take("running queries") {
            return Some(Ok(self.show_running_queries()));
        }
        words.take("cluster");
        if words.take("databases") {
            return Some(self.show_databases(words).await);
        }
        if words.take("schema") {
            return Some(self.show_schema(words).await);
        }
        None
    }

    async fn show(&self, words: &mut Words<'_>) -> Result<Table, KustoError> {
        if words.take("functions") {
            return self.show_functions().await;
        }
        if words.take("function") {
            return self.show_function(words).await;
        }
        if words.take("tables") {
            return self.show_tables(words).await;
        }
        if words.take("table") {
            return self.show_table(words).await;
        }
        if words.take("database") {
            return self.show_database(words).await;
        }
        if words.take("materialized-views") {
            return Ok(service::materialized_views());
        }
        if words.take("external tables") {
            return Ok(service::external_tables());
        }
        Err(self.unsupported())
    }

    fn unsupported(&self) -> KustoError {
        let shown: String = self.text.trim().chars().take(60).collect();
        KustoError::bad_request(format!("Not supported: the command '{shown}' is not supported yet"))
    }
}
