//! `parse`, `parse-where` and `parse-kv`.

use super::{Printer, literal};
use crate::Type;
use crate::tree::{Name, Parse, ParseKv, ParseMode, ParsePart};

impl Printer {
    pub(super) fn parse(&mut self, parse: &Parse) {
        self.write(if parse.drops_others { "parse-where" } else { "parse" });
        self.write(match parse.mode {
            ParseMode::Simple => "",
            ParseMode::Relaxed => " kind=relaxed",
            ParseMode::Regex => " kind=regex",
        });
        if !parse.flags.is_empty() {
            let flags = Name { text: parse.flags.clone(), span: parse.value.span };
            self.option("flags", Some(&flags));
        }
        self.clause(" ", Some(&parse.value));
        self.write(" with");
        for part in &parse.pattern {
            self.write(" ");
            match part {
                ParsePart::Skip(_) => self.write("*"),
                ParsePart::Literal(text) => self.write(&literal::string(text)),
                ParsePart::Column(column) => {
                    self.name_beside_options(&column.name, &["from", "to"]);
                    if column.column_type != Type::String {
                        self.write(": ");
                        self.write(column.column_type.name());
                    }
                }
            }
        }
    }

    pub(super) fn parse_kv(&mut self, parse: &ParseKv) {
        self.word_and_expression("parse-kv", &parse.value);
        self.write(" as (");
        self.listed(&parse.columns, Self::column_declaration);
        self.write(")");
        if !parse.options.is_empty() {
            self.write(" with (");
            self.listed(&parse.options, Self::named_option);
            self.write(")");
        }
    }
}
