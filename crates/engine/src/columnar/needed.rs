//! Terms that a row must have to meet a condition. Where a segment can tell that its texts have them not
//! ([`Segment::lacks`]), it need not be read.
//!
//! What is needed is always less than what is asked for: a text with all the terms may still not match. Terms of a JSON
//! text are also those of the strings in it, except where an escape stands for a letter; numbers are another matter, as
//! they can be written in many ways.

use super::program::{call_of, source};
use super::{NeededTerms, Segment, Source};
use crate::functions::conversion::DYNAMIC_TO_STRING;
use crate::functions::terms::{
    EQUALS_IGNORE_CASE, HAS_ALL, HAS_ANY, IN_IGNORE_CASE, is_any_kernel, terms_of_matches, text_match_of,
};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, InListExpr, Literal};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::scalar::ScalarValue;
use kql::tree::TextMatch;
use std::sync::Arc;

/// Where more values would do, asking for each would take longer than reading.
const ALTERNATIVES_MAX: usize = 1000;
/// The letters that numbers are printed with: of an exponent, of infinity, of what is not a number.
const LETTERS_OF_NUMBERS: &str = "einfatyEINFATY";

/// What is needed for a condition to hold.
#[derive(Debug, Clone)]
pub(super) enum Needed {
    /// A text of the column with all of the terms.
    Terms {
        column: usize,
        terms: NeededTerms,
    },
    All(Vec<Needed>),
    Any(Vec<Needed>),
}

impl Needed {
    /// What a condition over the columns of a table needs; `None` where that is not known.
    pub fn of(condition: &Arc<dyn PhysicalExpr>) -> Option<Needed> {
        if let Some(binary) = condition.downcast_ref::<BinaryExpr>() {
            let (left, right) = (binary.left(), binary.right());
            return match binary.op() {
                Operator::And => Needed::all([Needed::of(left), Needed::of(right)]),
                Operator::Or => Needed::any(vec![Needed::of(left), Needed::of(right)]),
                Operator::Eq => equal(left, right, true).or_else(|| equal(right, left, true)),
                _ => None,
            };
        }
        if let Some(list) = condition.downcast_ref::<InListExpr>().filter(|list| !list.negated()) {
            return Needed::any(list.list().iter().map(|item| equal(list.expr(), item, true)).collect());
        }
        let call = condition.downcast_ref::<ScalarFunctionExpr>()?;
        let arguments = call.args();
        if let Some((kind, case_sensitive)) = text_match_of(call.name()) {
            let [first, second] = arguments else { return None };
            let (text, needle) = if is_any_kernel(call.name()) { (second, first) } else { (first, second) };
            return matching(text, needle, kind, case_sensitive);
        }
        let (text, items) = arguments.split_first()?;
        let has = |item| matching(text, item, TextMatch::Has, false);
        match call.name() {
            name if name == EQUALS_IGNORE_CASE.name => {
                let item = items.first()?;
                equal(text, item, false).or_else(|| equal(item, text, false))
            }
            name if name == IN_IGNORE_CASE.name => Needed::any(items.iter().map(|i| equal(text, i, false)).collect()),
            name if name == HAS_ANY.name => Needed::any(items.iter().map(has).collect()),
            name if name == HAS_ALL.name => Needed::all(items.iter().map(has)),
            _ => None,
        }
    }

    /// What all of these need, as far as it is known.
    fn all(parts: impl IntoIterator<Item = Option<Needed>>) -> Option<Needed> {
        let known: Vec<Needed> = parts.into_iter().flatten().collect();
        (!known.is_empty()).then_some(Needed::All(known))
    }

    /// What any of these needs. Nothing is known where it is not of each of them.
    fn any(parts: Vec<Option<Needed>>) -> Option<Needed> {
        if parts.len() > ALTERNATIVES_MAX {
            return None;
        }
        parts.into_iter().collect::<Option<Vec<_>>>().map(Needed::Any)
    }

    /// Whether it is certain that a segment has it not.
    pub fn is_lacking(&self, segment: &dyn Segment) -> bool {
        match self {
            Needed::Terms { column, terms } => segment.lacks(*column, terms),
            Needed::All(parts) => parts.iter().any(|part| part.is_lacking(segment)),
            Needed::Any(parts) => parts.iter().all(|part| part.is_lacking(segment)),
        }
    }
}

/// `text == value`.
fn equal(text: &Arc<dyn PhysicalExpr>, value: &Arc<dyn PhysicalExpr>, case_sensitive: bool) -> Option<Needed> {
    let (column, is_decoded) = text_source(text)?;
    let value = constant(value)?;
    let terms = terms_of_matches(value, TextMatch::Has, case_sensitive);
    let starts_as_json = value.starts_with(['[', '{']) || value.parse::<f64>().is_ok();
    needed(column, if is_decoded && starts_as_json { sure_when_decoded(terms) } else { terms }, is_decoded)
}

fn matching(
    text: &Arc<dyn PhysicalExpr>,
    needle: &Arc<dyn PhysicalExpr>,
    kind: TextMatch,
    case_sensitive: bool,
) -> Option<Needed> {
    let (column, is_decoded) = text_source(text)?;
    let terms = terms_of_matches(constant(needle)?, kind, case_sensitive);
    needed(column, if is_decoded { sure_when_decoded(terms) } else { terms }, is_decoded)
}

fn needed(column: usize, terms: Vec<String>, is_decoded: bool) -> Option<Needed> {
    (!terms.is_empty()).then_some(Needed::Terms { column, terms: NeededTerms { terms, is_decoded } })
}

/// Those of the terms that cannot be of a number, which may stand otherwise in the text than it is printed.
fn sure_when_decoded(terms: Vec<String>) -> Vec<String> {
    let is_of_word = |term: &String| term.chars().any(|c| c.is_alphabetic() && !LETTERS_OF_NUMBERS.contains(c));
    terms.into_iter().filter(is_of_word).collect()
}

/// The column whose texts an expression gives, and whether it gives what they say as JSON.
fn text_source(expression: &Arc<dyn PhysicalExpr>) -> Option<(usize, bool)> {
    if let Some(column) = expression.downcast_ref::<Column>() {
        return Some((column.index(), false));
    }
    let [value] = call_of(expression, &DYNAMIC_TO_STRING)? else { return None };
    source(value).map(|source| match source {
        Source::Column(column) | Source::Member { column, .. } => (column, true),
    })
}

fn constant(expression: &Arc<dyn PhysicalExpr>) -> Option<&str> {
    match expression.downcast_ref::<Literal>()?.value() {
        ScalarValue::Utf8View(Some(text)) => Some(text),
        _ => None,
    }
}
