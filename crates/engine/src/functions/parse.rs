//! `parse` and `parse-kv`: text taken apart into columns of text.
//!
//! Both are one function of the text and a specification, a constant JSON text, so that a plan that holds a call can
//! be written down. The result is a struct: a field of text for each column, and one that says whether all matched.

use super::conversion;
use super::regexes;
use crate::aggregates::field_name;
use datafusion::arrow::array::{ArrayRef, AsArray, BooleanBuilder, StringViewBuilder, StructArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};
use datafusion::scalar::ScalarValue;
use kql::{Type, datetime, timespan};
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is looked for in the text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Specification {
    Pattern(Pattern),
    KeyValues(KeyValues),
}

/// The pattern of `parse`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pattern {
    pub parts: Vec<Part>,
    /// Whether a value that is not of its column's type fails the whole row.
    pub is_strict: bool,
    /// The regular expression that stands for all parts, in regex mode.
    pub regex: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Part {
    /// Any text.
    Skip,
    Literal(String),
    /// A column, by the name of its type.
    Column(String),
}

/// The options of `parse-kv`, and the keys to look for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyValues {
    pub keys: Vec<String>,
    /// `None` for the form without delimiters, where any character that is not of a word separates.
    pub delimiters: Option<(String, String)>,
    /// The characters that begin and end quoted text.
    pub quotes: Option<(char, char)>,
    pub escape: Option<char>,
    /// Whether a value reaches up to the next key, over delimiters.
    pub is_greedy: bool,
    /// A pattern with a group for the key and one for the value.
    pub regex: Option<String>,
}

impl Specification {
    /// How many columns there are.
    pub fn columns(&self) -> usize {
        match self {
            Specification::Pattern(pattern) => pattern.column_types().count(),
            Specification::KeyValues(options) => options.keys.len(),
        }
    }

    /// The struct that the text is taken apart into; the field after the columns says whether it matched.
    pub fn call(&self, text: Expr) -> Expr {
        // A specification holds only texts and flags, which always have a JSON form.
        let json = serde_json::to_string(self).unwrap_or_default();
        let signature = Signature::user_defined(Volatility::Immutable);
        let udf = ScalarUDF::from(ParseFunction { signature });
        let specification = lit(ScalarValue::Utf8View(Some(json)));
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(udf), vec![text, specification]))
    }

    fn read(value: Option<&ScalarValue>) -> Result<Specification> {
        let text = match value {
            Some(ScalarValue::Utf8View(Some(text)) | ScalarValue::Utf8(Some(text))) => text,
            _ => return Err(DataFusionError::Internal("kql_parse needs a constant specification".to_owned())),
        };
        serde_json::from_str(text).map_err(|e| DataFusionError::External(Box::new(e)))
    }
}

