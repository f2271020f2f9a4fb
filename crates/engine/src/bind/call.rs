//! Calls of scalar functions: the ones with plain signatures, and those whose type follows their arguments.

use super::comparison::{Comparison, compare};
use super::expression::{long, text};
use super::findings::{Findings, all};
use super::operators::{branch_type, exact};
use super::relation::{null, wrong_type};
use super::tuple::is_array_sort;
use super::window::is_window_function;
use super::{Binder, Meaning, Result, Scope, Typed, constant, internal, unknown};
use crate::functions::signature::{self, Parameter, Signature};
use crate::functions::{Kernel, conversion, datetime, decimal, dynamic, math, regexes, string, time_zones};
use crate::json;
use datafusion::functions::expr_fn::coalesce;
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{Expr as Plan, lit, not};
use datafusion::scalar::ScalarValue;
use kql::tree::{Argument, Expr, ExprKind, Literal, Name};
use kql::{Diagnostic, Span, Type};

/// Functions bound by code in this module.
pub(super) const SPECIAL: &[&str] = &[
    "ago",
    "around",
    "assert",
    "now",
    "not",
    "iff",
    "iif",
    "case",
    "coalesce",
    "isnull",
    "isnotnull",
    "notnull",
    "isempty",
    "isnotempty",
    "notempty",
    "strcat",
    "strcat_delim",
    "bin",
    "floor",
    "bin_at",
    "bin_auto",
    "column_ifexists",
    "columnifexists",
    "estimate_data_size",
    "extent_id",
    "extent_tags",
    "extentid",
    "iscolumnexists",
    "toscalar",
    "pack",
    "bag_pack",
    "pack_dictionary",
    "pack_array",
    "pack_all",
    "bag_pack_columns",
    "column_names_of",
    "extract",
    "extractjson",
    "extract_json",
    "gettype",
    "current_database",
    "current_cluster_endpoint",
    "current_principal",
    "current_principal_details",
    "current_principal_is_member_of",
    "percentile_tdigest",
    "min_of",
    "max_of",
    "tostring",
    "tolong",
    "toint",
    "toreal",
    "todouble",
    "tobool",
    "toboolean",
    "todatetime",
    "totime",
    "totimespan",
    "toguid",
    "todecimal",
    "todynamic",
    "parse_json",
    "parsejson",
    "toobject",
    "ingestion_time",
    "materialize",
];

impl<'q> Binder<'q> {
    pub(super) fn call(
        &mut self,
        function: &'q Name,
        arguments: &'q [Argument],
        span: Span,
        scope: &Scope<'q, '_>,
    ) -> Result<Typed> {
        if self.placeholders.contains(&span)
            && let Some(Meaning::Value(typed)) = scope.names.find(&super::summarize::placeholder(span))
        {
            return Ok(typed.clone());
        }
        if let Some(Meaning::Function { function, scope: defined_in }) = scope.names.find(&function.text).cloned() {
            return self.call_value(function, &defined_in, arguments, scope, span);
        }
        if let Some(value) = self.graph_call(function, arguments, span, scope)? {
            return Ok(value);
        }
        if is_window_function(&function.text) {
            return self.window_call(function, arguments, span, scope);
        }
        if SPECIAL.contains(&function.text.as_str()) {
            return self.special(function, arguments, span, scope);
        }
        if is_array_sort(&function.text) {
            return self.first_of_array_sort(function, arguments, span, scope);
        }
        let result = self.plain_call(function, arguments, span, scope)?;
        self.first_of_tuple(result, function, span)
    }

