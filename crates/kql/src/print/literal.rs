//! Literals, each by the shortest text that keeps its value and its type.

use crate::lexer::lex;
use crate::timespan::{
    TICKS_PER_DAY, TICKS_PER_HOUR, TICKS_PER_MICROSECOND, TICKS_PER_MILLISECOND, TICKS_PER_MINUTE, TICKS_PER_SECOND,
};
use crate::tree::Literal;
use crate::{datetime, timespan};

pub(super) fn literal(literal: &Literal) -> String {
    fn typed(name: &str, value: Option<impl ToString>) -> String {
        format!("{name}({})", value.map_or_else(|| "null".to_owned(), |v| v.to_string()))
    }
    match literal {
        Literal::Bool(Some(value)) => value.to_string(),
        Literal::Bool(None) => typed("bool", None::<bool>),
        Literal::Int(value) => typed("int", *value),
        Literal::Long(Some(value @ 0..)) => value.to_string(),
        Literal::Long(value) => typed("long", *value),
        Literal::Real(Some(value)) => real(*value),
        Literal::Real(None) => typed("real", None::<f64>),
        Literal::Decimal(digits) => typed("decimal", digits.as_deref()),
        Literal::String(text) => string(text),
        Literal::DateTime(ticks) => typed("datetime", ticks.map(date)),
        Literal::Now => "datetime()".to_owned(),
        Literal::Today(ticks) => format!("datetime({})", timespan::format(*ticks)),
        Literal::TimeSpan(Some(ticks)) => duration(*ticks),
        Literal::TimeSpan(None) => typed("timespan", None::<i64>),
        Literal::Guid(guid) => typed("guid", guid.as_deref()),
        Literal::Dynamic(text) if ends_in_comment(text) => format!("dynamic({text}\n)"),
        Literal::Dynamic(text) => format!("dynamic({text})"),
        Literal::Null => "null".to_owned(),
    }
}

/// A sign before a number is an operator of its own, and there are no words for what is no number.
fn real(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "real(+inf)" } else { "real(-inf)" }.to_owned();
    }
    match value {
        _ if value.is_nan() => "real(nan)".to_owned(),
        _ if value.is_sign_negative() => format!("real({value:?})"),
        _ => format!("{value:?}"),
    }
}

/// `2026-03-01`, with the time of day unless it is midnight.
fn date(ticks: i64) -> String {
    let text = datetime::format_short(ticks);
    text.strip_suffix("T00:00:00Z").map(str::to_owned).unwrap_or(text)
}

fn duration(ticks: i64) -> String {
    const UNITS: [(&str, i64); 7] = [
        ("d", TICKS_PER_DAY),
        ("h", TICKS_PER_HOUR),
        ("m", TICKS_PER_MINUTE),
        ("s", TICKS_PER_SECOND),
        ("ms", TICKS_PER_MILLISECOND),
        ("microsecond", TICKS_PER_MICROSECOND),
        ("tick", 1),
    ];
    /// From here on the form of a clock is easier to read, except for days.
    const CLUMSY: i64 = 10_000;
    if ticks == 0 {
        return "0s".to_owned();
    }
    let whole = UNITS.iter().find(|(_, unit)| ticks % unit == 0);
    match whole {
        Some((unit, per)) if *per == TICKS_PER_DAY || ticks / per < CLUMSY && ticks / per > -CLUMSY => {
            let quantity = format!("{}{unit}", ticks / per);
            if ticks < 0 { format!("timespan({quantity})") } else { quantity }
        }
        _ => format!("timespan({})", timespan::format(ticks)),
    }
}

/// Whether a parenthesis after `text` would belong to a comment.
fn ends_in_comment(text: &str) -> bool {
    let last_line = text.rsplit('\n').next().unwrap_or(text);
    last_line.contains("//") && {
        let (tokens, _) = lex(&format!("{text})"));
        !tokens.iter().rev().take(2).any(|token| token.span.start == text.len() && token.span.end > text.len())
    }
}

/// A string in the form that needs the fewest escapes: in quotes, verbatim, or over several lines between fences.
pub(super) fn string(text: &str) -> String {
    if is_passage(text) {
        return format!("```{text}```");
    }
    let count = |wanted: fn(char) -> bool| text.chars().filter(|c| wanted(*c)).count();
    let (double, single) = (count(|c| c == '"'), count(|c| c == '\''));
    let (controls, backslashes) = (count(char::is_control), count(|c| c == '\\'));
    let escaped = [(double + controls + backslashes, false, '"'), (single + controls + backslashes, false, '\'')];
    // Of forms with equally many escapes the first is taken, and a control character is never written as it is.
    let verbatim = [(double, true, '"'), (single, true, '\'')].into_iter().filter(|_| controls == 0);
    let best = escaped.into_iter().chain(verbatim).min_by_key(|(escapes, ..)| *escapes);
    match best {
        Some((_, true, quote)) => {
            let doubled = text.replace(quote, &String::from_iter([quote, quote]));
            format!("@{quote}{doubled}{quote}")
        }
        Some((_, false, quote)) => in_quotes(text, quote),
        None => in_quotes(text, '"'),
    }
}

/// `['a b']`.
pub(super) fn quoted_name(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    format!("[{}]", in_quotes(text, quote))
}

/// Whether `text` is better read line by line than with escapes: it has three lines or more, and fences keep it.
fn is_passage(text: &str) -> bool {
    const LINES_MIN: usize = 3;
    text.lines().filter(|line| !line.trim().is_empty()).count() >= LINES_MIN
        && !text.contains("```")
        && !text.ends_with('`')
        && !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t')
}

fn in_quotes(text: &str, quote: char) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(quote);
    for c in text.chars() {
        match c {
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => {
                if c == quote || c == '\\' {
                    quoted.push('\\');
                }
                quoted.push(c);
            }
        }
    }
    quoted.push(quote);
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_have_the_fewest_escapes() {
        let cases = [
            ("plain", r#""plain""#),
            ("it's", r#""it's""#),
            ("say \"no\"", r#"'say "no"'"#),
            (r"^\d+\.\d+$", r#"@"^\d+\.\d+$""#),
            (r#"\"'"#, r#"@"\""'""#),
            ("a\nb\u{1}", r#""a\nb\u0001""#),
            ("one\ntwo\nthree", "```one\ntwo\nthree```"),
        ];
        for (text, expected) in cases {
            assert_eq!(string(text), expected);
        }
    }

    #[test]
    fn durations_are_quantities_or_clocks() {
        let cases = [
            (0, "0s"),
            (90 * TICKS_PER_MINUTE, "90m"),
            (30_000 * TICKS_PER_DAY, "30000d"),
            (-5 * TICKS_PER_SECOND, "timespan(-5s)"),
            (1, "1tick"),
            (TICKS_PER_DAY + 1, "timespan(1.00:00:00.0000001)"),
        ];
        for (ticks, expected) in cases {
            assert_eq!(duration(ticks), expected);
        }
    }
}
