//! `evaluate schema_merge(PreserveOrder)`: the columns that several tables have together, of the rows of `getschema`.

use super::evaluate::argument;
use super::expression::text;
use super::relation::{Relation, column, wrong_type};
use super::template::Given;
use super::{Binder, Names, Result, Scope, Typed, constant, internal};
use crate::json;
use datafusion::logical_expr::lit;
use datafusion::scalar::ScalarValue;
use kql::tree::{Evaluate, Name};
use kql::{Diagnostic, Span, Type};

/// A column of several schemas must have the same place in each, unless order does not matter. Where types differ the
/// wider number is taken. What does not fit is shown in the place of the type.
const QUERY: &str = r"
_rows
| serialize _at = row_number()
| summarize _first = min(_at), _low = min(_ordinal), _high = max(_ordinal), _types = make_set(_type) by ColumnName = _name
| extend ColumnType = case(
    _preserve and _low != _high, 'ERROR(columns are out of order)',
    array_length(_types) == 1, tostring(_types[0]),
    array_length(set_difference(_types, dynamic(['int', 'long']))) == 0, 'long',
    array_length(set_difference(_types, dynamic(['int', 'long', 'real']))) == 0, 'real',
    'ERROR(columns have different types)')
| extend _dotnet = tostring(_dotnet_names[ColumnType])
| sort by _high asc, _first asc
| project ColumnName,
    ColumnOrdinal = iff(isempty(_dotnet), toint(-1), toint(row_number() - 1)),
    DataType = iff(isempty(_dotnet), strcat('ERROR(unknown CSL type:', ColumnType, ')'), _dotnet),
    ColumnType
";

const TYPES: [Type; 10] = [
    Type::Bool,
    Type::Int,
    Type::Long,
    Type::Real,
    Type::Decimal,
    Type::String,
    Type::DateTime,
    Type::TimeSpan,
    Type::Guid,
    Type::Dynamic,
];

impl<'q> Binder<'q> {
    pub(super) fn schema_merge(
        &mut self,
        input: Relation,
        evaluate: &'q Evaluate,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let preserves = match argument(&evaluate.arguments, 0, "PreserveOrder") {
            Some(given) => {
                let condition =
                    self.condition(given, "PreserveOrder", &Scope { names: names.clone(), columns: &[] })?;
                let value = constant::evaluate(&condition).map_err(|e| internal(given.span, &e))?;
                let ScalarValue::Boolean(Some(flag)) = value else {
                    return Err(Diagnostic::semantic(given.span, "PreserveOrder is true or false").into());
                };
                flag
            }
            None => true,
        };
        let input = input.plain(span)?;
        let mut known = Vec::new();
        for (name, inner, wanted) in [
            ("ColumnName", "_name", Type::String),
            ("ColumnOrdinal", "_ordinal", Type::Long),
            ("ColumnType", "_type", Type::String),
        ] {
            let found = input.require(&Name { text: name.to_owned(), span: evaluate.plugin.span })?;
            let fits = found.column_type == wanted || (found.column_type.is_integer() && wanted == Type::Long);
            if !fits {
                return Err(wrong_type(evaluate.plugin.span, name, found.column_type, wanted.name()));
            }
            let typed = self.convert(column(found), wanted, span)?;
            known.push((inner.to_owned(), typed));
        }
        let dotnet = json::bag(TYPES.map(|of| (of.name().to_owned(), json::quote(of.dotnet_name()))));
        let given = vec![
            ("_rows", Given::Rows(input.project(known, span)?)),
            ("_preserve", Given::Value(Typed::new(lit(preserves), Type::Bool))),
            ("_dotnet_names", Given::Value(Typed::new(text(dotnet), Type::Dynamic))),
        ];
        self.expand(QUERY, given, span)
    }
}
