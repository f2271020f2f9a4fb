//! The words of a command, read by the query language's own lexer.

use super::super::error::KustoError;
use engine::Column;
use kql::Type;
use kql::token::{Symbol, Token, TokenKind};
use std::collections::HashMap;

/// What `with (name = value, ...)` says, by lower-case name.
pub(super) type Properties = HashMap<String, String>;

pub(super) struct Words<'t> {
    text: &'t str,
    tokens: Vec<Token>,
    at: usize,
}

impl<'t> Words<'t> {
    pub fn new(text: &'t str) -> Result<Words<'t>, KustoError> {
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

    /// The text from the next word on.
    pub fn rest(&self) -> &'t str {
        let token = &self.tokens[self.at.min(self.tokens.len() - 1)];
        &self.text[token.span.start.min(self.text.len())..]
    }

    pub fn is_at(&self, symbol: Symbol) -> bool {
        *self.peek(0).0 == TokenKind::Symbol(symbol)
    }

    pub fn at_end(&self) -> bool {
        *self.peek(0).0 == TokenKind::EndOfText
    }

    pub fn symbol(&mut self, symbol: Symbol) -> bool {
        let found = self.is_at(symbol);
        self.at += usize::from(found);
        found
    }

    pub fn expect(&mut self, symbol: Symbol) -> Result<(), KustoError> {
        if self.symbol(symbol) { Ok(()) } else { Err(self.unexpected(&format!("'{}'", symbol.text()))) }
    }

    /// Takes the next words if they are these; none of them if not.
    pub fn take(&mut self, wanted: &str) -> bool {
        let before = self.at;
        for word in wanted.split(' ') {
            let mut found = self.peek(0).1.to_ascii_lowercase();
            let mut length = 1;
            // Words may be joined by dashes.
            while word.len() > found.len()
                && *self.peek(length).0 == TokenKind::Symbol(Symbol::Minus)
                && *self.peek(length + 1).0 == TokenKind::Name
            {
                found = format!("{found}-{}", self.peek(length + 1).1.to_ascii_lowercase());
                length += 2;
            }
            if found != word {
                self.at = before;
                return false;
            }
            self.at += length;
        }
        true
    }

    /// Whether the command ends here: nothing may follow one that changes something, so that a mistake changes nothing.
    pub fn finish(&mut self) -> Result<(), KustoError> {
        while self.symbol(Symbol::Semicolon) {}
        if self.at_end() { Ok(()) } else { Err(self.unexpected("the end of the command")) }
    }

    /// What of these words comes next.
    pub fn one_of<'w>(&mut self, wanted: &[&'w str]) -> Option<&'w str> {
        wanted.iter().copied().find(|word| self.take(word))
    }

    pub fn unexpected(&self, wanted: &str) -> KustoError {
        let found = match self.at_end() {
            true => "the end of the command".to_owned(),
            false => format!("'{}'", self.peek(0).1),
        };
        KustoError::bad_request(format!("Syntax error: expected {wanted}, found {found}"))
    }

    /// A bare name, one in `['...']`, or a text.
    pub fn name(&mut self, wanted: &str) -> Result<String, KustoError> {
        let before = self.at;
        let is_quoted = self.symbol(Symbol::OpenBracket);
        let found = match self.peek(0) {
            (TokenKind::String { value, .. }, _) => Some(value.clone()),
            (TokenKind::Name, text) if !is_quoted => Some(text.to_owned()),
            _ => None,
        };
        if let Some(name) = found {
            self.at += 1;
            if !is_quoted || self.symbol(Symbol::CloseBracket) {
                return Ok(name);
            }
        }
        self.at = before;
        Err(self.unexpected(wanted))
    }

    pub fn is_name(&self) -> bool {
        matches!(self.peek(0).0, TokenKind::Name | TokenKind::String { .. } | TokenKind::Symbol(Symbol::OpenBracket))
    }

    /// A text in quotes; texts side by side are one.
    pub fn string(&mut self, wanted: &str) -> Result<String, KustoError> {
        let mut whole: Option<String> = None;
        while let (TokenKind::String { value, .. }, _) = self.peek(0) {
            let value = value.clone();
            whole.get_or_insert_default().push_str(&value);
            self.at += 1;
        }
        whole.ok_or_else(|| self.unexpected(wanted))
    }

    /// Names in parentheses.
    pub fn names(&mut self, wanted: &str) -> Result<Vec<String>, KustoError> {
        self.expect(Symbol::OpenParen)?;
        let mut names = vec![self.name(wanted)?];
        while self.symbol(Symbol::Comma) {
            names.push(self.name(wanted)?);
        }
        self.expect(Symbol::CloseParen)?;
        Ok(names)
    }

    /// `(a: long, b: string)`.
    pub fn columns(&mut self) -> Result<Vec<Column>, KustoError> {
        self.expect(Symbol::OpenParen)?;
        let mut columns = Vec::new();
        loop {
            let name = self.name("a column name")?;
            self.expect(Symbol::Colon)?;
            let Some(column_type) = Type::from_name(self.peek(0).1) else { return Err(self.unexpected("a type")) };
            self.at += 1;
            if columns.iter().any(|known: &Column| known.name == name) {
                return Err(KustoError::bad_request(format!("the column '{name}' is named twice")));
            }
            columns.push(Column::new(name, column_type));
            if !self.symbol(Symbol::Comma) {
                break;
            }
        }
        self.expect(Symbol::CloseParen)?;
        Ok(columns)
    }

    /// A text in quotes, or else the next word.
    pub fn value(&mut self) -> Result<String, KustoError> {
        match self.peek(0) {
            (TokenKind::String { .. }, _) => self.string("a value"),
            (TokenKind::EndOfText, _) => Err(self.unexpected("a value")),
            (_, text) => {
                self.at += 1;
                Ok(text.to_owned())
            }
        }
    }

    /// `with (name = value, ...)`, if it comes next.
    pub fn properties(&mut self) -> Result<Properties, KustoError> {
        let mut properties = Properties::new();
        if !self.take("with") {
            return Ok(properties);
        }
        self.expect(Symbol::OpenParen)?;
        while !self.is_at(Symbol::CloseParen) {
            let name = self.name("the name of a property")?;
            self.expect(Symbol::Equal)?;
            let value = self.value()?;
            properties.insert(name.to_ascii_lowercase(), value);
            if !self.symbol(Symbol::Comma) {
                break;
            }
        }
        self.expect(Symbol::CloseParen)?;
        Ok(properties)
    }

    /// What stands between brackets that match, brackets included. The words are passed over.
    pub fn balanced(&mut self, open: Symbol, close: Symbol) -> Result<&'t str, KustoError> {
        let start = self.tokens[self.at.min(self.tokens.len() - 1)].span.start;
        self.expect(open)?;
        let mut depth = 1usize;
        while depth > 0 {
            match self.peek(0).0 {
                TokenKind::Symbol(symbol) if *symbol == open => depth += 1,
                TokenKind::Symbol(symbol) if *symbol == close => depth -= 1,
                TokenKind::EndOfText => return Err(self.unexpected(&format!("'{}'", close.text()))),
                _ => {}
            }
            self.at += 1;
        }
        let end = self.tokens[self.at - 1].span.end;
        Ok(&self.text[start..end])
    }
}
