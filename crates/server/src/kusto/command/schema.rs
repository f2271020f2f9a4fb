//! What there is: databases, tables, columns, and all of it as one JSON document.

use super::super::error::KustoError;
use super::super::response::{Table, text};
use super::words::Words;
use super::{Command, Entity, failed};
use engine::{Column, json};
use kql::Type;
use kql::token::Symbol;
use kql::tree::{Parameter, ParameterKind};
use workspace::{FunctionEntry, TableInfo};

/// The version of a schema in the JSON document. Clients compare it; ours never says that they have the newest.
const SCHEMA_VERSION: (u32, u32) = (1, 0);

/// `a:long,['b c']:string`.
fn in_short(columns: &[Column]) -> String {
    let is_plain = |name: &str| {
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    let name = |name: &str| if is_plain(name) { name.to_owned() } else { format!("['{}']", name.replace('\'', "\\'")) };
    columns.iter().map(|c| format!("{}:{}", name(&c.name), c.column_type)).collect::<Vec<_>>().join(",")
}

fn column_json(name: &str, of: Type) -> String {
    json::bag([("Name", text(name)), ("Type", text(of.dotnet_name())), ("CslType", text(of.name()))].map(named))
}

fn named((name, value): (&str, String)) -> (String, String) {
    (name.to_owned(), value)
}

fn table_json(info: &TableInfo) -> String {
    let columns = info.columns.iter().map(|c| column_json(&c.name, c.column_type));
    let members = [
        ("Name", text(&info.name)),
        ("OrderedColumns", json::array(columns)),
        ("Folder", text(&info.notes.folder)),
        ("DocString", text(&info.notes.docstring)),
    ];
    json::bag(members.map(named))
}

fn function_json(name: &str, function: &FunctionEntry) -> String {
    let source = function.text();
    let (parsed, _) = kql::parse_function(&source);
    let parameter = |p: &Parameter| match &p.kind {
        ParameterKind::Scalar(of) => {
            let mut members =
                vec![("Name", text(&p.name.text)), ("Type", text(of.dotnet_name())), ("CslType", text(of.name()))];
            members.extend(p.default.as_ref().map(|default| ("CslDefaultValue", text(default.span.text(&source)))));
            json::bag(members.into_iter().map(named))
        }
        ParameterKind::Table(columns) => {
            let columns = columns.iter().map(|c| column_json(&c.name.text, c.column_type));
            json::bag([("Name", text(&p.name.text)), ("Columns", json::array(columns))].map(named))
        }
    };
    let members = [
        ("Name", text(name)),
        ("InputParameters", json::array(parsed.parameters.iter().map(parameter))),
        ("Body", text(&function.body)),
        ("Folder", text(&function.notes.folder)),
        ("DocString", text(&function.notes.docstring)),
        ("FunctionKind", text("Unknown")),
        ("OutputColumns", "[]".to_owned()),
    ];
    json::bag(members.map(named))
}

/// One table: its columns as JSON, or in short.
pub(super) async fn one_table(command: &Command<'_>, name: &str, as_json: bool) -> Result<Table, KustoError> {
    let tables = command.services.workspaces.tables(command.database).await.map_err(failed)?;
    let missing = || KustoError::workspace(&workspace::Error::NoTable(name.to_owned()));
    let info = tables.into_iter().find(|info| info.name == name).ok_or_else(missing)?;
    let mut table = schema_listing();
    push_schema(&mut table, command.database, &info, as_json);
    Ok(table)
}

fn schema_listing() -> Table {
    Table::new(&[
        ("TableName", Type::String),
        ("Schema", Type::String),
        ("DatabaseName", Type::String),
        ("Folder", Type::String),
        ("DocString", Type::String),
    ])
}

fn push_schema(table: &mut Table, database: &str, info: &TableInfo, as_json: bool) {
    let schema = match as_json {
        true => {
            let columns = info.columns.iter().map(|c| column_json(&c.name, c.column_type));
            json::bag([("Name", text(&info.name)), ("OrderedColumns", json::array(columns))].map(named))
        }
        false => in_short(&info.columns),
    };
    let cells = [info.name.as_str(), schema.as_str(), database, &info.notes.folder, &info.notes.docstring];
    table.push(&cells.map(text));
}

/// The tables whose names are wanted.
pub(super) async fn tables_listing(
    command: &Command<'_>,
    is_wanted: impl Fn(&String) -> bool,
) -> Result<Table, KustoError> {
    let mut table = Table::new(&[
        ("TableName", Type::String),
        ("DatabaseName", Type::String),
        ("Folder", Type::String),
        ("DocString", Type::String),
    ]);
    let tables = command.services.workspaces.tables(command.database).await.map_err(failed)?;
    for info in tables.into_iter().filter(|info| is_wanted(&info.name)) {
        table.push(&[&info.name, command.database, &info.notes.folder, &info.notes.docstring].map(text));
    }
    Ok(table)
}

/// How much the tables whose names are wanted hold, and where. Rows in memory have no size on the disk yet.
async fn tables_details(command: &Command<'_>, is_wanted: impl Fn(&String) -> bool) -> Result<Table, KustoError> {
    let mut table = Table::new(&[
        ("TableName", Type::String),
        ("DatabaseName", Type::String),
        ("Folder", Type::String),
        ("DocString", Type::String),
        ("TotalExtents", Type::Long),
        ("TotalExtentSize", Type::Real),
        ("TotalRowCount", Type::Long),
        ("HotRowCount", Type::Long),
        ("RetentionPolicy", Type::String),
        ("MinExtentsCreationTime", Type::DateTime),
        ("MaxExtentsCreationTime", Type::DateTime),
    ]);
    let workspaces = &command.services.workspaces;
    for info in workspaces.tables(command.database).await.map_err(failed)?.into_iter().filter(|i| is_wanted(&i.name)) {
        let days = workspaces.retention(command.database, &info.name).await.map_err(failed)?.days();
        let policy = days.map(|days| format!("{{\"SoftDeletePeriod\":\"{days}.00:00:00\"}}")).unwrap_or_default();
        let time =
            |ticks: Option<i64>| ticks.map_or_else(|| "null".to_owned(), |ticks| text(kql::datetime::format(ticks)));
        let mut cells: Vec<String> =
            [&info.name, command.database, &info.notes.folder, &info.notes.docstring].map(text).to_vec();
        cells.extend([info.files.to_string(), format!("{:.1}", info.file_bytes as f64)]);
        cells.extend([(info.file_rows + info.hot_rows as u64).to_string(), info.hot_rows.to_string(), text(policy)]);
        cells
            .extend([time(info.written_ticks.map(|(first, _)| first)), time(info.written_ticks.map(|(_, last)| last))]);
        table.push(&cells);
    }
    Ok(table)
}

impl Command<'_> {
    pub(super) async fn show_tables(&self, words: &mut Words<'_>) -> Result<Table, KustoError> {
        let wanted = words.is_at(Symbol::OpenParen).then(|| words.names("a table name")).transpose()?;
        if words.take("details") {
            return tables_details(self, |name| wanted.as_ref().is_none_or(|wanted| wanted.contains(name))).await;
        }
        tables_listing(self, |name| wanted.as_ref().is_none_or(|wanted| wanted.contains(name))).await
    }

    /// `.show table T schema as json` and `.show table T cslschema`.
    pub(super) async fn show_table(&self, words: &mut Words<'_>) -> Result<Table, KustoError> {
        let name = words.name("a table name")?;
        if words.take("schema as json") {
            return one_table(self, &name, true).await;
        }
        if words.take("cslschema") || words.take("kqlschema") || words.take("schema as csl") {
            return one_table(self, &name, false).await;
        }
        if words.take("ingestion") {
            return self.show_mappings(&name, words).await;
        }
        if words.take("policy") {
            return self.show_policy(Entity::Table(name), words).await;
        }
        if words.take("details") {
            return tables_details(self, |known| *known == name).await;
        }
        Err(self.unsupported())
    }

    pub(super) async fn show_databases(&self, words: &mut Words<'_>) -> Result<Table, KustoError> {
        let wanted = words.is_at(Symbol::OpenParen).then(|| words.names("a database name")).transpose()?;
        let mut names = self.services.databases_of(&self.caller);
        names.retain(|name| wanted.as_ref().is_none_or(|wanted| wanted.contains(name)));
        if words.take("schema") {
            return self.show_schema_of(names, words).await;
        }
        let mut table = databases_listing();
        for name in &names {
            push_database(&mut table, name, self.database);
        }
        Ok(table)
    }

    /// `.show database [D] schema [as json]`, `.show database D cslschema`, `.show database`.
    pub(super) async fn show_database(&self, words: &mut Words<'_>) -> Result<Table, KustoError> {
        let is_form = |words: &mut Words<'_>| words.one_of(&["schema", "cslschema", "kqlschema"]);
        let (database, form) = match is_form(words) {
            Some(form) => (self.database.to_owned(), Some(form)),
            None if words.is_name() => (words.name("a database name")?, is_form(words)),
            None => (self.database.to_owned(), None),
        };
        self.check_database(&database)?;
        if form.is_none() && words.take("policy") {
            return self.show_policy(Entity::Database(database), words).await;
        }
        match form {
            Some("schema") => self.show_schema_of(vec![database], words).await,
            Some(_) => {
                let mut table = schema_listing();
                for info in self.services.workspaces.tables(&database).await.map_err(failed)? {
                    push_schema(&mut table, &database, &info, false);
                }
                Ok(table)
            }
            None => {
                let mut table = databases_listing();
                push_database(&mut table, &database, self.database);
                Ok(table)
            }
        }
    }

    pub(super) async fn show_schema(&self, words: &mut Words<'_>) -> Result<Table, KustoError> {
        self.show_schema_of(self.services.databases_of(&self.caller), words).await
    }

    async fn show_schema_of(&self, databases: Vec<String>, words: &mut Words<'_>) -> Result<Table, KustoError> {
        words.take("details");
        if words.take("as json") {
            words.properties()?;
            return self.schema_json(databases).await;
        }
        let mut table = Table::new(&[
            ("DatabaseName", Type::String),
            ("TableName", Type::String),
            ("ColumnName", Type::String),
            ("ColumnType", Type::String),
            ("IsDefaultTable", Type::Bool),
            ("IsDefaultColumn", Type::Bool),
            ("PrettyName", Type::String),
            ("Version", Type::String),
            ("Folder", Type::String),
            ("DocString", Type::String),
        ]);
        let version = format!("v{}.{}", SCHEMA_VERSION.0, SCHEMA_VERSION.1);
        let no = || "false".to_owned();
        for database in databases {
            let mut row = |of: [&str; 4], version: &str, folder: &str, docstring: &str| {
                let [database, table_name, column, column_type] = of.map(text);
                let [pretty, version, folder, docstring] = ["", version, folder, docstring].map(text);
                table.push(&[
                    database,
                    table_name,
                    column,
                    column_type,
                    no(),
                    no(),
                    pretty,
                    version,
                    folder,
                    docstring,
                ]);
            };
            row([&database, "", "", ""], &version, "", "");
            for info in self.services.workspaces.tables(&database).await.map_err(failed)? {
                row([&database, &info.name, "", ""], "", &info.notes.folder, &info.notes.docstring);
                for column in &info.columns {
                    row([&database, &info.name, &column.name, column.column_type.dotnet_name()], "", "", "");
                }
            }
        }
        Ok(table)
    }

    /// All that an editor needs to know, as one cell.
    async fn schema_json(&self, databases: Vec<String>) -> Result<Table, KustoError> {
        let mut all = Vec::new();
        for name in databases {
            let tables = self.services.workspaces.tables(&name).await.map_err(failed)?;
            let functions = self.services.workspaces.functions(&name).await.map_err(failed)?;
            let empty = || "{}".to_owned();
            let members = [
                ("Name", text(&name)),
                ("Tables", json::bag(tables.iter().map(|info| (info.name.clone(), table_json(info))))),
                ("ExternalTables", empty()),
                ("MaterializedViews", empty()),
                ("EntityGroups", empty()),
                ("MajorVersion", SCHEMA_VERSION.0.to_string()),
                ("MinorVersion", SCHEMA_VERSION.1.to_string()),
                ("Functions", json::bag(functions.iter().map(|(name, f)| (name.clone(), function_json(name, f))))),
                ("DatabaseAccessMode", text("ReadWrite")),
                ("PrettyName", text("")),
            ];
            all.push((name, json::bag(members.map(named))));
        }
        let document = json::bag([("Plugins", "[]".to_owned()), ("Databases", json::bag(all))].map(named));
        let mut table = Table::new(&[("DatabaseSchema", Type::String)]);
        table.push(&[text(&document)]);
        Ok(table)
    }
}

fn databases_listing() -> Table {
    Table::new(&[
        ("DatabaseName", Type::String),
        ("PersistentStorage", Type::String),
        ("Version", Type::String),
        ("IsCurrent", Type::Bool),
        ("DatabaseAccessMode", Type::String),
        ("PrettyName", Type::String),
        ("ReservedSlot1", Type::Bool),
        ("DatabaseId", Type::Guid),
        ("InTransitionTo", Type::String),
        ("SuspensionState", Type::String),
    ])
}

fn push_database(table: &mut Table, name: &str, current: &str) {
    // The id of a database is made of its name, so that it stays.
    let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes());
    let version = format!("v{}.{}", SCHEMA_VERSION.0, SCHEMA_VERSION.1);
    table.push(&[
        text(name),
        text(""),
        text(&version),
        (name == current).to_string(),
        text("ReadWrite"),
        text(""),
        "false".to_owned(),
        text(id.to_string()),
        text(""),
        text(""),
    ]);
}