    /// A call of a function with a plain signature.
    pub(super) fn plain_call(
        &mut self,
        function: &'q Name,
        arguments: &'q [Argument],
        span: Span,
        scope: &Scope<'q, '_>,
    ) -> Result<Typed> {
        if let (Some(to), [only]) = (made(&function.text), arguments) {
            let value = self.expression(&only.value, scope)?;
            return self.convert(value, to, only.value.span);
        }
        let signatures: Vec<&'static Signature> = signature::all().filter(|s| s.name == function.text).collect();
        if signatures.is_empty() {
            return Err(self.no_such_function(function, scope));
        }
        // The values of a digest have the type that they had when it was made, whichever is asked for.
        let arguments = match arguments.split_last() {
            Some((last, rest)) if of_digest(&function.text) && matches!(last.value.kind, ExprKind::TypeOf(_)) => rest,
            _ => arguments,
        };
        let given = self.values(arguments, scope)?;
        let chosen = choose(&signatures, &given).ok_or_else(|| mismatch(function, &signatures, &given, span))?;
        let mut converted = Vec::with_capacity(given.len());
        for (i, typed) in given.into_iter().enumerate() {
            let parameter = chosen.parameters[i.min(chosen.parameters.len() - 1)];
            converted.push(self.argument(typed, parameter, arguments[i].value.span)?);
        }
        self.check_constants(&function.text, &converted, arguments)?;
        // A difference in weeks is a whole number as the others are, but real.
        let in_weeks = function.text == "datetime_diff"
            && constant_text(&converted[0]).is_some_and(|part| part.eq_ignore_ascii_case("week"));
        let result = Typed::new(chosen.kernel.call(converted), chosen.kernel.returns);
        if in_weeks { self.convert(result, Type::Real, span) } else { Ok(result) }
    }

    /// The arguments as they are bound by themselves.
    pub(super) fn values(&mut self, arguments: &'q [Argument], scope: &Scope<'q, '_>) -> Result<Vec<Typed>> {
        all(arguments.iter().map(|argument| self.expression(&argument.value, scope)))
    }

    fn no_such_function(&self, function: &Name, scope: &Scope<'q, '_>) -> super::Stop {
        let name = function.text.as_str();
        if let Some(refused) = super::refused(function) {
            return refused.into();
        }
        if super::summarize::is_aggregate(name) {
            let message = format!("the aggregate '{name}' cannot stand here");
            return Diagnostic::semantic(function.span, message).with_hint("Aggregates stand in 'summarize'.").into();
        }
        let known = signature::all().map(|s| s.name).chain(SPECIAL.iter().copied());
        unknown("function", function, known.chain(scope.names.all())).into()
    }

    fn argument(&mut self, typed: Typed, parameter: Parameter, span: Span) -> Result<Plan> {
        match parameter {
            Parameter::Value | Parameter::Plain => Ok(self.in_json(typed, span)?.expr),
            Parameter::Pattern => {
                if let Plan::Literal(ScalarValue::Utf8View(Some(pattern)), _) = &typed.expr {
                    regexes::compile(pattern).map_err(|problem| Diagnostic::semantic(span, problem))?;
                }
                Ok(typed.expr)
            }
            _ => Ok(self.convert(typed, parameter.target(), span)?.expr),
        }
    }

    /// What can be known to be wrong with constant arguments before any row is read.
    fn check_constants(&self, function: &str, given: &[Plan], arguments: &[Argument]) -> Result<()> {
        let constant = |i: usize| given.get(i).and_then(constant_text);
        let problem = match (function, constant(0), constant(1)) {
            ("format_datetime", _, Some(format)) if !datetime::is_datetime_format(format) => {
                Some((1, "a datetime format"))
            }
            ("format_timespan", _, Some(format)) if !datetime::is_timespan_format(format) => {
                Some((1, "a timespan format"))
            }
            ("datetime_utc_to_local" | "datetime_local_to_utc", _, Some(name)) if time_zones::zone(name).is_none() => {
                Some((1, "a time zone; datetime_list_timezones() names them"))
            }
            ("extract_all", Some(pattern), _) if regexes::group_count(pattern) == Some(0) => {
                Some((0, "a regular expression with a group in parentheses to extract"))
            }
            _ => None,
        };
        match problem {
            Some((i, what)) => {
                let message = format!("'{}' is not {what}", constant(i).unwrap_or(""));
                Err(Diagnostic::semantic(arguments[i].value.span, message).into())
            }
            None => Ok(()),
        }
    }