fn fields(columns: usize) -> Fields {
    let texts = (0..columns).map(|i| Field::new(field_name(i), DataType::Utf8View, true));
    texts.chain([Field::new(field_name(columns), DataType::Boolean, true)]).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ParseFunction {
    signature: Signature,
}

impl ScalarUDFImpl for ParseFunction {
    fn name(&self) -> &str {
        "kql_parse"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Err(DataFusionError::Internal("the type of kql_parse depends on its specification".to_owned()))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let specification = Specification::read(args.scalar_arguments.get(1).copied().flatten())?;
        Ok(Arc::new(Field::new(self.name(), DataType::Struct(fields(specification.columns())), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let specification = match args.args.get(1) {
            Some(ColumnarValue::Scalar(value)) => Specification::read(Some(value))?,
            _ => Specification::read(None)?,
        };
        let texts = args.args[0].to_array(args.number_rows)?;
        let columns = specification.columns();
        let mut values: Vec<StringViewBuilder> = (0..columns).map(|_| StringViewBuilder::new()).collect();
        let mut matched = BooleanBuilder::new();
        let parser = Parser::new(&specification)?;
        for text in texts.as_string_view() {
            let found = parser.parse(text.unwrap_or(""));
            matched.append_value(found.is_some());
            let found = found.unwrap_or_else(|| vec![None; columns]);
            for (builder, value) in values.iter_mut().zip(found) {
                builder.append_option(value);
            }
        }
        let mut arrays: Vec<ArrayRef> = values.iter_mut().map(|b| Arc::new(b.finish()) as ArrayRef).collect();
        arrays.push(Arc::new(matched.finish()));
        Ok(ColumnarValue::Array(Arc::new(StructArray::try_new(fields(columns), arrays, None)?)))
    }
}

/// A specification with its regular expressions compiled.
struct Parser<'a> {
    specification: &'a Specification,
    regex: Option<Regex>,
}

impl<'a> Parser<'a> {
    fn new(specification: &'a Specification) -> Result<Parser<'a>> {
        let pattern = match specification {
            Specification::Pattern(pattern) => &pattern.regex,
            Specification::KeyValues(options) => &options.regex,
        };
        let regex = pattern.as_ref().map(|p| regexes::compile(p).map_err(DataFusionError::Execution)).transpose()?;
        Ok(Parser { specification, regex })
    }

    /// The text of each column, `None` for those that have none; `None` altogether where the text does not match.
    fn parse(&self, text: &str) -> Option<Vec<Option<String>>> {
        match (self.specification, &self.regex) {
            (Specification::Pattern(pattern), Some(regex)) => pattern.parse_by(regex, text),
            (Specification::Pattern(pattern), None) => pattern.parse(text),
            (Specification::KeyValues(options), Some(regex)) => {
                let pairs = regex.captures_iter(text).filter_map(|c| Some((c.get(1)?.as_str(), c.get(2)?.as_str())));
                Some(options.pick(pairs.map(|(k, v)| (k.to_owned(), v.to_owned()))))
            }
            (Specification::KeyValues(options), None) => Some(options.pick(options.pairs(text).into_iter())),
        }
    }
}

impl Pattern {
    fn column_types(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Column(of) => Some(of.as_str()),
            _ => None,
        })
    }

    /// The regular expression of regex mode: the literals as they are, a group for each column, over the whole text. A
    /// column of text takes as much as it can, unless the flag `U` says otherwise.
    pub fn to_regex(&self, flags: &str) -> String {
        let mut pattern = if flags.is_empty() { String::new() } else { format!("(?{flags})") };
        pattern.push('^');
        for part in &self.parts {
            match part {
                Part::Skip => pattern.push_str(".*?"),
                Part::Literal(fragment) => pattern.push_str(&format!("(?:{fragment})")),
                Part::Column(of) => pattern.push_str(match of.as_str() {
                    "int" | "long" => r"(?P<{}>[-+]?\d+)",
                    "real" | "decimal" => r"(?P<{}>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)",
                    _ => "(?P<{}>.*)",
                }),
            }
        }
        pattern.push('$');
        // Groups of columns are told from those of the query's own fragments by their names.
        let mut numbered = String::new();
        for (i, piece) in pattern.split("{}").enumerate() {
            if i > 0 {
                numbered.push_str(&format!("kql{}", i - 1));
            }
            numbered.push_str(piece);
        }
        numbered
    }

    fn parse_by(&self, regex: &Regex, text: &str) -> Option<Vec<Option<String>>> {
        let found = regex.captures(text)?;
        let columns = (0..self.column_types().count()).map(|i| found.name(&format!("kql{i}")).map(|m| m.as_str()));
        self.checked(columns.collect())
    }

    /// The values, unless one of a strict pattern is not of its type.
    fn checked(&self, values: Vec<Option<&str>>) -> Option<Vec<Option<String>>> {
        let fits = |(value, of): (&Option<&str>, &str)| value.is_some_and(|v| is_of_type(v, of));
        if self.is_strict && !values.iter().zip(self.column_types()).all(fits) {
            return None;
        }
        Some(values.into_iter().map(|v| v.map(str::to_owned)).collect())
    }

    fn parse(&self, text: &str) -> Option<Vec<Option<String>>> {
        let mut values: Vec<Option<&str>> = Vec::new();
        let mut rest = text;
        for (i, part) in self.parts.iter().enumerate() {
            let next = self.parts.get(i + 1);
            match part {
                Part::Literal(literal) => rest = rest.strip_prefix(literal.as_str())?,
                Part::Skip | Part::Column(_) => {
                    let taken = match next {
                        Some(Part::Literal(literal)) => {
                            let is_last = i + 2 == self.parts.len();
                            let at = if is_last { last_at_end(rest, literal)? } else { rest.find(literal.as_str())? };
                            &rest[..at]
                        }
                        Some(_) => match part {
                            Part::Column(of) => &rest[..prefix_of_type(rest, of)],
                            _ => "",
                        },
                        None => rest,
                    };
                    rest = &rest[taken.len()..];
                    if let Part::Column(_) = part {
                        values.push(Some(taken));
                    }
                }
            }
        }
        if !rest.is_empty() {
            return None;
        }
        self.checked(values)
    }
}

/// Where the literal stands that ends the text.
fn last_at_end(text: &str, literal: &str) -> Option<usize> {
    text.strip_suffix(literal).map(str::len)
}

/// How much of the text belongs to a value that no literal ends.
fn prefix_of_type(text: &str, of: &str) -> usize {
    let bytes = text.as_bytes();
    let sign = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let whole = sign + digits(sign);
    match of {
        "int" | "long" => whole,
        "real" | "decimal" if bytes.get(whole) == Some(&b'.') => whole + 1 + digits(whole + 1),
        "real" | "decimal" => whole,
        "string" => text.len(),
        _ => text.find(char::is_whitespace).unwrap_or(text.len()),
    }
}

fn is_of_type(text: &str, of: &str) -> bool {
    match Type::from_name(of) {
        Some(Type::Int) => conversion::parse_long(text).is_some_and(|n| i32::try_from(n).is_ok()),
        Some(Type::Long) => conversion::parse_long(text).is_some(),
        Some(Type::Real) => conversion::parse_real(text).is_some(),
        Some(Type::Decimal) => conversion::parse_decimal(text).is_some(),
        Some(Type::Bool) => conversion::text_to_bool(text).is_some(),
        Some(Type::DateTime) => datetime::parse(text).is_some(),
        Some(Type::TimeSpan) => timespan::parse(text).is_some(),
        Some(Type::Guid) => kql::parse_guid(text).is_some(),
        Some(Type::String | Type::Dynamic) | None => true,
    }
}

impl KeyValues {
    /// The value of each key that is asked for; of a repeated key the first.
    fn pick(&self, pairs: impl Iterator<Item = (String, String)>) -> Vec<Option<String>> {
        let mut values: Vec<Option<String>> = vec![None; self.keys.len()];
        for (key, value) in pairs {
            if let Some(i) = self.keys.iter().position(|k| *k == key)
                && values[i].is_none()
            {
                values[i] = Some(value);
            }
        }
        values
    }

    fn pairs(&self, text: &str) -> Vec<(String, String)> {
        match &self.delimiters {
            Some((pair, key_value)) if self.is_greedy => self.greedy_pairs(text, pair, key_value),
            Some((pair, key_value)) => self.delimited_pairs(text, pair, key_value),
            None => self.word_pairs(text),
        }
    }

    /// Reads a quoted text at the start of `text`: what it says, and its length with the quotes.
    fn quoted(&self, text: &str) -> Option<(String, usize)> {
        let (open, close) = self.quotes?;
        let inner = text.strip_prefix(open)?;
        let mut said = String::new();
        let mut chars = inner.char_indices();
        while let Some((at, c)) = chars.next() {
            if Some(c) == self.escape {
                said.extend(chars.next().map(|(_, escaped)| escaped));
            } else if c == close {
                return Some((said, open.len_utf8() + at + close.len_utf8()));
            } else {
                said.push(c);
            }
        }
        None
    }

    fn delimited_pairs(&self, text: &str, pair: &str, key_value: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let trimmed = rest.trim_start();
            let (key, after_key) = match self.quoted(trimmed) {
                Some((key, length)) if trimmed[length..].trim_start().starts_with(key_value) => {
                    (key, trimmed[length..].trim_start())
                }
                _ => {
                    let end = [rest.find(pair), rest.find(key_value)].into_iter().flatten().min().unwrap_or(rest.len());
                    (rest[..end].trim().to_owned(), &rest[end..])
                }
            };
            let Some(after) = after_key.strip_prefix(key_value) else {
                // No value here: on with what follows the delimiter.
                rest = after_key.strip_prefix(pair).unwrap_or("");
                continue;
            };
            let (value, after_value) = match self.quoted(after.trim_start()) {
                Some((value, length)) => (value, &after.trim_start()[length..]),
                None => {
                    let end = after.find(pair).unwrap_or(after.len());
                    (after[..end].trim().to_owned(), &after[end..])
                }
            };
            found.push((key, value));
            rest = after_value.find(pair).map_or("", |at| &after_value[at + pair.len()..]);
        }
        found
    }

    /// A value goes on until the last pair delimiter before the next key.
    fn greedy_pairs(&self, text: &str, pair: &str, key_value: &str) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = Vec::new();
        for piece in text.split(pair) {
            match (piece.split_once(key_value), found.last_mut()) {
                (Some((key, value)), _) => found.push((key.trim().to_owned(), value.trim().to_owned())),
                (None, Some((_, value))) => {
                    value.push_str(pair);
                    value.push_str(piece);
                }
                (None, None) => {}
            }
        }
        found.into_iter().map(|(key, value)| (key, value.trim_end().to_owned())).collect()
    }

    /// Each key that stands as a word of its own, and the word or quoted text after it.
    fn word_pairs(&self, text: &str) -> Vec<(String, String)> {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let mut found = Vec::new();
        for key in &self.keys {
            let stands = |at: &usize| {
                let after = &text[at + key.len()..];
                !text[..*at].chars().next_back().is_some_and(is_word) && !after.chars().next().is_some_and(is_word)
            };
            let Some(at) = text.match_indices(key.as_str()).map(|(at, _)| at).find(stands) else { continue };
            let after = &text[at + key.len()..];
            let quoted = |c: char| self.quotes.is_some_and(|(open, _)| c == open);
            let after = after.trim_start_matches(|c: char| !is_word(c) && !quoted(c));
            let value = match self.quoted(after) {
                Some((value, _)) => value,
                None => after[..after.find(|c: char| !is_word(c)).unwrap_or(after.len())].to_owned(),
            };
            found.push((key.clone(), value));
        }
        found
    }
}
