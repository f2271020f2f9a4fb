//! Control commands: `.create database`, `.create-merge table`, `.drop table`, `.show …`.

use super::error::KustoError;
use super::response::{self, Table};
use crate::Services;
use axum::response::Response;
use engine::{Column, json};
use kql::Type;
use kql::token::{Symbol, Token, TokenKind};
use workspace::TableSchema;

/// Runs the command `text` in `database`.
pub(super) async fn run(services: &Services, database: &str, text: &str) -> Result<Response, KustoError> {
    let mut words = Words::new(text)?;
    let verb = words.dashed();
    let failed = |error: workspace::Error| KustoError::workspace(&error);
    match verb.as_str() {
        "create" if words.take("database") => {
            let name = words.name("a database name")?;
            services.workspaces.create_database(&name).await.map_err(failed)?;
            let mut table = Table::new(&[("DatabaseName", Type::String)]);
            table.push(&[json::quote(&name)]);
            Ok(response::command(table))
        }
        "create" | "create-merge" if words.take("table") => {
            let name = words.name("a table name")?;
            let columns = words.columns()?;
            let schema = TableSchema { name: name.clone(), columns };
            let columns = services.workspaces.create_merge_table(database, &schema).await.map_err(failed)?;
            let schema: Vec<String> = columns.iter().map(|c| format!("{}:{}", c.name, c.column_type)).collect();
            let mut table = Table::new(&[
                ("TableName", Type::String),
                ("Schema", Type::String),
                ("DatabaseName", Type::String),
                ("Folder", Type::String),
                ("DocString", Type::String),
            ]);
            table.push(&[
                json::quote(&name),
                json::quote(&schema.join(",")),
                json::quote(database),
                json::quote(""),
                json::quote(""),
            ]);
            Ok(response::command(table))
        }
        "drop" if words.take("table") => {
            let name = words.name("a table name")?;
            let if_exists = words.take("ifexists");
            let dropped = services.workspaces.drop_table(database, &name).await.map_err(failed)?;
            if !dropped && !if_exists {
                return Err(KustoError::bad_request(format!("there is no table named '{name}'")));
            }
            let mut table = Table::new(&[("TableName", Type::String), ("DatabaseName", Type::String)]);
            for info in services.workspaces.tables(database).map_err(failed)? {
                table.push(&[json::quote(&info.name), json::quote(database)]);
            }
            Ok(response::command(table))
        }
        "show" if words.take("databases") => {
            let mut table = Table::new(&[("DatabaseName", Type::String), ("PrettyName", Type::String)]);
            for name in services.workspaces.databases() {
                table.push(&[json::quote(&name), json::quote("")]);
            }
            Ok(response::command(table))
        }
        "show" if words.take("tables") => {
            let mut table = Table::new(&[
                ("TableName", Type::String),
                ("DatabaseName", Type::String),
                ("Folder", Type::String),
                ("DocString", Type::String),
            ]);
            for info in services.workspaces.tables(database).map_err(failed)? {
                table.push(&[json::quote(&info.name), json::quote(database), json::quote(""), json::quote("")]);
            }
            Ok(response::command(table))
        }
        "show" if words.take("version") => {
            let mut table = Table::new(&[
                ("BuildVersion", Type::String),
                ("ServiceType", Type::String),
                ("ProductVersion", Type::String),
            ]);
            let version = json::quote(env!("CARGO_PKG_VERSION"));
            table.push(&[version.clone(), json::quote("Engine"), version]);
            Ok(response::command(table))
        }
        _ => {
            let shown: String = text.trim().chars().take(60).collect();
            Err(KustoError::bad_request(format!("Not supported: the command '{shown}' is not supported yet")))
        }
    }
}

/// A command's words, read by the query language's own lexer.
struct Words<'t> {
    text: &'t str,
    tokens: Vec<Token>,
    at: usize,
}

impl<'t> Words<'t> {
    fn new(text: &'t str) -> Result<Words<'t>, KustoError> {
        let (tokens, problems) = kql::lex(text);
        if !problems.is_empty() {
            return Err(KustoError::query(&problems, text));
        }
        let mut words = Words { text, tokens, at: 0 };
        if !words.symbol(Symbol::Dot) {
            return Err(KustoError::bad_request("a command begins with a dot; send queries to /v1/rest/query"));
        }
        Ok(words)
    }

    fn peek(&self, ahead: usize) -> (&TokenKind, &'t str) {
        let token = &self.tokens[(self.at + ahead).min(self.tokens.len() - 1)];
        (&token.kind, token.span.text(self.text))
    }

    fn symbol(&mut self, symbol: Symbol) -> bool {
        let found = *self.peek(0).0 == TokenKind::Symbol(symbol);
        self.at += usize::from(found);
        found
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.peek(0).1 == word;
        self.at += usize::from(found);
        found
    }

    /// `create-merge`: words joined by dashes.
    fn dashed(&mut self) -> String {
        let mut word = self.peek(0).1.to_owned();
        self.at += 1;
        while *self.peek(0).0 == TokenKind::Symbol(Symbol::Minus) && *self.peek(1).0 == TokenKind::Name {
            word = format!("{word}-{}", self.peek(1).1);
            self.at += 2;
        }
        word
    }

    /// A bare name, or one in `['…']`.
    fn name(&mut self, wanted: &str) -> Result<String, KustoError> {
        if self.symbol(Symbol::OpenBracket) {
            if let (TokenKind::String { value, .. }, _) = self.peek(0) {
                let name = value.clone();
                self.at += 1;
                if self.symbol(Symbol::CloseBracket) {
                    return Ok(name);
                }
            }
        } else if let (TokenKind::Name, text) = self.peek(0) {
            let name = text.to_owned();
            self.at += 1;
            return Ok(name);
        }
        Err(KustoError::bad_request(format!("Syntax error: expected {wanted}, found '{}'", self.peek(0).1)))
    }

    /// `(a: long, b: string)`.
    fn columns(&mut self) -> Result<Vec<Column>, KustoError> {
        let expected = |what: &str, found: &str| {
            KustoError::bad_request(format!("Syntax error: expected {what}, found '{found}'"))
        };
        if !self.symbol(Symbol::OpenParen) {
            return Err(expected("'('", self.peek(0).1));
        }
        let mut columns = Vec::new();
        loop {
            let name = self.name("a column name")?;
            if !self.symbol(Symbol::Colon) {
                return Err(expected("':'", self.peek(0).1));
            }
            let word = self.peek(0).1;
            let column_type = Type::from_name(word).ok_or_else(|| expected("a type", word))?;
            self.at += 1;
            columns.push(Column::new(name, column_type));
            if !self.symbol(Symbol::Comma) {
                break;
            }
        }
        if self.symbol(Symbol::CloseParen) { Ok(columns) } else { Err(expected("')'", self.peek(0).1)) }
    }
}
