//! Ingestion mappings that are kept: `.create table T ingestion json mapping`, `.show table T ingestion mappings`, `.drop`.

use super::super::error::KustoError;
use super::super::response::{Table, text};
use super::words::Words;
use super::{Command, failed};
use kql::Type;
use workspace::MappingEntry;
use workspace::format::Mapping;

const KINDS: [&str; 4] = ["json", "csv", "parquet", "avro"];

impl Command<'_> {
    /// Behind the words `ingestion`: the kind of mapping.
    fn mapping_kind(&self, words: &mut Words<'_>) -> Result<&'static str, KustoError> {
        words.one_of(&KINDS).ok_or_else(|| {
            let found = words.rest().split_whitespace().next().unwrap_or_default();
            KustoError::bad_request(format!(
                "Not supported: ingestion mappings of the kind '{found}'; json, csv, parquet and avro are"
            ))
        })
    }

    /// `.create table T ingestion json mapping "name" '[...]'`, and with `create-or-alter` and `alter`.
    pub(super) async fn put_mapping(
        &self,
        verb: &str,
        table: &str,
        words: &mut Words<'_>,
    ) -> Result<Table, KustoError> {
        let kind = self.mapping_kind(words)?;
        if !words.take("mapping") {
            return Err(words.unexpected("'mapping'"));
        }
        let name = words.name("the name of a mapping")?;
        let said = words.string("a mapping in quotes")?;
        words.properties()?;
        words.finish()?;
        let columns = self.services.workspaces.columns(self.database, table).map_err(failed)?;
        Mapping::parse(&columns, kind, &said)
            .map_err(|problem| KustoError::bad_request(format!("Bad request: {problem}")))?;
        let known = self.services.workspaces.mappings(self.database, table).await.map_err(failed)?;
        let is_known = known.iter().any(|m| m.kind == kind && m.name == name);
        match verb {
            "create" if is_known => return Err(KustoError::already_exists(&name, "IngestionMapping")),
            "alter" if !is_known => return Err(no_mapping(kind, &name)),
            _ => {}
        }
        let entry = MappingEntry { kind: kind.to_owned(), name: name.clone(), text: said };
        let put = |mappings: &mut Vec<MappingEntry>| {
            mappings.retain(|m| m.kind != entry.kind || m.name != entry.name);
            mappings.push(entry);
        };
        self.services.workspaces.change_mappings(self.database, table, put).await.map_err(failed)?;
        self.mappings(table, |m| m.kind == kind && m.name == name).await
    }

    /// `.show table T ingestion mappings`, `... ingestion json mappings`, `... ingestion json mapping "name"`.
    pub(super) async fn show_mappings(&self, table: &str, words: &mut Words<'_>) -> Result<Table, KustoError> {
        let kind = words.one_of(&KINDS);
        if kind.is_some() && words.take("mapping") {
            let name = words.name("the name of a mapping")?;
            return self.mappings(table, |m| Some(m.kind.as_str()) == kind && m.name == name).await;
        }
        if !words.take("mappings") {
            return Err(words.unexpected("'mappings'"));
        }
        self.mappings(table, |m| kind.is_none_or(|kind| m.kind == kind)).await
    }

    /// `.drop table T ingestion json mapping "name"`.
    pub(super) async fn drop_mapping(&self, table: &str, words: &mut Words<'_>) -> Result<Table, KustoError> {
        let kind = self.mapping_kind(words)?;
        if !words.take("mapping") {
            return Err(words.unexpected("'mapping'"));
        }
        let name = words.name("the name of a mapping")?;
        words.finish()?;
        let workspaces = &self.services.workspaces;
        let is_it = |m: &MappingEntry| m.kind == kind && m.name == name;
        if !workspaces.mappings(self.database, table).await.map_err(failed)?.iter().any(is_it) {
            return Err(no_mapping(kind, &name));
        }
        let dropped = workspaces.change_mappings(self.database, table, |mappings| mappings.retain(|m| !is_it(m)));
        dropped.await.map_err(failed)?;
        self.mappings(table, |_| true).await
    }

    async fn mappings(&self, table: &str, wanted: impl Fn(&MappingEntry) -> bool) -> Result<Table, KustoError> {
        let mut listing = Table::new(&[
            ("Name", Type::String),
            ("Kind", Type::String),
            ("Mapping", Type::String),
            ("LastUpdatedOn", Type::DateTime),
            ("Database", Type::String),
            ("Table", Type::String),
        ]);
        let known = self.services.workspaces.mappings(self.database, table).await.map_err(failed)?;
        for mapping in known.iter().filter(|m| wanted(m)) {
            let kind = match mapping.kind.as_str() {
                "json" => "Json",
                "csv" => "Csv",
                "parquet" => "Parquet",
                _ => "Avro",
            };
            let [name, kind, said, database, table] =
                [&mapping.name, kind, &mapping.text, self.database, table].map(text);
            listing.push(&[name, kind, said, "null".to_owned(), database, table]);
        }
        Ok(listing)
    }
}

fn no_mapping(kind: &str, name: &str) -> KustoError {
    KustoError::bad_request(format!("there is no {kind} mapping named '{name}'"))
}
