//! Tokens to tree, by recursive descent. Never fails: what cannot be read becomes a diagnostic and an
//! error node, and reading goes on at the next pipe or statement.

mod expression;
mod graph;
mod literal;
mod operator;
mod parse;
mod scan;
mod search;
mod statement;

pub(crate) use expression::QUALIFIER;
pub(crate) use literal::is_reserved;
pub use literal::parse_guid;
pub use operator::operators;

use crate::lexer::lex;
use crate::token::{Symbol, Token, TokenKind};
use crate::tree::{Function, Name, NamePattern, Script};
use crate::{Diagnostic, Span};

/// Longer texts are refused: no person or tool is known to send more, and memory is taken per byte.
pub const MAX_QUERY_BYTES: usize = 4 << 20;
/// Deeper nesting of parentheses, calls and sub-queries is refused, so that no text exhausts the stack.
pub const MAX_NESTING: usize = 512;
/// So many operators may stand in a row: `a + b + c ...`, `x.a.b.c ...`.
pub const MAX_CHAIN: usize = 5000;
/// More findings than this help nobody.
const MAX_DIAGNOSTICS: usize = 50;

/// A tree and what is wrong with the text that it was read from.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    pub script: Script,
    /// In the order of the text; empty when the text is well formed.
    pub diagnostics: Vec<Diagnostic>,
}

/// Parses a query of one or more statements. Never fails and never panics, whatever the text.
pub fn parse(source: &str) -> Parsed {
    if source.len() > MAX_QUERY_BYTES {
        let message = format!("the query is longer than {MAX_QUERY_BYTES} bytes");
        let diagnostics = vec![Diagnostic::syntax(Span::new(0, 0), message)];
        return Parsed { script: Script::default(), diagnostics };
    }
    let (tokens, diagnostics) = lex(source);
    let mut parser = Parser { source, tokens, at: 0, diagnostics, depth: 0, in_search: false, silenced: false };
    let script = parser.script(false);
    let mut diagnostics = parser.diagnostics;
    diagnostics.sort_by_key(|d| (d.span.start, d.span.end));
    diagnostics.truncate(MAX_DIAGNOSTICS);
    Parsed { script, diagnostics }
}

/// Parses a function as it is stored: `(a: long) { body }`. Never fails, as [`parse`].
pub fn parse_function(source: &str) -> (Function, Vec<Diagnostic>) {
    let (tokens, diagnostics) = lex(source);
    let mut parser = Parser { source, tokens, at: 0, diagnostics, depth: 0, in_search: false, silenced: false };
    let function = parser.stored_function();
    let mut diagnostics = parser.diagnostics;
    diagnostics.truncate(MAX_DIAGNOSTICS);
    (function, diagnostics)
}

