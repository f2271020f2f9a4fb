//! Making, changing and dropping tables and databases.

use super::super::error::KustoError;
use super::super::response::{Table, text};
use super::schema::{one_table, tables_listing};
use super::words::{Properties, Words};
use super::{Command, Entity, failed};
use kql::Type;
use kql::token::Symbol;
use workspace::{Notes, TableSchema};

/// The words that tables are made and changed with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Create,
    CreateMerge,
    Alter,
    AlterMerge,
}

fn note(notes: &mut Notes, mut properties: Properties) {
    notes.folder = properties.remove("folder").unwrap_or_else(|| std::mem::take(&mut notes.folder));
    notes.docstring = properties.remove("docstring").unwrap_or_else(|| std::mem::take(&mut notes.docstring));
}

impl Command<'_> {
    fn table_verb(&self, word: &str) -> Result<Verb, KustoError> {
        match word {
            "create" => Ok(Verb::Create),
            "create-merge" => Ok(Verb::CreateMerge),
            "alter" => Ok(Verb::Alter),
            "alter-merge" => Ok(Verb::AlterMerge),
            _ => Err(self.unsupported()),
        }
    }

    pub(super) async fn create_database(&self, words: &mut Words<'_>) -> Result<Table, KustoError> {
        let name = words.name("a database name")?;
        if words.take("persist") {
            words.balanced(Symbol::OpenParen, Symbol::CloseParen)?;
        } else {
            words.take("volatile");
        }
        words.take("ifnotexists");
        words.properties()?;
        words.finish()?;
        self.requester.may(self.action, &self.services.directory.workspace(&name).to_string())?;
        let is_new = !self.services.databases().contains(&name);
        self.services.workspaces.create_database(&name).await.map_err(failed)?;
        let mut table = Table::new(&[
            ("DatabaseName", Type::String),
            ("PersistentPath", Type::String),
            ("Created", Type::Bool),
            ("StoresMetadata", Type::Bool),
            ("StoresData", Type::Bool),
        ]);
        table.push(&[text(&name), text(""), is_new.to_string(), "true".to_owned(), "true".to_owned()]);
        Ok(table)
    }

    /// `.create table T (...)` and its kin, and what is said about a table.
    pub(super) async fn put_table(&self, verb: &str, words: &mut Words<'_>) -> Result<Table, KustoError> {
        let name = words.name("a table name")?;
        if words.take("ingestion") {
            return self.put_mapping(verb, &name, words).await;
        }
        if matches!(verb, "alter" | "alter-merge") && words.take("policy") {
            return self.put_policy(Entity::Table(name), words).await;
        }
        let verb = self.table_verb(verb)?;
        if let Some(which) = words.one_of(&["docstring", "folder"]).filter(|_| verb == Verb::Alter) {
            let said = words.string("a text in quotes")?;
            words.finish()?;
            let change = Properties::from([(which.to_owned(), said)]);
            let noted = self.services.workspaces.note_table(self.database, &name, |notes| note(notes, change)).await;
            noted.map_err(failed)?;
            return one_table(self, &name, false).await;
        }
        if !words.is_at(Symbol::OpenParen) {
            return Err(self.unsupported());
        }
        let columns = words.columns()?;
        let properties = words.properties()?;
        words.finish()?;
        self.make_table(verb, &TableSchema { name: name.clone(), columns }, properties).await?;
        // What is made is shown in full; what is changed, in short.
        one_table(self, &name, verb == Verb::Create).await
    }

    async fn make_table(&self, verb: Verb, schema: &TableSchema, properties: Properties) -> Result<(), KustoError> {
        let workspaces = &self.services.workspaces;
        workspaces.check_changeable(self.database, &schema.name).map_err(failed)?;
        let is_known = workspaces.columns(self.database, &schema.name).is_ok();
        match verb {
            // A table that is there stays as it is.
            Verb::Create if is_known => return Ok(()),
            Verb::Alter => workspaces.alter_table(self.database, schema).await.map_err(failed)?,
            Verb::AlterMerge if !is_known => {
                return Err(KustoError::workspace(&workspace::Error::NoTable(schema.name.clone())));
            }
            _ => workspaces.create_merge_table(self.database, schema).await.map_err(failed)?,
        };
        if properties.is_empty() {
            return Ok(());
        }
        workspaces.note_table(self.database, &schema.name, |notes| note(notes, properties)).await.map_err(failed)
    }

    /// `.create tables A (...), B (...)`.
    pub(super) async fn create_tables(&self, verb: &str, words: &mut Words<'_>) -> Result<Table, KustoError> {
        let verb = self.table_verb(verb)?;
        if !matches!(verb, Verb::Create | Verb::CreateMerge) {
            return Err(self.unsupported());
        }
        let mut schemas = Vec::new();
        loop {
            let name = words.name("a table name")?;
            schemas.push(TableSchema { name, columns: words.columns()? });
            if !words.symbol(Symbol::Comma) {
                break;
            }
        }
        let properties = words.properties()?;
        words.finish()?;
        for schema in &schemas {
            self.make_table(verb, schema, properties.clone()).await?;
        }
        tables_listing(self, |name| schemas.iter().any(|schema| schema.name == *name)).await
    }

    /// `.drop table T [ifexists]`, `.drop tables (T, U) [ifexists]`: the tables that are left.
    pub(super) async fn drop_tables(&self, words: &mut Words<'_>) -> Result<Table, KustoError> {
        let names = match words.is_at(Symbol::OpenParen) {
            true => words.names("a table name")?,
            false => vec![words.name("a table name")?],
        };
        if let [name] = names.as_slice()
            && words.take("ingestion")
        {
            return self.drop_mapping(name, words).await;
        }
        let if_exists = words.take("ifexists");
        words.finish()?;
        let workspaces = &self.services.workspaces;
        if !if_exists {
            for name in &names {
                workspaces.columns(self.database, name).map_err(failed)?;
            }
        }
        for name in &names {
            workspaces.drop_table(self.database, name).await.map_err(failed)?;
        }
        let mut table = Table::new(&[("TableName", Type::String), ("DatabaseName", Type::String)]);
        for info in workspaces.tables(self.database).await.map_err(failed)? {
            table.push(&[text(&info.name), text(self.database)]);
        }
        Ok(table)
    }
}