    fn special(
        &mut self,
        function: &'q Name,
        arguments: &'q [Argument],
        span: Span,
        scope: &Scope<'q, '_>,
    ) -> Result<Typed> {
        let name = function.text.as_str();
        let count = |least: usize, most: usize| -> Result<()> {
            if (least..=most).contains(&arguments.len()) {
                return Ok(());
            }
            let wanted = match most {
                usize::MAX => format!("at least {least}"),
                _ if least == most => least.to_string(),
                _ => format!("{least} to {most}"),
            };
            let message = format!("{name}() takes {wanted} arguments, not {}", arguments.len());
            Err(Diagnostic::semantic(span, message).into())
        };
        match name {
            "around" => {
                count(3, 3)?;
                self.is_around([&arguments[0].value, &arguments[1].value, &arguments[2].value], scope)
            }
            "assert" => {
                count(2, 2)?;
                self.assert([&arguments[0].value, &arguments[1].value], span, scope)
            }
            "toscalar" => {
                count(1, 1)?;
                self.toscalar(&arguments[0].value, scope)
            }
            "ago" | "now" => {
                count(usize::from(name == "ago"), 1)?;
                let base = Typed::new(long(self.now_ticks), Type::DateTime);
                let Some(argument) = arguments.first() else { return Ok(base) };
                let offset = self.expression(&argument.value, scope)?;
                if offset.value_type != Type::TimeSpan {
                    return Err(wrong_type(argument.value.span, "the offset", offset.value_type, "timespan"));
                }
                let shifted = if name == "ago" { base.expr - offset.expr } else { base.expr + offset.expr };
                // Folded here, so that files can be pruned by it.
                let value = constant::evaluate(&shifted).map_or(shifted, lit);
                Ok(Typed::new(value, Type::DateTime))
            }
            "not" => {
                count(1, 1)?;
                let condition = self.condition(&arguments[0].value, "the argument of not()", scope)?;
                Ok(Typed::new(not(condition), Type::Bool))
            }
            "iff" | "iif" => {
                count(3, 3)?;
                self.case(arguments, span, scope)
            }
            "case" => {
                count(3, usize::MAX)?;
                if arguments.len().is_multiple_of(2) {
                    return Err(
                        Diagnostic::semantic(span, "case() needs a last argument for when nothing holds").into()
                    );
                }
                self.case(arguments, span, scope)
            }
            "coalesce" => {
                count(1, usize::MAX)?;
                self.coalesce(arguments, span, scope)
            }
            "isnull" | "isnotnull" | "notnull" => {
                count(1, 1)?;
                let typed = self.expression(&arguments[0].value, scope)?;
                let test = if typed.value_type == Type::String { lit(false) } else { typed.expr.is_null() };
                Ok(Typed::new(if name == "isnull" { test } else { not(test) }, Type::Bool))
            }
            "isempty" | "isnotempty" | "notempty" => {
                count(1, 1)?;
                let typed = self.expression(&arguments[0].value, scope)?;
                let test = match typed.value_type {
                    Type::String => compare(Comparison::Equal, typed.expr, text(""), Type::String),
                    Type::Dynamic => {
                        let printed = conversion::DYNAMIC_TO_STRING.call(vec![typed.expr]);
                        compare(Comparison::Equal, printed, text(""), Type::String)
                    }
                    _ => typed.expr.is_null(),
                };
                Ok(Typed::new(if name == "isempty" { test } else { not(test) }, Type::Bool))
            }
            "strcat" | "strcat_delim" => {
                count(1, usize::MAX)?;
                let parts = all(arguments.iter().map(|argument| {
                    let typed = self.expression(&argument.value, scope)?;
                    Ok(self.convert(typed, Type::String, argument.value.span)?.expr)
                }))?;
                let kernel = if name == "strcat" { &string::STRCAT } else { &string::STRCAT_DELIM };
                Ok(Typed::new(kernel.call(parts), Type::String))
            }
            "bin" | "floor" => {
                count(2, 2)?;
                self.bin(arguments, span, scope)
            }
            "bin_at" => {
                count(3, 3)?;
                self.bin(arguments, span, scope)
            }
            "bin_auto" => {
                count(1, 1)?;
                self.bin_auto(&arguments[0], span, scope)
            }
            "column_ifexists" | "columnifexists" => {
                count(2, 2)?;
                let wanted = self.constant_text(&arguments[0].value, "the column name", scope)?;
                match scope.columns.iter().find(|c| c.name == wanted) {
                    Some(found) => Ok(super::relation::column(found)),
                    None => self.expression(&arguments[1].value, scope),
                }
            }
            "pack_array" => {
                let mut items = Vec::new();
                for argument in arguments {
                    if matches!(argument.value.kind, ExprKind::Star) {
                        for column in scope.columns {
                            items.push(self.in_json(super::relation::column(column), span)?.expr);
                        }
                        continue;
                    }
                    let typed = self.expression(&argument.value, scope)?;
                    items.push(self.in_json(typed, argument.value.span)?.expr);
                }
                Ok(Typed::new(dynamic::PACK_ARRAY.call(items), Type::Dynamic))
            }
            "pack" | "bag_pack" | "pack_dictionary" => {
                if !arguments.len().is_multiple_of(2) {
                    let message = format!("{name}() takes keys and values in turn, the last value is missing");
                    return Err(Diagnostic::semantic(span, message).into());
                }
                let mut items = Vec::new();
                for (i, argument) in arguments.iter().enumerate() {
                    let typed = self.expression(&argument.value, scope)?;
                    let span = argument.value.span;
                    items.push(if i % 2 == 0 {
                        self.convert(typed, Type::String, span)?.expr
                    } else {
                        self.in_json(typed, span)?.expr
                    });
                }
                Ok(Typed::new(dynamic::BAG_PACK.call(items), Type::Dynamic))
            }
            "pack_all" => {
                count(0, 1)?;
                let ignores_empty = match arguments.first().map(|a| (&a.value.kind, a.value.span)) {
                    None => false,
                    Some((ExprKind::Literal(Literal::Bool(Some(flag))), _)) => *flag,
                    Some((_, at)) => return Err(Diagnostic::semantic(at, "expected true or false").into()),
                };
                let mut items = Vec::new();
                for column in scope.columns {
                    items.push(text(&column.name));
                    items.push(self.in_json(super::relation::column(column), span)?.expr);
                }
                let kernel = if ignores_empty { &dynamic::BAG_PACK_NONEMPTY } else { &dynamic::BAG_PACK };
                Ok(Typed::new(kernel.call(items), Type::Dynamic))
            }
            "bag_pack_columns" => {
                let mut items = Vec::new();
                for argument in arguments {
                    let ExprKind::Name(name) = &argument.value.kind else {
                        return Err(Diagnostic::semantic(argument.value.span, "expected the name of a column").into());
                    };
                    let typed = self.expression(&argument.value, scope)?;
                    items.push(text(name));
                    items.push(self.in_json(typed, argument.value.span)?.expr);
                }
                Ok(Typed::new(dynamic::BAG_PACK.call(items), Type::Dynamic))
            }
            "column_names_of" => {
                count(1, 1)?;
                let relation = self.table_expression(&arguments[0].value, &scope.names)?;
                let names = relation.columns.iter().map(|c| json::quote(&c.name));
                Ok(Typed::new(text(json::array(names)), Type::Dynamic))
            }
            "extract" => {
                count(3, 4)?;
                self.extract(arguments, scope)
            }
            "extractjson" | "extract_json" => {
                count(2, 3)?;
                self.extractjson(arguments, span, scope)
            }
            "gettype" => {
                count(1, 1)?;
                let typed = self.expression(&arguments[0].value, scope)?;
                Ok(match typed.value_type {
                    Type::Dynamic => Typed::new(dynamic::GETTYPE.call(vec![typed.expr]), Type::String),
                    other => Typed::new(text(other.name()), Type::String),
                })
            }
            "current_database" => {
                count(0, 0)?;
                Ok(Typed::new(text(self.database), Type::String))
            }
            "current_cluster_endpoint" => {
                count(0, 0)?;
                Ok(Typed::new(text(&self.caller.endpoint), Type::String))
            }
            "current_principal" => {
                count(0, 0)?;
                Ok(Typed::new(text(&self.caller.principal), Type::String))
            }
            "current_principal_details" => {
                count(0, 0)?;
                Ok(self.principal_details())
            }
            "extent_id" | "extentid" | "extent_tags" => {
                count(0, 0)?;
                Ok(self.of_no_extent(name))
            }
            "estimate_data_size" => {
                count(1, usize::MAX)?;
                self.data_size(arguments, scope)
            }
            "iscolumnexists" => {
                count(1, 1)?;
                self.is_column(&arguments[0], scope)
            }
            "current_principal_is_member_of" => {
                count(1, usize::MAX)?;
                // There are no groups: who asks is a member of itself.
                let mut is_member = lit(false);
                for argument in arguments {
                    let typed = self.expression(&argument.value, scope)?;
                    let named = match typed.value_type {
                        Type::Dynamic => super::operators::dynamic_items(&typed, argument.value.span)?,
                        _ => vec![typed],
                    };
                    for name in named {
                        let name = self.convert(name, Type::String, argument.value.span)?.expr;
                        is_member = is_member.or(name.eq(text(&self.caller.principal)));
                    }
                }
                Ok(Typed::new(is_member, Type::Bool))
            }
            "percentile_tdigest" => self.percentile_tdigest(arguments, span, scope),
            "min_of" | "max_of" => {
                count(2, usize::MAX)?;
                self.extreme(name == "min_of", arguments, span, scope)
            }
            "ingestion_time" => {
                count(0, 0)?;
                match scope.columns.iter().find(|c| c.name == "TimeGenerated" && c.column_type == Type::DateTime) {
                    Some(column) => Ok(super::relation::column(column)),
                    None => Ok(null(Type::DateTime)),
                }
            }
            "materialize" => Err(Diagnostic::semantic(span, "materialize() takes rows and gives rows").into()),
            _ => {
                count(1, 1)?;
                let to = match name {
                    "tostring" => Type::String,
                    "tolong" => Type::Long,
                    "toint" => Type::Int,
                    "toreal" | "todouble" => Type::Real,
                    "tobool" | "toboolean" => Type::Bool,
                    "todatetime" => Type::DateTime,
                    "totime" | "totimespan" => Type::TimeSpan,
                    "toguid" => Type::Guid,
                    "todecimal" => Type::Decimal,
                    _ => Type::Dynamic,
                };
                let argument = &arguments[0].value;
                let typed = self.expression(argument, scope)?;
                self.convert(typed, to, argument.span)
            }
        }
    }

