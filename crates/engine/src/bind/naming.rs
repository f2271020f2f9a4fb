//! The names that KQL gives to expressions without one.

use super::relation::Column;
use kql::tree::{Expr, ExprKind, Literal};

/// Functions whose result keeps the name of their first argument.
const KEEPS_FIRST: &[&str] = &[
    "split",
    "tostring",
    "tohex",
    "todynamic",
    "toobject",
    "tolong",
    "toint",
    "toreal",
    "todouble",
    "todatetime",
    "totime",
    "totimespan",
    "tobool",
    "toboolean",
    "todecimal",
    "toguid",
    "parse_csv",
    "parse_json",
    "parsejson",
    "parse_xml",
    "format_datetime",
    "format_timespan",
    "format_bytes",
    "startofday",
    "bin",
    "floor",
    "bin_at",
    "bin_auto",
    "binary_and",
    "binary_not",
    "binary_or",
    "binary_shift_left",
    "binary_shift_right",
    "binary_xor",
    "bitset_count_ones",
    "series_fill_backward",
    "series_fill_const",
    "series_fill_forward",
    "series_fill_linear",
    "series_fir",
    "series_iir",
    "series_outliers",
    "round",
    "ceiling",
    "pow",
    "sqrt",
    "log",
    "log2",
    "log10",
    "exp",
    "exp2",
    "exp10",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "atan2",
    "abs",
    "rand",
    "gamma",
    "loggamma",
    "erf",
    "erfc",
];

/// Functions whose result is named `prefix_` and the name of their first argument.
const PREFIXED: &[(&str, &str)] = &[
    ("strlen", "strlen"),
    ("string_size", "string_size"),
    ("gettype", "type"),
    ("treepath", "tree"),
    ("repeat", "repeat"),
    ("dcount_hll", "dcount_hll"),
    ("percentile_tdigest", "percentile_tdigest"),
    ("percentiles_array_tdigest", "percentile_tdigest"),
    ("percentile_array_tdigest", "percentile_tdigest"),
];

/// Functions whose result has a name of its own.
const NAMED: &[(&str, &str)] = &[
    ("node_degree_in", "node_degree_in"),
    ("node_degree_out", "node_degree_out"),
    ("ingestion_time", "$IngestionTime"),
    ("hll_merge", "hll_merged_result"),
    ("merge_tdigest", "tdigests_merge_result"),
    ("tdigest_merge", "tdigests_merge_result"),
];

/// The name that an expression over `columns` gives to its column, `None` where it gives none and the place decides.
pub(super) fn implicit_name(expr: &Expr, columns: &[Column]) -> Option<String> {
    match &expr.kind {
        ExprKind::Name(name) => Some(name.clone()),
        ExprKind::Member { base, member } => Some(format!("{}_{}", implicit_name(base, columns)?, member.text)),
        ExprKind::Index { base, index } => match &index.kind {
            ExprKind::Literal(Literal::String(key)) => Some(format!("{}_{key}", implicit_name(base, columns)?)),
            ExprKind::Literal(Literal::Long(Some(n))) => Some(format!("{}_{n}", implicit_name(base, columns)?)),
            _ => None,
        },
        ExprKind::Call { function, arguments } => {
            let first = || arguments.first().and_then(|a| implicit_name(&a.value, columns));
            let name = function.text.as_str();
            if name == "column_ifexists" || name == "columnifexists" {
                return match arguments.first().map(|a| &a.value.kind) {
                    Some(ExprKind::Literal(Literal::String(name))) if columns.iter().any(|c| c.name == *name) => {
                        Some(name.clone())
                    }
                    _ => None,
                };
            }
            if let Some((_, own)) = NAMED.iter().find(|(f, _)| *f == name) {
                return Some((*own).to_owned());
            }
            if let Some((_, prefix)) = PREFIXED.iter().find(|(f, _)| *f == name) {
                return Some(format!("{prefix}_{}", first().unwrap_or_default()));
            }
            KEEPS_FIRST.contains(&name).then(first).flatten()
        }
        _ => None,
    }
}
