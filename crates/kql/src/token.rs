//! Tokens: the words of the language, each with its span.

use crate::Span;

/// One token. The text of names, numbers and strings is read from the source through the span.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    pub kind: TokenKind,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum TokenKind {
    /// A bare word: identifier, keyword or operator word. Words with dashes such as `project-away` are one
    /// name token only where the parser asks for an operator name.
    Name,
    /// `123` or `0x1F`.
    Integer,
    /// `1.5`, `1e5`.
    Real,
    /// `5m`: digits followed by the letters of a unit.
    Quantity,
    /// A string literal with its value decoded; `obfuscated` for the `h"..."` forms.
    String {
        value: String,
        obfuscated: bool,
    },
    /// Punctuation or an operator made of symbols.
    Symbol(Symbol),
    EndOfText,
}

macro_rules! symbols {
    ($($name:ident $text:literal)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Symbol { $($name),* }

        impl Symbol {
            pub(crate) const ALL: &'static [(&'static str, Symbol)] = &[$(($text, Symbol::$name)),*];

            pub fn text(self) -> &'static str {
                match self { $(Symbol::$name => $text),* }
            }
        }
    };
}

// Longer symbols stand before their own prefixes: the lexer takes the first that matches.
symbols! {
    FatArrow "=>" EqualEqual "==" EqualTilde "=~" NotEqual "!=" NotTilde "!~" LessGreater "<>"
    LessPipe "<|" LessEqual "<=" GreaterEqual ">=" DotDot ".."
    OpenParen "(" CloseParen ")" OpenBracket "[" CloseBracket "]" OpenBrace "{" CloseBrace "}"
    Pipe "|" Comma "," Semicolon ";" Colon ":" Dot "." Equal "=" Less "<" Greater ">"
    Plus "+" Minus "-" Star "*" Slash "/" Percent "%" Bang "!" Question "?" At "@" Dollar "$" Tilde "~"
}