    /// `assert(condition, message)`: true, or the end of the query with that message.
    fn assert(&mut self, [condition, message]: [&'q Expr; 2], span: Span, scope: &Scope<'q, '_>) -> Result<Typed> {
        let message = self.constant_text(message, "the message", scope)?;
        let bound = self.condition(condition, "the condition", scope)?;
        match constant::evaluate(&bound) {
            Ok(ScalarValue::Boolean(Some(true))) => Ok(Typed::new(lit(true), Type::Bool)),
            Ok(_) => Err(Diagnostic::semantic(span, format!("assert() has failed with message: '{message}'")).into()),
            Err(_) => {
                let diagnostic = Diagnostic::semantic(condition.span, "the condition of assert() must be constant");
                Err(diagnostic.with_hint("It is judged once, before any row is read.").into())
            }
        }
    }

    fn toscalar(&mut self, expr: &'q Expr, scope: &Scope<'q, '_>) -> Result<Typed> {
        if !self.is_tabular_expression(expr, &scope.names) {
            return self.expression(expr, &Scope { names: scope.names.clone(), columns: &[] });
        }
        let relation = self.table_expression(expr, &scope.names)?.limit(1, expr.span)?;
        let result = self.subquery(relation, expr.span)?;
        let Some(column) = result.columns.first() else {
            return Err(Diagnostic::semantic(expr.span, "these rows have no columns").into());
        };
        let row = result.batches.iter().find(|b| b.num_rows() > 0);
        let value = match row.map(|batch| ScalarValue::try_from_array(batch.column(0), 0)) {
            Some(value) => Typed::new(lit(value.map_err(|e| internal(expr.span, &e))?), column.column_type),
            None => null(column.column_type),
        };
        Ok(value)
    }

    /// `iff` and `case`: conditions and values in turn, the last value for when none holds. All values must be
    /// of one type; int widens to long.
    fn case(&mut self, arguments: &'q [Argument], span: Span, scope: &Scope<'q, '_>) -> Result<Typed> {
        let mut conditions = Vec::new();
        let mut values: Vec<(Typed, Span)> = Vec::new();
        let mut findings = Findings::default();
        for (i, argument) in arguments.iter().enumerate() {
            if i % 2 == 0 && i + 1 < arguments.len() {
                let condition = self.condition(&argument.value, "the condition", scope);
                conditions.extend(findings.note(condition)?);
            } else {
                let value = self.expression(&argument.value, scope);
                values.extend(findings.note(value)?.map(|value| (value, argument.value.span)));
            }
        }
        findings.end(())?;
        let common = self.common_type(&values, span)?;
        let mut branches = Vec::new();
        for (typed, span) in values {
            let converted =
                if common == Type::Dynamic { self.in_json(typed, span)? } else { self.convert(typed, common, span)? };
            branches.push(exact(converted.expr, common));
        }
        let otherwise = branches.pop().map(Box::new);
        let pairs = conditions.into_iter().zip(branches).map(|(c, b)| (Box::new(c), Box::new(b))).collect();
        Ok(Typed::new(Plan::Case(Case::new(None, pairs, otherwise)), common))
    }

    fn common_type(&self, values: &[(Typed, Span)], span: Span) -> Result<Type> {
        let mut types = values.iter().map(|(typed, _)| typed.value_type);
        let first = types.next().unwrap_or(Type::String);
        types.try_fold(first, branch_type).ok_or_else(|| {
            let names: Vec<&str> = values.iter().map(|(typed, _)| typed.value_type.name()).collect();
            let diagnostic =
                Diagnostic::semantic(span, format!("the values have different types: {}", names.join(", ")));
            diagnostic.with_hint("Convert them to one, with tostring(...) or toreal(...).").into()
        })
    }

    /// The first value that is not null, for strings the first that is not empty.
    fn coalesce(&mut self, arguments: &'q [Argument], span: Span, scope: &Scope<'q, '_>) -> Result<Typed> {
        let given = self.values(arguments, scope)?;
        let values: Vec<_> = given.into_iter().zip(arguments.iter().map(|argument| argument.value.span)).collect();
        let mut common = values[0].0.value_type;
        for (typed, _) in &values {
            common = super::operators::comparable_type(common, typed.value_type)
                .or_else(|| branch_type(common, typed.value_type))
                .ok_or_else(|| {
                    let message = format!("coalesce() cannot choose between {common} and {}", typed.value_type);
                    Diagnostic::semantic(span, message)
                })?;
        }
        if values.iter().any(|(typed, _)| typed.value_type == Type::Dynamic) {
            common = if values.iter().all(|(t, _)| t.value_type == Type::Dynamic) { Type::Dynamic } else { common };
        }
        let mut parts = Vec::new();
        for (typed, span) in values {
            let expr = exact(self.convert(typed, common, span)?.expr, common);
            parts.push(if common == Type::String {
                datafusion::functions::expr_fn::nullif(expr, text(""))
            } else {
                expr
            });
        }
        if common == Type::String {
            parts.push(text(""));
        }
        Ok(Typed::new(coalesce(parts), common))
    }

    /// `bin(value, step)` and `bin_at(value, step, anchor)`.
    fn bin(&mut self, arguments: &'q [Argument], span: Span, scope: &Scope<'q, '_>) -> Result<Typed> {
        let given = self.values(arguments, scope)?;
        self.binned(given, span)
    }

    /// `bin_auto(value)`: bins of the size, and from the place, that the request's options say.
    fn bin_auto(&mut self, value: &'q Argument, span: Span, scope: &Scope<'q, '_>) -> Result<Typed> {
        const SIZE: &str = "query_bin_auto_size";
        const AT: &str = "query_bin_auto_at";
        let constants = Scope { names: scope.names.clone(), columns: &[] };
        let Some(size) = self.options.get(SIZE).copied() else {
            let diagnostic = Diagnostic::semantic(span, "bin_auto() needs to know the size of a bin");
            return Err(diagnostic.with_hint(format!("Say it before the query: set {SIZE}=1h;")).into());
        };
        let mut given = vec![self.expression(&value.value, scope)?, self.expression(size, &constants)?];
        if let Some(at) = self.options.get(AT).copied() {
            given.push(self.expression(at, &constants)?);
        }
        self.binned(given, span)
    }

    /// A value, the size of a bin, and where one begins.
    fn binned(&mut self, given: Vec<Typed>, span: Span) -> Result<Typed> {
        for typed in &given {
            if typed.value_type == Type::Dynamic {
                let message = "a dynamic value cannot be binned";
                return Err(Diagnostic::semantic(span, message)
                    .with_hint("Convert it first, with todatetime(...) or tolong(...).")
                    .into());
            }
        }
        let (value, step) = (given[0].value_type, given[1].value_type);
        let at = given.len() == 3;
        let (kernel, types): (&'static Kernel, [Type; 3]) = match (value, step) {
            (Type::DateTime, Type::TimeSpan) => (
                if at { &datetime::BIN_AT_DATETIME } else { &datetime::BIN_DATETIME },
                [Type::DateTime, Type::TimeSpan, Type::DateTime],
            ),
            (Type::TimeSpan, Type::TimeSpan) => {
                (if at { &datetime::BIN_AT_TIMESPAN } else { &datetime::BIN_TIMESPAN }, [Type::TimeSpan; 3])
            }
            (a, b) if a.is_integer() && b.is_integer() => {
                (if at { &datetime::BIN_AT_LONG } else { &datetime::BIN_LONG }, [Type::Long; 3])
            }
            (Type::Decimal, b) if !at && b.is_numeric() => (&decimal::BIN, [Type::Decimal; 3]),
            (a, b) if a.is_numeric() && b.is_numeric() => {
                (if at { &datetime::BIN_AT_REAL } else { &datetime::BIN_REAL }, [Type::Real; 3])
            }
            _ => {
                let message = format!("values of type {value} cannot be binned by a step of type {step}");
                return Err(Diagnostic::semantic(span, message).into());
            }
        };
        let mut converted = Vec::new();
        for (typed, to) in given.into_iter().zip(types) {
            converted.push(self.convert(typed, to, span)?.expr);
        }
        Ok(Typed::new(kernel.call(converted), kernel.returns))
    }

    fn extract(&mut self, arguments: &'q [Argument], scope: &Scope<'q, '_>) -> Result<Typed> {
        let pattern = self.expression(&arguments[0].value, scope)?;
        if pattern.value_type != Type::String {
            return Err(wrong_type(arguments[0].value.span, "the pattern", pattern.value_type, "string"));
        }
        let pattern = self.argument(pattern, Parameter::Pattern, arguments[0].value.span)?;
        let group = self.expression(&arguments[1].value, scope)?;
        let group = self.coerce(group, Type::Long, arguments[1].value.span)?;
        let source = self.expression(&arguments[2].value, scope)?;
        let source = self.convert(source, Type::String, arguments[2].value.span)?;
        let found = Typed::new(regexes::EXTRACT.call(vec![pattern, group.expr, source.expr]), Type::String);
        self.typed_as(found, arguments.get(3))
    }

    fn extractjson(&mut self, arguments: &'q [Argument], span: Span, scope: &Scope<'q, '_>) -> Result<Typed> {
        let path = self.expression(&arguments[0].value, scope)?;
        let path = self.coerce(path, Type::String, arguments[0].value.span)?;
        let source = self.expression(&arguments[1].value, scope)?;
        if !matches!(source.value_type, Type::String | Type::Dynamic) {
            return Err(wrong_type(arguments[1].value.span, "the document", source.value_type, "string or dynamic"));
        }
        let found = Typed::new(dynamic::EXTRACTJSON.call(vec![path.expr, source.expr]), Type::Dynamic);
        match arguments.get(2) {
            Some(_) => self.typed_as(found, arguments.get(2)),
            None => self.convert(found, Type::String, span),
        }
    }

    /// Converts to the type of a `typeof(...)` argument, when there is one.
    pub(super) fn typed_as(&mut self, typed: Typed, argument: Option<&'q Argument>) -> Result<Typed> {
        match argument.map(|a| (&a.value.kind, a.value.span)) {
            None => Ok(typed),
            Some((ExprKind::TypeOf(to), span)) => self.convert(typed, *to, span),
            Some((_, span)) => Err(Diagnostic::semantic(span, "expected typeof(...)").into()),
        }
    }

    fn extreme(&mut self, least: bool, arguments: &'q [Argument], span: Span, scope: &Scope<'q, '_>) -> Result<Typed> {
        let given = self.values(arguments, scope)?;
        let mut common = given[0].value_type;
        for typed in &given {
            common = super::operators::comparable_type(common, typed.value_type).ok_or_else(|| {
                Diagnostic::semantic(span, format!("{common} and {} have no order together", typed.value_type))
            })?;
        }
        let kernel: &'static Kernel = match (common, least) {
            (Type::Int | Type::Long, true) => &math::MIN_OF_LONG,
            (Type::Int | Type::Long, false) => &math::MAX_OF_LONG,
            (Type::Real, true) => &math::MIN_OF_REAL,
            (Type::Real, false) => &math::MAX_OF_REAL,
            (Type::DateTime, true) => &math::MIN_OF_DATETIME,
            (Type::DateTime, false) => &math::MAX_OF_DATETIME,
            (Type::TimeSpan, true) => &math::MIN_OF_TIMESPAN,
            (Type::TimeSpan, false) => &math::MAX_OF_TIMESPAN,
            (Type::String, true) => &math::MIN_OF_STRING,
            (Type::String, false) => &math::MAX_OF_STRING,
            (other, _) => return Err(wrong_type(span, "this", other, "a type with an order")),
        };
        let mut converted = Vec::new();
        for typed in given {
            converted.push(self.convert(typed, kernel.returns, span)?.expr);
        }
        let result = Typed::new(kernel.call(converted), kernel.returns);
        if common == Type::Int { self.convert(result, Type::Int, span) } else { Ok(result) }
    }
}

