//! Statements: `let`, `set`, and the query itself.

use super::Parser;
use crate::token::{Symbol, TokenKind};
use crate::tree::{
    Accessible, ColumnDeclaration, Expr, ExprKind, Function, LetValue, Literal, Name, OperatorKind, Parameter,
    ParameterKind, Pattern, PatternCase, Pipeline, Script, Source, Statement,
};
use crate::{Diagnostic, Type};

impl Parser<'_> {
    /// Statements up to the end of the text, or up to the closing brace of a function body.
    pub(super) fn script(&mut self, in_braces: bool) -> Script {
        self.statements(in_braces.then_some(Symbol::CloseBrace))
    }

    /// Statements up to a closing bracket.
    pub(super) fn script_until(&mut self, close: Symbol) -> Script {
        self.statements(Some(close))
    }

    fn statements(&mut self, close: Option<Symbol>) -> Script {
        let is_closed = |p: &Self| close.is_some_and(|close| p.at_symbol(close));
        let mut statements = Vec::new();
        loop {
            while self.take_symbol(Symbol::Semicolon) {}
            if self.at_end() || is_closed(self) {
                break;
            }
            let before = self.at;
            statements.extend(self.statement());
            if self.silenced {
                self.recover();
            }
            if self.at_symbol(Symbol::Semicolon) || self.at_end() || is_closed(self) {
                continue;
            }
            self.error_expected("'|' or ';'");
            self.recover();
            if self.at == before || !self.at_symbol(Symbol::Semicolon) {
                self.advance();
            }
        }
        Script { statements }
    }

    fn statement(&mut self) -> Option<Statement> {
        let start = self.span().start;
        let followed_by_name =
            matches!(self.peek_ahead(1).kind, TokenKind::Name | TokenKind::Symbol(Symbol::OpenBracket));
        if self.at_word("let") && followed_by_name {
            self.advance();
            let name = self.name("a name after 'let'");
            self.expect_symbol(Symbol::Equal);
            let value = self.let_value();
            return Some(Statement::Let { name, value, span: self.span_from(start) });
        }
        if self.at_word("set") && followed_by_name {
            self.advance();
            let option = self.name("an option after 'set'");
            let value = self.take_symbol(Symbol::Equal).then(|| self.expression());
            return Some(Statement::Set { option, value, span: self.span_from(start) });
        }
        if self.at_word("declare") && followed_by_name {
            self.advance();
            return self.declaration();
        }
        if self.at_word("alias") && self.text(self.peek_ahead(1)) == "database" {
            self.at += 2;
            let name = self.name("a name for the database");
            self.expect_symbol(Symbol::Equal);
            return Some(Statement::Alias { name, value: self.expression() });
        }
        if self.at_word("restrict") && self.text(self.peek_ahead(1)) == "access" {
            self.at += 2;
            return Some(Statement::Restrict(self.accessible()));
        }
        Some(Statement::Query(self.pipeline()))
    }

    /// What follows `restrict access`.
    fn accessible(&mut self) -> Vec<Accessible> {
        self.expect_word("to");
        self.expect_symbol(Symbol::OpenParen);
        let entities = self.comma_separated(|p| {
            let is_call = |p: &Self| p.peek_ahead(1).kind == TokenKind::Symbol(Symbol::OpenParen);
            let mut database = None;
            if p.at_word("cluster") && is_call(p) {
                let span = p.advance().span;
                p.report(Diagnostic::unsupported(span, "access to another cluster"));
            }
            if p.at_word("database") && is_call(p) {
                p.at += 2;
                let name = match &p.peek().kind {
                    TokenKind::String { value, .. } => value.clone(),
                    _ => String::new(),
                };
                if matches!(p.peek().kind, TokenKind::String { .. }) {
                    p.advance();
                }
                database = Some(name);
                p.expect_symbol(Symbol::CloseParen);
                p.expect_symbol(Symbol::Dot);
            }
            Accessible { database, name: p.name_pattern() }
        });
        self.expect_symbol(Symbol::CloseParen);
        entities
    }

    /// What follows `declare`.
    fn declaration(&mut self) -> Option<Statement> {
        if self.take_word("query_parameters") {
            self.expect_symbol(Symbol::OpenParen);
            let parameters = self.comma_separated(Self::parameter);
            self.expect_symbol(Symbol::CloseParen);
            return Some(Statement::Parameters(parameters));
        }
        if self.take_word("pattern") {
            return Some(Statement::Pattern(self.pattern()));
        }
        self.error_expected("'query_parameters' or 'pattern' after 'declare'");
        None
    }

    fn pattern(&mut self) -> Pattern {
        let name = self.name("a name for the pattern");
        let mut pattern = Pattern { name, arguments: Vec::new(), path: None, cases: Vec::new() };
        if !self.take_symbol(Symbol::Equal) {
            return pattern;
        }
        self.expect_symbol(Symbol::OpenParen);
        pattern.arguments = self.comma_separated(Self::column_declaration);
        self.expect_symbol(Symbol::CloseParen);
        if self.take_symbol(Symbol::OpenBracket) {
            pattern.path = Some(self.column_declaration());
            self.expect_symbol(Symbol::CloseBracket);
        }
        self.expect_symbol(Symbol::OpenBrace);
        while !self.silenced && self.at_symbol(Symbol::OpenParen) {
            self.advance();
            let arguments = self.comma_separated(Self::expression);
            self.expect_symbol(Symbol::CloseParen);
            let mut path = None;
            if self.take_symbol(Symbol::Dot) {
                self.expect_symbol(Symbol::OpenBracket);
                path = match self.expression().kind {
                    ExprKind::Literal(Literal::String(text)) => Some(text),
                    _ => {
                        self.error_expected("a text in quotes");
                        None
                    }
                };
                self.expect_symbol(Symbol::CloseBracket);
            }
            self.expect_symbol(Symbol::Equal);
            let start = self.span().start;
            self.expect_symbol(Symbol::OpenBrace);
            let body = self.nested(|p| p.script(true)).unwrap_or_default();
            self.expect_symbol(Symbol::CloseBrace);
            let body = Function { parameters: Vec::new(), body, is_view: false, span: self.span_from(start) };
            pattern.cases.push(PatternCase { arguments, path, body });
            while self.take_symbol(Symbol::Semicolon) {}
        }
        self.expect_symbol(Symbol::CloseBrace);
        pattern
    }

    fn let_value(&mut self) -> LetValue {
        let is_view = self.at_word("view") && self.peek_ahead(1).kind == TokenKind::Symbol(Symbol::OpenParen);
        if is_view {
            self.advance();
        }
        if self.at_symbol(Symbol::OpenParen) && self.function_ahead() {
            return LetValue::Function(self.function(is_view));
        }
        LetValue::Expression(self.pipeline())
    }

    /// Whether the parenthesis here opens a parameter list: its closing one is followed by `{`.
    fn function_ahead(&self) -> bool {
        let mut depth = 0usize;
        for (i, token) in self.tokens.iter().enumerate().skip(self.at) {
            match token.kind {
                TokenKind::Symbol(Symbol::OpenParen) => depth += 1,
                TokenKind::Symbol(Symbol::CloseParen) => {
                    depth -= 1;
                    if depth == 0 {
                        return self.tokens[i + 1].kind == TokenKind::Symbol(Symbol::OpenBrace);
                    }
                }
                TokenKind::Symbol(Symbol::Semicolon | Symbol::Pipe) | TokenKind::EndOfText => break,
                _ => {}
            }
        }
        false
    }

    fn function(&mut self, is_view: bool) -> Function {
        let start = self.span().start;
        self.expect_symbol(Symbol::OpenParen);
        let mut parameters = Vec::new();
        if !self.at_symbol(Symbol::CloseParen) {
            parameters = self.comma_separated(Self::parameter);
        }
        self.expect_symbol(Symbol::CloseParen);
        self.expect_symbol(Symbol::OpenBrace);
        let body = self.nested(|p| p.script(true)).unwrap_or_default();
        self.expect_symbol(Symbol::CloseBrace);
        Function { parameters, body, is_view, span: self.span_from(start) }
    }

    /// A function that is the whole text.
    pub(super) fn stored_function(&mut self) -> Function {
        let function = self.function(false);
        if !self.at_end() {
            self.error_expected("the end of the function");
        }
        function
    }

    fn parameter(&mut self) -> Parameter {
        let name = self.name("a parameter name");
        self.expect_symbol(Symbol::Colon);
        let kind = if self.take_symbol(Symbol::OpenParen) {
            let columns = if self.take_symbol(Symbol::Star) {
                Vec::new()
            } else {
                self.comma_separated(Self::column_declaration)
            };
            self.expect_symbol(Symbol::CloseParen);
            ParameterKind::Table(columns)
        } else {
            ParameterKind::Scalar(self.type_name())
        };
        let default = self.take_symbol(Symbol::Equal).then(|| self.expression());
        Parameter { name, kind, default }
    }

    /// `name: type`; in `datatable` and tabular parameters.
    pub(super) fn column_declaration(&mut self) -> ColumnDeclaration {
        let name = match self.try_name() {
            Some(name) => name,
            None => {
                self.error_expected("a column name");
                Name { text: String::new(), span: self.span() }
            }
        };
        self.expect_symbol(Symbol::Colon);
        let column_type = self.type_name();
        ColumnDeclaration { name, column_type }
    }

    pub(super) fn type_name(&mut self) -> Type {
        let token = self.peek().clone();
        let word = if token.kind == TokenKind::Name { self.text(&token) } else { "" };
        match Type::from_name(word) {
            Some(found) => {
                self.advance();
                found
            }
            None => {
                self.error_expected(
                    "a type: bool, int, long, real, decimal, string, datetime, timespan, guid or dynamic",
                );
                Type::String
            }
        }
    }

    /// `source | operator | operator`.
    pub(super) fn pipeline(&mut self) -> Pipeline {
        self.nested(Self::pipeline_body).unwrap_or_else(|| {
            let span = self.span();
            let source = Source::Expression(Expr { kind: ExprKind::Error, span });
            Pipeline { source, operators: Vec::new(), span }
        })
    }

    fn pipeline_body(&mut self) -> Pipeline {
        let start = self.span().start;
        let source = match self.source_operator() {
            Some(operator) => Source::Operator(Box::new(operator)),
            None => Source::Expression(self.expression()),
        };
        let mut operators = Vec::new();
        loop {
            if self.silenced {
                self.recover();
            }
            if !self.take_symbol(Symbol::Pipe) {
                break;
            }
            let operator = self.operator();
            if operator.kind != OperatorKind::Error {
                operators.push(operator);
            }
        }
        Pipeline { source, operators, span: self.span_from(start) }
    }
}
