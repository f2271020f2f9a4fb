//! Expressions, by precedence climbing. From tight to loose: access, unary minus, `* / %`, `+ -`,
//! `< > <= >=`, equality and the word operators, `and`, `or`.

use super::{MAX_CHAIN, Parser};
use crate::token::{Symbol, TokenKind};
use crate::tree::{
    Argument, BinaryOperator, Expr, ExprKind, Literal, MembershipOperator, Name, NamedExpr, TextMatch, TextOperator,
};
use crate::{Diagnostic, Span};

fn spanning(kind: ExprKind, span: Span) -> Expr {
    Expr { kind, span }
}

fn binary(operator: BinaryOperator, left: Expr, right: Expr) -> Expr {
    let span = left.span.to(right.span);
    spanning(ExprKind::Binary { operator, left: Box::new(left), right: Box::new(right) }, span)
}

/// A chain of `and` or `or`, which mean the same however they are grouped, as a tree that is no deeper than need be.
fn balanced(operator: BinaryOperator, mut parts: Vec<Expr>) -> Expr {
    match parts.len() {
        1 => parts.remove(0),
        count => {
            let right = parts.split_off(count / 2);
            binary(operator, balanced(operator, parts), balanced(operator, right))
        }
    }
}

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Expr {
        let start = self.span();
        self.nested(Self::or_expression).unwrap_or_else(|| spanning(ExprKind::Error, start))
    }

    fn or_expression(&mut self) -> Expr {
        let mut parts = vec![self.and_expression()];
        while self.at_word("or") && self.goes_on(parts.len()) {
            self.advance();
            parts.push(self.and_expression());
        }
        balanced(BinaryOperator::Or, parts)
    }

    fn and_expression(&mut self) -> Expr {
        let mut parts = vec![self.equality()];
        while self.at_word("and") && self.goes_on(parts.len()) {
            self.advance();
            parts.push(self.equality());
        }
        balanced(BinaryOperator::And, parts)
    }

    /// Whether a chain of operators may have a further part. What walks the tree goes as deep as a chain is long.
    fn goes_on(&mut self, parts: usize) -> bool {
        if parts < MAX_CHAIN {
            return true;
        }
        let message = format!("the expression has more than {MAX_CHAIN} parts in a row");
        self.report(Diagnostic::syntax(self.span(), message));
        false
    }

    fn equality(&mut self) -> Expr {
        let mut left = self.comparison();
        for parts in 1.. {
            if !self.goes_on(parts) {
                break;
            }
            let symbol = match self.peek().kind {
                TokenKind::Symbol(Symbol::EqualEqual) => Some(BinaryOperator::Equal),
                TokenKind::Symbol(Symbol::NotEqual | Symbol::LessGreater) => Some(BinaryOperator::NotEqual),
                TokenKind::Symbol(Symbol::EqualTilde) => Some(BinaryOperator::EqualIgnoreCase),
                TokenKind::Symbol(Symbol::NotTilde) => Some(BinaryOperator::NotEqualIgnoreCase),
                TokenKind::Symbol(Symbol::Colon) if self.in_search => Some(BinaryOperator::Search),
                _ => None,
            };
            if let Some(operator) = symbol {
                self.advance();
                let right = self.comparison();
                left = binary(operator, left, right);
                continue;
            }
            match self.word_operator(left) {
                Ok(next) => left = next,
                Err(same) => return same,
            }
        }
        left
    }

    /// `has`, `in`, `between`, `matches regex`, with or without a `!`; gives `left` back when none follows.
    fn word_operator(&mut self, left: Expr) -> Result<Expr, Expr> {
        let negated = self.at_symbol(Symbol::Bang);
        let word_token = self.peek_ahead(usize::from(negated)).clone();
        if word_token.kind != TokenKind::Name {
            return Err(left);
        }
        let word = self.text(&word_token);
        let skip = 1 + usize::from(negated);
        if word == "between" {
            self.at += skip;
            return Ok(self.between(left, negated));
        }
        if word == "matches" && !negated {
            self.at += skip;
            self.expect_word("regex");
            let right = self.comparison();
            let operator = TextOperator { kind: TextMatch::Regex, case_sensitive: true, negated: false };
            return Ok(binary(BinaryOperator::Text(operator), left, right));
        }
        if let Some(operator) = TextOperator::from_word(word, negated) {
            self.at += skip;
            let right = self.comparison();
            return Ok(binary(BinaryOperator::Text(operator), left, right));
        }
        let tilde = word == "in" && self.peek_ahead(skip).kind == TokenKind::Symbol(Symbol::Tilde);
        let operator = match (word, negated, tilde) {
            ("in", false, false) => MembershipOperator::In,
            ("in", true, false) => MembershipOperator::NotIn,
            ("in", false, true) => MembershipOperator::InIgnoreCase,
            ("in", true, true) => MembershipOperator::NotInIgnoreCase,
            ("has_any", false, _) => MembershipOperator::HasAny,
            ("has_all", false, _) => MembershipOperator::HasAll,
            _ => return Err(left),
        };
        self.at += skip + usize::from(tilde);
        Ok(self.membership(operator, left))
    }

    fn between(&mut self, value: Expr, negated: bool) -> Expr {
        self.expect_symbol(Symbol::OpenParen);
        let low = self.expression();
        self.expect_symbol(Symbol::DotDot);
        let high = self.expression();
        self.expect_symbol(Symbol::CloseParen);
        let span = self.span_from(value.span.start);
        let kind = ExprKind::Between { value: Box::new(value), low: Box::new(low), high: Box::new(high), negated };
        spanning(kind, span)
    }

    fn membership(&mut self, operator: MembershipOperator, value: Expr) -> Expr {
        let start = value.span.start;
        let mut list = Vec::new();
        if self.take_symbol(Symbol::OpenParen) {
            if !self.at_symbol(Symbol::CloseParen) {
                list = self.comma_separated(Self::expression_or_pipeline);
            }
            self.expect_symbol(Symbol::CloseParen);
        } else {
            list.push(self.comparison());
        }
        let kind = ExprKind::Membership { operator, value: Box::new(value), list };
        spanning(kind, self.span_from(start))
    }

    fn comparison(&mut self) -> Expr {
        let mut left = self.sum();
        for parts in 1.. {
            let operator = match self.peek().kind {
                TokenKind::Symbol(Symbol::Less) => BinaryOperator::Less,
                TokenKind::Symbol(Symbol::LessEqual) => BinaryOperator::LessOrEqual,
                TokenKind::Symbol(Symbol::Greater) => BinaryOperator::Greater,
                TokenKind::Symbol(Symbol::GreaterEqual) => BinaryOperator::GreaterOrEqual,
                _ => return left,
            };
            if !self.goes_on(parts) {
                break;
            }
            self.advance();
            let right = self.sum();
            left = binary(operator, left, right);
        }
        left
    }

    fn sum(&mut self) -> Expr {
        let mut left = self.product();
        for parts in 1.. {
            let operator = match self.peek().kind {
                TokenKind::Symbol(Symbol::Plus) => BinaryOperator::Add,
                TokenKind::Symbol(Symbol::Minus) => BinaryOperator::Subtract,
                _ => return left,
            };
            if !self.goes_on(parts) {
                break;
            }
            self.advance();
            let right = self.product();
            left = binary(operator, left, right);
        }
        left
    }

    fn product(&mut self) -> Expr {
        let mut left = self.unary();
        for parts in 1.. {
            let operator = match self.peek().kind {
                TokenKind::Symbol(Symbol::Star) => BinaryOperator::Multiply,
                TokenKind::Symbol(Symbol::Slash) => BinaryOperator::Divide,
                TokenKind::Symbol(Symbol::Percent) => BinaryOperator::Modulo,
                _ => return left,
            };
            if !self.goes_on(parts) {
                break;
            }
            self.advance();
            let right = self.unary();
            left = binary(operator, left, right);
        }
        left
    }

    fn unary(&mut self) -> Expr {
        let start = self.span().start;
        if self.take_symbol(Symbol::Minus) {
            let operand = self.nested(Self::unary).unwrap_or(spanning(ExprKind::Error, self.span()));
            return spanning(ExprKind::Negate(Box::new(operand)), self.span_from(start));
        }
        if self.take_symbol(Symbol::Plus) {
            return self.nested(Self::unary).unwrap_or(spanning(ExprKind::Error, self.span()));
        }
        let mut base = self.primary();
        for parts in 1.. {
            let is_access = self.at_symbol(Symbol::Dot) || self.at_symbol(Symbol::OpenBracket);
            if !is_access || self.silenced || !self.goes_on(parts) {
                break;
            }
            if self.at_symbol(Symbol::Dot) {
                self.advance();
                // `d.[0]` is another spelling of `d[0]`.
                if self.at_symbol(Symbol::OpenBracket) && !matches!(self.peek_ahead(1).kind, TokenKind::String { .. }) {
                    continue;
                }
                // `database("d").Security*`: all tables of such names.
                let is_pattern = self.at_symbol(Symbol::Star)
                    || (self.peek().kind == TokenKind::Name
                        && self.peek_ahead(1).kind == TokenKind::Symbol(Symbol::Star)
                        && self.peek_ahead(1).span.start == self.span().end);
                if is_pattern && is_call_of(&base, "database") {
                    let pattern = self.name_pattern();
                    let member = Name { text: pattern.text, span: pattern.span };
                    base = spanning(ExprKind::Member { base: Box::new(base), member }, self.span_from(start));
                    continue;
                }
                let member = match self.try_name() {
                    Some(name) => name,
                    None => {
                        self.error_expected("a member name after '.'");
                        return base;
                    }
                };
                let span = self.span_from(start);
                if self.at_symbol(Symbol::OpenParen) {
                    // `database("d").table("t")`: the qualifier becomes the first argument, by name.
                    let mut call = self.call(member);
                    if let ExprKind::Call { arguments, .. } = &mut call.kind {
                        let name = Name { text: QUALIFIER.to_owned(), span: base.span };
                        arguments.insert(0, Argument { name: Some(name), value: base });
                    }
                    base = Expr { span: self.span_from(start), ..call };
                } else {
                    base = spanning(ExprKind::Member { base: Box::new(base), member }, span);
                }
            } else {
                self.advance();
                let index = self.expression();
                self.expect_symbol(Symbol::CloseBracket);
                let kind = ExprKind::Index { base: Box::new(base), index: Box::new(index) };
                base = spanning(kind, self.span_from(start));
            }
        }
        base
    }

    fn primary(&mut self) -> Expr {
        let start = self.span().start;
        if let Some(literal) = self.literal() {
            return literal;
        }
        match self.peek().kind {
            TokenKind::Symbol(Symbol::OpenParen) => {
                self.advance();
                let inner = self.expression_or_pipeline();
                self.expect_symbol(Symbol::CloseParen);
                Expr { span: self.span_from(start), ..inner }
            }
            TokenKind::Symbol(Symbol::Star) => {
                let span = self.advance().span;
                spanning(ExprKind::Star, span)
            }
            TokenKind::Name => self.name_or_call(),
            TokenKind::Symbol(Symbol::OpenBracket) => match self.try_name() {
                Some(name) => spanning(ExprKind::Name(name.text), name.span),
                None => self.no_expression(),
            },
            _ => self.no_expression(),
        }
    }

    fn no_expression(&mut self) -> Expr {
        self.error_expected("an expression");
        spanning(ExprKind::Error, self.span())
    }

    fn name_or_call(&mut self) -> Expr {
        let token = self.peek().clone();
        let word = self.text(&token);
        if word == "datatable" && self.peek_ahead(1).kind == TokenKind::Symbol(Symbol::OpenParen) {
            return self.datatable();
        }
        if word == "typeof" && self.peek_ahead(1).kind == TokenKind::Symbol(Symbol::OpenParen) {
            self.at += 2;
            // `typeof(*, x: long)` is the schema of a plugin's result.
            let is_schema = self.at_symbol(Symbol::Star) || self.peek_ahead(1).kind == TokenKind::Symbol(Symbol::Colon);
            if is_schema {
                self.comma_separated(|p| {
                    if !p.take_symbol(Symbol::Star) {
                        p.column_declaration();
                    }
                });
                self.expect_symbol(Symbol::CloseParen);
                return spanning(ExprKind::Star, self.span_from(token.span.start));
            }
            let found = self.type_name();
            self.expect_symbol(Symbol::CloseParen);
            return spanning(ExprKind::TypeOf(found), self.span_from(token.span.start));
        }
        if word == "not" && self.peek_ahead(1).kind != TokenKind::Symbol(Symbol::OpenParen) {
            let diagnostic = Diagnostic::syntax(token.span, "there is no operator 'not'");
            self.report(diagnostic.with_hint("Write it as a function: not(...)."));
        }
        let name = self.name("an expression");
        if self.at_symbol(Symbol::OpenParen) {
            return self.call(name);
        }
        spanning(ExprKind::Name(name.text), name.span)
    }

    pub(super) fn call(&mut self, function: Name) -> Expr {
        let start = function.span.start;
        self.expect_symbol(Symbol::OpenParen);
        let mut arguments = Vec::new();
        if !self.at_symbol(Symbol::CloseParen) {
            arguments = self.comma_separated(Self::argument);
        }
        self.expect_symbol(Symbol::CloseParen);
        spanning(ExprKind::Call { function, arguments }, self.span_from(start))
    }

    fn argument(&mut self) -> Argument {
        let named = self.peek().kind == TokenKind::Name && self.peek_ahead(1).kind == TokenKind::Symbol(Symbol::Equal);
        let name = if named {
            let name = self.try_name();
            self.advance();
            name
        } else {
            None
        };
        Argument { name, value: self.expression_or_pipeline() }
    }

    /// An expression, or a pipeline where one may stand as a value: `toscalar(T | count)`, `(union A, B)`.
    pub(super) fn expression_or_pipeline(&mut self) -> Expr {
        let pipeline = self.pipeline();
        match pipeline {
            crate::tree::Pipeline { source: crate::tree::Source::Expression(expr), operators, .. }
                if operators.is_empty() =>
            {
                expr
            }
            pipeline => {
                let span = pipeline.span;
                spanning(ExprKind::Pipeline(Box::new(pipeline)), span)
            }
        }
    }

    fn datatable(&mut self) -> Expr {
        let start = self.advance().span.start;
        self.expect_symbol(Symbol::OpenParen);
        let mut columns = Vec::new();
        while !self.silenced && !self.at_symbol(Symbol::CloseParen) {
            columns.push(self.column_declaration());
            if !self.take_symbol(Symbol::Comma) {
                break;
            }
        }
        self.expect_symbol(Symbol::CloseParen);
        self.expect_symbol(Symbol::OpenBracket);
        let mut cells = Vec::new();
        while !self.silenced && !self.at_symbol(Symbol::CloseBracket) && !self.at_end() {
            cells.push(self.cell());
            if !self.take_symbol(Symbol::Comma) {
                break;
            }
        }
        self.expect_symbol(Symbol::CloseBracket);
        spanning(ExprKind::DataTable { columns, cells }, self.span_from(start))
    }

    /// A cell of a `datatable`: a literal, with a sign if it is a number.
    fn cell(&mut self) -> Expr {
        let start = self.span().start;
        // The smallest long has no positive counterpart, so its sign must be read with its digits.
        let source = self.source;
        if self.at_symbol(Symbol::Minus) && self.peek_ahead(1).kind == TokenKind::Integer {
            let digits = self.text(self.peek_ahead(1));
            if digits == "9223372036854775808" && source.as_bytes().get(start) == Some(&b'-') {
                self.at += 2;
                return spanning(ExprKind::Literal(Literal::Long(Some(i64::MIN))), self.span_from(start));
            }
        }
        let negative = self.take_symbol(Symbol::Minus);
        match self.literal() {
            Some(literal) if negative => spanning(ExprKind::Negate(Box::new(literal)), self.span_from(start)),
            Some(literal) => literal,
            None => {
                self.error_expected("a literal");
                spanning(ExprKind::Error, self.span())
            }
        }
    }

    /// `name = value`, `(a, b) = value` or `value`.
    pub(super) fn named_expression(&mut self) -> NamedExpr {
        if let Some(names) = self.tuple_ahead() {
            let value = self.expression();
            return NamedExpr { names, is_tuple: true, value };
        }
        let quoted = self.at_symbol(Symbol::OpenBracket);
        let equals_at = if quoted { 3 } else { 1 };
        let named = (self.peek().kind == TokenKind::Name || quoted)
            && self.peek_ahead(equals_at).kind == TokenKind::Symbol(Symbol::Equal);
        let mut names = Vec::new();
        if named {
            names.push(self.name("a column name"));
            self.expect_symbol(Symbol::Equal);
        }
        NamedExpr { names, is_tuple: false, value: self.expression() }
    }

    /// Takes `(a, b) =` when it stands here.
    fn tuple_ahead(&mut self) -> Option<Vec<Name>> {
        let before = self.at;
        if !self.take_symbol(Symbol::OpenParen) {
            return None;
        }
        let mut names = Vec::new();
        while let Some(name) = self.try_name() {
            names.push(name);
            if !self.take_symbol(Symbol::Comma) {
                break;
            }
        }
        if !names.is_empty() && self.take_symbol(Symbol::CloseParen) && self.take_symbol(Symbol::Equal) {
            return Some(names);
        }
        self.at = before;
        None
    }
}

/// The name of the argument that carries the qualifier of a method-like call such as `database("d").table("t")`.
pub(crate) const QUALIFIER: &str = "$qualifier";

fn is_call_of(expr: &Expr, name: &str) -> bool {
    matches!(&expr.kind, ExprKind::Call { function, .. } if function.text == name)
}