/// What is made of a single value by a function that otherwise makes it of parts.
fn made(function: &str) -> Option<Type> {
    match function {
        "make_datetime" => Some(Type::DateTime),
        "make_timespan" => Some(Type::TimeSpan),
        _ => None,
    }
}

/// Whether a function gives several values of a digest, whose type may be said last.
fn of_digest(function: &str) -> bool {
    matches!(function, "percentiles_array_tdigest" | "percentile_array_tdigest")
}

/// The text of a constant string.
fn constant_text(expr: &Plan) -> Option<&str> {
    match expr {
        Plan::Literal(ScalarValue::Utf8View(Some(text)), _) => Some(text),
        _ => None,
    }
}

/// The signature that fits the arguments with the least conversion.
fn choose(signatures: &[&'static Signature], given: &[Typed]) -> Option<&'static Signature> {
    let cost = |signature: &Signature| -> Option<u32> {
        let most = if signature.repeats { usize::MAX } else { signature.parameters.len() };
        if given.len() < signature.required || given.len() > most {
            return None;
        }
        let parameter = |i: usize| signature.parameters[i.min(signature.parameters.len() - 1)];
        given.iter().enumerate().map(|(i, typed)| parameter(i).cost(typed.value_type)).sum()
    };
    signatures.iter().filter_map(|s| cost(s).map(|c| (c, *s))).min_by_key(|(c, _)| *c).map(|(_, s)| s)
}

fn mismatch(function: &Name, signatures: &[&'static Signature], given: &[Typed], span: Span) -> super::Stop {
    let forms: Vec<String> = signatures
        .iter()
        .map(|s| {
            let parameters: Vec<&str> = s.parameters.iter().map(|p| p.describe()).collect();
            format!("{}({}{})", s.name, parameters.join(", "), if s.repeats { ", …" } else { "" })
        })
        .collect();
    let types: Vec<&str> = given.iter().map(|t| t.value_type.name()).collect();
    let message = format!("{}() does not take ({})", function.text, types.join(", "));
    Diagnostic::semantic(span, message).with_hint(format!("It is called as {}.", forms.join(" or "))).into()
}
