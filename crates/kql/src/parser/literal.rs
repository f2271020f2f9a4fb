//! Literals: numbers, `datetime(...)` and the other typed forms, and the words that are no names.

use super::Parser;
use crate::token::{Symbol, Token, TokenKind};
use crate::tree::{Expr, ExprKind, Literal};
use crate::{Diagnostic, Span, Type, datetime, timespan};

/// Words that the engine refuses as bare column names (recorded answers); quoted they are names like any other.
const RESERVED: [&str; 20] = [
    "and", "as", "asc", "between", "by", "contains", "desc", "first", "has", "in", "last", "let", "nulls", "of", "on",
    "or", "where", "with", "true", "false",
];

pub(crate) fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word)
}

impl Parser<'_> {
    /// A literal at the current token, if one stands there.
    pub(super) fn literal(&mut self) -> Option<Expr> {
        let token = self.peek().clone();
        let literal = match &token.kind {
            TokenKind::Integer => {
                self.advance();
                self.integer(&token)
            }
            TokenKind::Real => {
                self.advance();
                Literal::Real(self.text(&token).parse().ok())
            }
            TokenKind::Quantity => {
                self.advance();
                self.quantity(&token)
            }
            TokenKind::String { .. } => Literal::String(self.adjacent_strings()),
            TokenKind::Name => match self.text(&token) {
                "true" | "false" | "True" | "False" | "TRUE" | "FALSE" => {
                    self.advance();
                    Literal::Bool(Some(self.text(&token).eq_ignore_ascii_case("true")))
                }
                "null" => {
                    self.advance();
                    Literal::Null
                }
                word => {
                    let literal_type = Type::from_name(word).filter(|t| *t != Type::String)?;
                    if self.peek_ahead(1).kind != TokenKind::Symbol(Symbol::OpenParen) {
                        return None;
                    }
                    self.advance();
                    self.typed_literal(literal_type)?
                }
            },
            _ => return None,
        };
        Some(Expr { kind: ExprKind::Literal(literal), span: self.span_from(token.span.start) })
    }

    fn integer(&mut self, token: &Token) -> Literal {
        let text = self.text(token);
        let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(hex) => u64::from_str_radix(hex, 16).ok().map(u64::cast_signed),
            None => text.parse().ok(),
        };
        if parsed.is_none() {
            self.report(Diagnostic::syntax(token.span, format!("'{text}' does not fit a 64-bit integer")));
        }
        Literal::Long(parsed)
    }

    fn quantity(&mut self, token: &Token) -> Literal {
        let text = self.text(token);
        let parsed = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .and_then(|at| timespan::scale(&text[..at], timespan::unit_ticks(&text[at..])?));
        if parsed.is_none() {
            self.report(
                Diagnostic::syntax(token.span, format!("'{text}' is neither a number nor a timespan"))
                    .with_hint("Units of time are d, h, m, s, ms, microsecond and tick."),
            );
        }
        Literal::TimeSpan(parsed)
    }

    /// String literals that follow each other are one string.
    fn adjacent_strings(&mut self) -> String {
        let mut text = String::new();
        while let TokenKind::String { value, .. } = &self.peek().kind {
            text.push_str(value);
            self.advance();
        }
        text
    }

    /// What stands in the parentheses of `datetime(...)`, `dynamic(...)` and the like. `None` (with the tokens
    /// untouched) when it is no literal but an expression, as in `bool(x)`.
    fn typed_literal(&mut self, literal_type: Type) -> Option<Literal> {
        let open = self.at;
        let close = self.closing_parenthesis()?;
        let raw = Span::new(self.tokens[open].span.end, self.tokens[close].span.start);
        let inner = raw.text(self.source).trim();
        let text = match &self.tokens[open + 1].kind {
            TokenKind::String { value, .. } if close == open + 2 && literal_type != Type::Dynamic => value.clone(),
            _ => inner.to_owned(),
        };
        let literal = typed(literal_type, &text);
        self.at = close + 1;
        if literal.is_none() {
            let message = format!("'{}' is no {literal_type} literal", text.chars().take(60).collect::<String>());
            let hint = format!("To convert a value use to{literal_type}().");
            self.report(Diagnostic::semantic(raw, message).with_hint(hint));
        }
        Some(literal.unwrap_or(Literal::Null))
    }

    /// The index of the token that closes the parenthesis at the current token.
    fn closing_parenthesis(&self) -> Option<usize> {
        let mut depth = 0usize;
        for (i, token) in self.tokens.iter().enumerate().skip(self.at) {
            match token.kind {
                TokenKind::Symbol(Symbol::OpenParen) => depth += 1,
                TokenKind::Symbol(Symbol::CloseParen) => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(i);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

fn typed(literal_type: Type, text: &str) -> Option<Literal> {
    let is_null = text == "null";
    fn some<T>(value: Option<T>, is_null: bool) -> Option<Option<T>> {
        if is_null { Some(None) } else { value.map(Some) }
    }
    Some(match literal_type {
        Type::Bool => Literal::Bool(some(
            match text {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            is_null,
        )?),
        Type::Int => Literal::Int(some(parse_integer(text).and_then(|n| i32::try_from(n).ok()), is_null)?),
        Type::Long => Literal::Long(some(parse_integer(text), is_null)?),
        Type::Real => Literal::Real(some(parse_real(text), is_null)?),
        Type::Decimal => Literal::Decimal(some(parse_real(text).map(|_| text.to_owned()), is_null)?),
        Type::DateTime if text.is_empty() => Literal::Now,
        // A date may be spaced like a difference: `2017 - 08 - 01`.
        Type::DateTime if time_of_day(text).is_some() => Literal::Today(time_of_day(text)?),
        Type::DateTime => {
            let parsed = datetime::parse(text).or_else(|| datetime::parse(&text.replace(" - ", "-")));
            Literal::DateTime(some(parsed, is_null)?)
        }
        Type::TimeSpan => Literal::TimeSpan(some(timespan::parse(text), is_null)?),
        Type::Guid => Literal::Guid(some(parse_guid(text), is_null)?),
        Type::Dynamic => Literal::Dynamic(text.to_owned()),
        Type::String => return None,
    })
}

/// `8:00`, `08:05:30.5`: a time without a date.
fn time_of_day(text: &str) -> Option<i64> {
    let is_time = text.contains(':') && text.chars().all(|c| c.is_ascii_digit() || matches!(c, ':' | '.'));
    timespan::parse(text).filter(|ticks| is_time && (0..timespan::TICKS_PER_DAY).contains(ticks))
}

fn parse_integer(text: &str) -> Option<i64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok().map(u64::cast_signed),
        None => text.parse().ok(),
    }
}

fn parse_real(text: &str) -> Option<f64> {
    match text {
        "nan" => Some(f64::NAN),
        "+inf" | "inf" => Some(f64::INFINITY),
        "-inf" => Some(f64::NEG_INFINITY),
        _ if text.contains(['i', 'n', 'I', 'N']) => None,
        _ => text.parse().ok(),
    }
}

/// A guid in canonical form: lower case, hyphens in place. Takes 32 hexadecimal digits with or without
/// hyphens and braces.
pub fn parse_guid(text: &str) -> Option<String> {
    let bare = text.trim().trim_start_matches('{').trim_end_matches('}');
    let hex: String = bare.chars().filter(|c| *c != '-').collect::<String>().to_ascii_lowercase();
    let well_formed = hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    well_formed.then(|| [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}