pub(crate) struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Token>,
    at: usize,
    diagnostics: Vec<Diagnostic>,
    depth: usize,
    /// Whether `:` is an operator here.
    in_search: bool,
    /// Set after an error until the next pipe or statement, so that one slip makes one finding.
    silenced: bool,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> &Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn peek_ahead(&self, n: usize) -> &Token {
        &self.tokens[(self.at + n).min(self.tokens.len() - 1)]
    }

    fn text(&self, token: &Token) -> &'a str {
        token.span.text(self.source)
    }

    fn span(&self) -> Span {
        self.peek().span
    }

    /// The end of the token before the current one.
    fn previous_end(&self) -> usize {
        self.at.checked_sub(1).map_or(0, |i| self.tokens[i].span.end)
    }

    fn span_from(&self, start: usize) -> Span {
        Span::new(start, self.previous_end().max(start))
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        if self.at < self.tokens.len() - 1 {
            self.at += 1;
        }
        token
    }

    fn at_end(&self) -> bool {
        self.peek().kind == TokenKind::EndOfText
    }

    fn at_symbol(&self, symbol: Symbol) -> bool {
        self.peek().kind == TokenKind::Symbol(symbol)
    }

    fn take_symbol(&mut self, symbol: Symbol) -> bool {
        let found = self.at_symbol(symbol);
        if found {
            self.advance();
        }
        found
    }

    fn expect_symbol(&mut self, symbol: Symbol) -> bool {
        let found = self.take_symbol(symbol);
        if !found {
            self.error_expected(&format!("'{}'", symbol.text()));
        }
        found
    }

    fn at_word(&self, word: &str) -> bool {
        self.peek().kind == TokenKind::Name && self.text(self.peek()) == word
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        if found {
            self.advance();
        }
        found
    }

    fn expect_word(&mut self, word: &str) -> bool {
        let found = self.take_word(word);
        if !found {
            self.error_expected(&format!("'{word}'"));
        }
        found
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        if !self.silenced {
            self.diagnostics.push(diagnostic);
            self.silenced = true;
        }
    }

    fn error_expected(&mut self, wanted: &str) {
        let token = self.peek().clone();
        let found = match token.kind {
            TokenKind::EndOfText => "the query ends".to_owned(),
            _ => format!("found '{}'", self.text(&token).chars().take(40).collect::<String>()),
        };
        self.report(Diagnostic::syntax(token.span, format!("expected {wanted}, {found}")));
    }

    /// Skips to the next `|` or `;` of the current nesting (or to the bracket that closes it).
    fn recover(&mut self) {
        let mut depth = 0usize;
        while !self.at_end() {
            match &self.peek().kind {
                TokenKind::Symbol(Symbol::OpenParen | Symbol::OpenBracket | Symbol::OpenBrace) => depth += 1,
                TokenKind::Symbol(Symbol::CloseParen | Symbol::CloseBracket | Symbol::CloseBrace) => {
                    if depth == 0 {
                        break;
                    }
                    depth -= 1;
                }
                TokenKind::Symbol(Symbol::Pipe | Symbol::Semicolon) if depth == 0 => break,
                _ => {}
            }
            self.advance();
        }
        self.silenced = false;
    }

    /// Runs `read` one level deeper, with more stack when it runs short; `None` beyond [`MAX_NESTING`].
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        /// Stack that one level of nesting may need, with a wide margin.
        const RED_ZONE_BYTES: usize = 128 << 10;
        const SEGMENT_BYTES: usize = 2 << 20;
        if self.depth >= MAX_NESTING {
            let message = format!("the query nests deeper than {MAX_NESTING} levels");
            self.report(Diagnostic::syntax(self.span(), message));
            return None;
        }
        self.depth += 1;
        let result = stacker::maybe_grow(RED_ZONE_BYTES, SEGMENT_BYTES, || read(self));
        self.depth -= 1;
        Some(result)
    }

    /// Reads items separated by commas until `read` gives none; a trailing comma is an error of `read`.
    fn comma_separated<T>(&mut self, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut items = vec![read(self)];
        while !self.silenced && self.take_symbol(Symbol::Comma) {
            items.push(read(self));
        }
        items
    }

    /// A name where one must stand: bare, or quoted as `['name']` or `["name"]`.
    fn name(&mut self, wanted: &str) -> Name {
        match self.try_name() {
            Some(name) => {
                if literal::is_reserved(&name.text) && self.source.as_bytes().get(name.span.start) != Some(&b'[') {
                    let message = format!("'{}' is a keyword and cannot be used as a name", name.text);
                    let hint = format!("Quote it: ['{}'].", name.text);
                    self.report(Diagnostic::syntax(name.span, message).with_hint(hint));
                }
                name
            }
            None => {
                self.error_expected(wanted);
                Name { text: String::new(), span: self.span() }
            }
        }
    }

    fn try_name(&mut self) -> Option<Name> {
        match &self.peek().kind {
            TokenKind::Name => {
                let token = self.advance();
                Some(Name { text: self.text(&token).to_owned(), span: token.span })
            }
            // A name that begins with a digit, such as a column of a pivot.
            TokenKind::Symbol(Symbol::OpenBracket) => self.quoted_name(),
            _ => None,
        }
    }

    fn quoted_name(&mut self) -> Option<Name> {
        let TokenKind::String { value, .. } = &self.peek_ahead(1).kind else { return None };
        if self.peek_ahead(2).kind != TokenKind::Symbol(Symbol::CloseBracket) {
            return None;
        }
        let text = value.clone();
        let start = self.span().start;
        self.at += 3;
        Some(Name { text, span: self.span_from(start) })
    }

    /// A name with `*` wildcards: `Security*`, `*_id`, `*`.
    fn name_pattern(&mut self) -> NamePattern {
        let start = self.span().start;
        if let Some(name) = self.at_symbol(Symbol::OpenBracket).then(|| self.try_name()).flatten() {
            return NamePattern { text: name.text, has_wildcard: false, span: name.span };
        }
        let mut end = start;
        while matches!(self.peek().kind, TokenKind::Name | TokenKind::Symbol(Symbol::Star))
            && (end == start || self.span().start == end)
        {
            end = self.advance().span.end;
        }
        if end == start {
            self.error_expected("a column name");
        }
        let span = Span::new(start, end);
        let text = span.text(self.source).to_owned();
        NamePattern { has_wildcard: text.contains('*'), text, span }
    }
}
