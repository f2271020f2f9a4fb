//! Text to tokens. Never fails: what is no token becomes a diagnostic and is skipped.

use crate::token::{Symbol, Token, TokenKind};
use crate::{Diagnostic, Span};

/// Splits `source` into tokens, the last of which is [`TokenKind::EndOfText`]. Comments and white space
/// are left out. Time and memory are linear in the length of the text.
pub fn lex(source: &str) -> (Vec<Token>, Vec<Diagnostic>) {
    let mut lexer = Lexer { source, at: 0, tokens: Vec::new(), diagnostics: Vec::new() };
    while lexer.next_token() {}
    lexer.push(TokenKind::EndOfText, source.len());
    (lexer.tokens, lexer.diagnostics)
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    tokens: Vec<Token>,
    diagnostics: Vec<Diagnostic>,
}

pub(crate) fn is_name_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

pub(crate) fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn push(&mut self, kind: TokenKind, start: usize) {
        self.tokens.push(Token { kind, span: Span::new(start, self.at) });
    }

    fn skip_while(&mut self, keep: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !keep(c)).unwrap_or(rest.len());
    }

    fn next_token(&mut self) -> bool {
        loop {
            self.skip_while(|c| c.is_whitespace() || c == '\u{feff}');
            if !self.rest().starts_with("//") {
                break;
            }
            self.skip_while(|c| c != '\n');
        }
        let start = self.at;
        let Some(c) = self.rest().chars().next() else { return false };
        if self.string() {
            return true;
        }
        if c.is_ascii_digit() {
            self.number();
        } else if is_name_start(c) {
            self.skip_while(is_name_char);
            self.push(TokenKind::Name, start);
        } else if c == '$' && self.rest()[1..].starts_with(is_name_start) {
            self.at += 1;
            self.skip_while(is_name_char);
            self.push(TokenKind::Name, start);
        } else if let Some((text, symbol)) = Symbol::ALL.iter().find(|(text, _)| self.rest().starts_with(text)) {
            self.at += text.len();
            self.push(TokenKind::Symbol(*symbol), start);
        } else {
            self.at += c.len_utf8();
            let span = Span::new(start, self.at);
            self.diagnostics.push(Diagnostic::syntax(span, format!("the character '{c}' has no meaning here")));
        }
        true
    }

    fn number(&mut self) {
        let start = self.at;
        if self.rest().starts_with("0x") || self.rest().starts_with("0X") {
            self.at += 2;
            self.skip_while(|c| c.is_ascii_hexdigit());
            return self.push(TokenKind::Integer, start);
        }
        self.skip_while(|c| c.is_ascii_digit());
        let mut kind = TokenKind::Integer;
        let mut after = self.rest().chars();
        if after.next() == Some('.') && after.next().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
            self.skip_while(|c| c.is_ascii_digit());
            kind = TokenKind::Real;
        }
        let exponent = self.rest().trim_start_matches(['e', 'E']);
        let digits = exponent.trim_start_matches(['+', '-']);
        if self.rest().len() - exponent.len() == 1
            && exponent.len() - digits.len() <= 1
            && digits.starts_with(|c: char| c.is_ascii_digit())
        {
            self.at += self.rest().len() - digits.len();
            self.skip_while(|c| c.is_ascii_digit());
            kind = TokenKind::Real;
        }
        if self.rest().starts_with(is_name_start) {
            self.skip_while(is_name_char);
            kind = TokenKind::Quantity;
        }
        self.push(kind, start);
    }

    /// Lexes a string literal in any of its forms; false when none starts here.
    fn string(&mut self) -> bool {
        let start = self.at;
        let rest = self.rest();
        let unprefixed = rest.strip_prefix(['h', 'H']).unwrap_or(rest);
        let obfuscated = unprefixed.len() < rest.len();
        let (verbatim, body) = match unprefixed.strip_prefix('@') {
            Some(body) => (true, body),
            None => (false, unprefixed),
        };
        let opening = self.at + rest.len() - body.len();
        for fence in ["```", "~~~"] {
            if !verbatim && body.starts_with(fence) {
                let from = opening + fence.len();
                let end = self.source[from..].find(fence).map(|i| from + i);
                let value = self.source[from..end.unwrap_or(self.source.len())].to_owned();
                self.finish_string(start, value, obfuscated, end.map(|e| e + fence.len()));
                return true;
            }
        }
        let Some(quote) = body.chars().next().filter(|c| *c == '"' || *c == '\'') else { return false };
        self.at = opening + 1;
        if verbatim {
            self.verbatim(start, quote, obfuscated)
        } else {
            self.escaped(start, quote, obfuscated)
        }
        true
    }

    fn finish_string(&mut self, start: usize, value: String, obfuscated: bool, end: Option<usize>) {
        self.at = end.unwrap_or(self.source.len());
        if end.is_none() {
            let span = Span::new(start, self.at);
            self.diagnostics.push(Diagnostic::syntax(span, "the string literal is not closed"));
        }
        self.push(TokenKind::String { value, obfuscated }, start);
    }

    fn verbatim(&mut self, start: usize, quote: char, obfuscated: bool) {
        let mut value = String::new();
        loop {
            let rest = self.rest();
            let Some(end) = rest.find(quote) else {
                value.push_str(rest);
                return self.finish_string(start, value, obfuscated, None);
            };
            value.push_str(&rest[..end]);
            self.at += end + 1;
            if !self.rest().starts_with(quote) {
                let end = self.at;
                return self.finish_string(start, value, obfuscated, Some(end));
            }
            value.push(quote);
            self.at += 1;
        }
    }

    fn escaped(&mut self, start: usize, quote: char, obfuscated: bool) {
        let mut value = String::new();
        loop {
            let Some(c) = self.rest().chars().next() else {
                return self.finish_string(start, value, obfuscated, None);
            };
            match c {
                '\n' | '\r' => {
                    let span = Span::new(start, self.at);
                    self.diagnostics.push(
                        Diagnostic::syntax(span, "the string literal is not closed on its line")
                            .with_hint("Text of several lines stands between ``` and ```."),
                    );
                    return self.push(TokenKind::String { value, obfuscated }, start);
                }
                '\\' => self.escape(&mut value),
                _ => {
                    self.at += c.len_utf8();
                    if c == quote {
                        let end = self.at;
                        return self.finish_string(start, value, obfuscated, Some(end));
                    }
                    value.push(c);
                }
            }
        }
    }

    fn escape(&mut self, value: &mut String) {
        let start = self.at;
        self.at += 1;
        let Some(c) = self.rest().chars().next() else { return };
        self.at += c.len_utf8();
        let simple = match c {
            'a' => Some('\u{7}'),
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\u{b}'),
            '\\' | '\'' | '"' => Some(c),
            'x' => self.code_point(16, 2, 2),
            'u' => self.code_point(16, 4, 4),
            'U' => self.code_point(16, 8, 8),
            '0'..='7' => {
                self.at -= 1;
                self.code_point(8, 1, 3)
            }
            _ => None,
        };
        match simple {
            Some(decoded) => value.push(decoded),
            None => {
                let text = &self.source[start..self.at];
                self.diagnostics.push(
                    Diagnostic::syntax(Span::new(start, self.at), format!("'{text}' is no escape sequence"))
                        .with_hint("Write '\\\\' for a backslash, or a verbatim string @\"...\"."),
                );
            }
        }
    }

    fn code_point(&mut self, radix: u32, at_least: usize, at_most: usize) -> Option<char> {
        let digits = self.rest().chars().take(at_most).take_while(|c| c.is_digit(radix)).count();
        let text = &self.rest()[..digits];
        let decoded = u32::from_str_radix(text, radix).ok().and_then(char::from_u32);
        self.at += digits;
        decoded.filter(|_| digits >= at_least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(source: &str) -> Vec<String> {
        let (tokens, diagnostics) = lex(source);
        assert_eq!(diagnostics, [], "{source}");
        tokens
            .into_iter()
            .filter_map(|t| match t.kind {
                TokenKind::String { value, .. } => Some(value),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn string_forms() {
        assert_eq!(strings(r#""a\tb\x41\u00e9\101""#), ["a\tbAéA"]);
        assert_eq!(strings(r#"@"c:\x""y" h'secret' H@'a''b'"#), ["c:\\x\"y", "secret", "a'b"]);
        assert_eq!(strings("```two\nlines\\n```"), ["two\nlines\\n"]);
    }

    #[test]
    fn bad_strings_are_reported_and_skipped() {
        for source in [r#""\d""#, "\"open", "'line\nbreak'", "@'open"] {
            assert!(!lex(source).1.is_empty(), "{source}");
        }
    }

    #[test]
    fn numbers_and_names() {
        let kinds = |s: &str| lex(s).0.into_iter().map(|t| t.kind).collect::<Vec<_>>();
        assert_eq!(kinds("1.5e3")[0], TokenKind::Real);
        assert_eq!(kinds("1e5")[0], TokenKind::Real);
        assert_eq!(kinds("0x1F")[0], TokenKind::Integer);
        assert_eq!(kinds("1.5h")[0], TokenKind::Quantity);
        assert_eq!(kinds("a // b\n")[..2], [TokenKind::Name, TokenKind::EndOfText]);
        let range = kinds("1..2");
        assert_eq!(range[1], TokenKind::Symbol(Symbol::DotDot));
    }
}
