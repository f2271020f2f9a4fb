//! Names: which can stand bare, and how the others are quoted.

use super::{Printer, literal};
use crate::lexer::{is_name_char, is_name_start};
use crate::parser::is_reserved;
use crate::tree::{Expr, ExprKind, Name, NamePattern};
use crate::{Type, tree::ColumnDeclaration};

/// Words that begin something else where an expression may begin.
pub(super) const LEADING_WORDS: [&str; 16] = [
    "declare",
    "entity_group",
    "evaluate",
    "external_data",
    "externaldata",
    "find",
    "hint",
    "inline_external_table",
    "macro",
    "not",
    "print",
    "range",
    "search",
    "set",
    "top",
    "union",
];

/// Whether the lexer reads `text` as one bare name.
pub(super) fn is_word(text: &str) -> bool {
    let unprefixed = text.strip_prefix('$').unwrap_or(text);
    unprefixed.starts_with(is_name_start) && unprefixed.chars().all(is_name_char)
}

/// Whether `text` reads as a name with wildcards when it stands bare.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains('*') && text.split('*').all(|part| part.is_empty() || is_word(part))
}

fn is_literal_word(text: &str) -> bool {
    matches!(text, "true" | "false" | "True" | "False" | "TRUE" | "FALSE" | "null")
}

impl Printer {
    fn word(&mut self, text: &str, is_bare: bool) {
        if is_bare && is_word(text) {
            self.write(text);
        } else {
            let quoted = literal::quoted_name(text);
            self.write(&quoted);
        }
    }

    /// A name where only a name may stand.
    pub(super) fn name(&mut self, name: &Name) {
        self.word(&name.text, !is_reserved(&name.text));
    }

    /// A name where also an expression of another kind might stand.
    pub(super) fn name_expression(&mut self, text: &str) {
        let means_other = is_reserved(text) || is_literal_word(text) || LEADING_WORDS.contains(&text);
        self.word(text, !means_other);
    }

    /// A name after a dot, where no word means anything else.
    pub(super) fn member_name(&mut self, name: &Name) {
        self.word(&name.text, true);
    }

    /// A name that must not be taken for one of the `options` of its operator.
    pub(super) fn name_beside_options(&mut self, name: &Name, options: &[&str]) {
        if options.contains(&name.text.as_str()) {
            self.word(&name.text, false);
        } else {
            self.name(name);
        }
    }

    /// ` option=word`, when there is one. The name of a type would be read as a literal if a parenthesis follows it.
    pub(super) fn option(&mut self, option: &str, word: Option<&Name>) {
        if let Some(word) = word {
            self.write(" ");
            self.write(option);
            self.write("=");
            self.option_word(&word.text);
        }
    }

    fn option_word(&mut self, text: &str) {
        self.word(text, !is_literal_word(text) && Type::from_name(text).is_none());
    }

    /// A word or a literal, where nothing else may stand.
    pub(super) fn option_value(&mut self, value: &Expr) {
        match &value.kind {
            ExprKind::Name(text) => self.option_word(text),
            _ => self.expression(value),
        }
    }

    pub(super) fn name_pattern(&mut self, pattern: &NamePattern) {
        if pattern.has_wildcard {
            self.write(&pattern.text);
        } else {
            self.word(&pattern.text, true);
        }
    }

    /// `name: type`.
    pub(super) fn column_declaration(&mut self, column: &ColumnDeclaration) {
        self.name(&column.name);
        self.write(": ");
        self.write(column.column_type.name());
    }
}
