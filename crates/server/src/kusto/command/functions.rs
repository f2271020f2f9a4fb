//! Functions that are kept: `.show functions`, `.create-or-alter function`, `.drop function`.

use super::super::error::KustoError;
use super::super::response::{Table, text};
use super::words::Words;
use super::{Command, failed};
use kql::Type;
use kql::token::Symbol;
use workspace::{FunctionEntry, Notes};

fn listing() -> Table {
    Table::new(&[
        ("Name", Type::String),
        ("Parameters", Type::String),
        ("Body", Type::String),
        ("Folder", Type::String),
        ("DocString", Type::String),
    ])
}

fn row(name: &str, function: &FunctionEntry) -> [String; 5] {
    [name, &function.parameters, &function.body, &function.notes.folder, &function.notes.docstring].map(text)
}

fn one(name: &str, function: &FunctionEntry) -> Table {
    let mut table = listing();
    table.push(&row(name, function));
    table
}

/// Parameters as they are shown: without blanks but those after commas.
fn normalized(parameters: &str) -> String {
    let (tokens, _) = kql::lex(parameters);
    let word = |token: &kql::token::Token| match token.span.text(parameters) {
        "," => ", ".to_owned(),
        word => word.to_owned(),
    };
    tokens.iter().map(word).collect()
}

impl Command<'_> {
    async fn function(&self, name: &str) -> Result<Option<FunctionEntry>, KustoError> {
        Ok(self.services.workspaces.functions(self.database).await.map_err(failed)?.remove(name))
    }

    async fn known_function(&self, name: &str) -> Result<FunctionEntry, KustoError> {
        let missing = || KustoError::workspace(&workspace::Error::NoFunction(name.to_owned()));
        self.function(name).await?.ok_or_else(missing)
    }

    pub(super) async fn show_functions(&self) -> Result<Table, KustoError> {
        let mut table = listing();
        for (name, function) in self.services.workspaces.functions(self.database).await.map_err(failed)? {
            table.push(&row(&name, &function));
        }
        Ok(table)
    }

    pub(super) async fn show_function(&self, words: &mut Words<'_>) -> Result<Table, KustoError> {
        let name = words.name("the name of a function")?;
        words.properties()?;
        Ok(one(&name, &self.known_function(&name).await?))
    }

    /// `.create function`, `.create-or-alter function`, `.alter function`, and what is said about a function.
    pub(super) async fn put_function(&self, verb: &str, words: &mut Words<'_>) -> Result<Table, KustoError> {
        let mut if_not_exists = words.take("ifnotexists");
        let mut properties = words.properties()?;
        if_not_exists |= words.take("ifnotexists");
        let name = words.name("the name of a function")?;
        if let Some(note) = words.one_of(&["docstring", "folder"]) {
            let mut function = self.known_function(&name).await?;
            let said = words.string("a text in quotes")?;
            words.finish()?;
            *(if note == "folder" { &mut function.notes.folder } else { &mut function.notes.docstring }) = said;
            self.services.workspaces.put_function(self.database, &name, function.clone()).await.map_err(failed)?;
            return Ok(one(&name, &function));
        }
        let parameters = normalized(words.balanced(Symbol::OpenParen, Symbol::CloseParen)?);
        let body = words.balanced(Symbol::OpenBrace, Symbol::CloseBrace)?.to_owned();
        words.finish()?;
        let known = self.function(&name).await?;
        match (verb, &known) {
            ("create", Some(known)) if if_not_exists => return Ok(one(&name, known)),
            ("create", Some(_)) => return Err(KustoError::already_exists(&name, "ExpressionFunction")),
            ("alter", None) => return Err(KustoError::workspace(&workspace::Error::NoFunction(name))),
            ("create-merge" | "alter-merge", _) => return Err(self.unsupported()),
            _ => {}
        }
        let mut property = |name: &str| properties.remove(name);
        let is_true = |said: Option<String>| said.is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let notes = Notes {
            folder: property("folder").unwrap_or_default(),
            docstring: property("docstring").unwrap_or_default(),
        };
        let is_view = is_true(property("view"));
        let skips_check = is_true(property("skipvalidation"));
        let function = FunctionEntry { parameters, body, is_view, notes };
        if !skips_check {
            self.check_function(&function).await?;
        }
        self.services.workspaces.put_function(self.database, &name, function.clone()).await.map_err(failed)?;
        Ok(one(&name, &function))
    }

    /// Whether the body means something. With parameters, that depends on the call.
    async fn check_function(&self, function: &FunctionEntry) -> Result<(), KustoError> {
        let text = function.text();
        let (parsed, problems) = kql::parse_function(&text);
        if !problems.is_empty() {
            return Err(KustoError::query(&problems, &text));
        }
        if !parsed.parameters.is_empty() {
            return Ok(());
        }
        let inner = function.body.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let body = inner.unwrap_or_default().to_owned();
        let catalog = self.services.catalog_for(&self.caller);
        // The answer is not read; that there would be one is enough.
        let read = |_: engine::Rows, _| std::future::ready(Ok(()));
        let ran =
            self.services.queries.run(catalog, self.database.to_owned(), body.clone(), self.limits.clone(), read).await;
        ran.map(|_| ()).map_err(|failed| KustoError::failed(failed, &body))
    }

    /// `.drop function F [ifexists]`: the name that is gone.
    pub(super) async fn drop_function(&self, words: &mut Words<'_>) -> Result<Table, KustoError> {
        let name = words.name("the name of a function")?;
        let if_exists = words.take("ifexists");
        words.finish()?;
        let was_there = self.services.workspaces.drop_function(self.database, &name).await.map_err(failed)?;
        if !was_there && !if_exists {
            return Err(KustoError::workspace(&workspace::Error::NoFunction(name)));
        }
        let mut table = Table::new(&[("Name", Type::String)]);
        if was_there {
            table.push(&[text(&name)]);
        }
        Ok(table)
    }

    /// `.drop functions (F, G) [ifexists]`: the functions that are left.
    pub(super) async fn drop_functions(&self, words: &mut Words<'_>) -> Result<Table, KustoError> {
        let names = words.names("the name of a function")?;
        let if_exists = words.take("ifexists");
        words.finish()?;
        if !if_exists {
            for name in &names {
                self.known_function(name).await?;
            }
        }
        for name in &names {
            self.services.workspaces.drop_function(self.database, name).await.map_err(failed)?;
        }
        self.show_functions().await
    }
}
