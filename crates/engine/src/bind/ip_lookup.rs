//! `evaluate ipv4_lookup` and `ipv6_lookup`: rows joined with the networks that their addresses are in.
//!
//! A network is an address and the length of its prefix. An address is looked up once for each length that networks
//! have, of which there are few, so that the rows are joined by equality.

use super::evaluate::argument;
use super::expression::text;
use super::relation::{Column, Relation, column, null, wrong_type};
use super::{Binder, Names, Result, Scope, Typed, constant, internal};
use crate::functions::dynamic::elements;
use crate::functions::{Kernel, network};
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::{Column as PlanColumn, JoinType, UnnestOptions};
use datafusion::logical_expr::ident;
use datafusion::scalar::ScalarValue;
use kql::tree::{Argument, Evaluate, Expr, ExprKind, Name};
use kql::{Diagnostic, Span, Type};

/// A column that no query can name: the network of a row.
const NETWORK: &str = "$network";

/// What tells the two versions of addresses apart.
struct Version {
    network: &'static Kernel,
    prefix: &'static Kernel,
}

impl<'q> Binder<'q> {
    /// `ipv4_lookup(table, address, network [, keys...] [, return_unmatched])`.
    pub(super) fn ip_lookup(
        &mut self,
        input: Relation,
        evaluate: &'q Evaluate,
        span: Span,
        names: &Names<'q>,
    ) -> Result<Relation> {
        let version = match evaluate.plugin.text.as_str() {
            "ipv4_lookup" => Version { network: &network::IPV4_NETWORK, prefix: &network::IPV4_NETMASK_SUFFIX },
            _ => Version { network: &network::IPV6_NETWORK, prefix: &network::IPV6_PREFIX },
        };
        let given = |place: usize, name: &str| {
            argument(&evaluate.arguments, place, name)
                .ok_or_else(|| Diagnostic::semantic(span, format!("{}() needs {name}", evaluate.plugin.text)))
        };
        let lookup = self.table_expression(given(0, "LookupTable")?, names)?.plain(span)?;
        let keeps_unmatched = self.keeps_unmatched(&evaluate.arguments, names)?;
        if keeps_unmatched {
            // The rows are computed twice, and must come out the same.
            self.needs_single_stream = true;
        }
        let mut rows = input.plain(span)?;
        if keeps_unmatched {
            rows = self.settled(rows, span)?;
        }
        let address = address_column(&rows, given(1, "SourceIPv4Key")?)?;
        let networks = address_column(&lookup, given(2, "IPv4LookupKey")?)?;
        let is_key = |a: &&Argument| a.name.is_none() && matches!(a.value.kind, ExprKind::Name(_));
        let keys: Vec<Name> =
            evaluate.arguments.iter().skip(3).filter(is_key).filter_map(|a| named(&a.value)).collect();
        let lengths = self.prefix_lengths(&lookup, &networks, &version, span)?;

        // The networks, by their own prefix.
        let mut outputs = lookup.outputs();
        outputs
            .push((NETWORK.to_owned(), Typed::new(version.network.call(vec![ident(&networks.field)]), Type::String)));
        let lookup = lookup.project(outputs, span)?;
        let lookup = with_network(lookup, span)?;

        // The rows, once for each length of prefix.
        let columns = rows.columns.clone();
        let list = elements(text(crate::json::array(lengths.iter().map(i64::to_string))), false, usize::MAX);
        let mut outputs = rows.outputs();
        outputs.push((NETWORK.to_owned(), Typed::new(list, Type::Dynamic)));
        let listed = rows.clone().project(outputs, span)?;
        let Some(length) = listed.find(NETWORK).cloned() else { return Ok(listed) };
        let builder = listed
            .builder
            .clone()
            .unnest_columns_with_options(
                vec![PlanColumn::from_name(&length.field)],
                UnnestOptions::new().with_preserve_nulls(false),
            )
            .map_err(|e| internal(span, &e))?;
        let listed = Relation { builder, ..listed };
        let mut outputs: Vec<(String, Typed)> = listed.outputs();
        outputs.retain(|(name, _)| name != NETWORK);
        let length = self.convert(Typed::new(ident(&length.field), Type::Dynamic), Type::Long, span)?;
        let source = listed.columns.iter().find(|c| c.name == address.name).unwrap_or(&address).clone();
        let network = version.network.call(vec![ident(&source.field), length.expr]);
        outputs.push((NETWORK.to_owned(), Typed::new(network, Type::String)));
        let expanded = with_network(listed.project(outputs, span)?, span)?;

        let mut pairs: Vec<(Typed, Typed)> = Vec::new();
        if let (Some(a), Some(b)) = (expanded.find(NETWORK), lookup.find(NETWORK)) {
            pairs.push((column(a), column(b)));
        }
        for key in &keys {
            let (a, b) = (column(expanded.require(key)?), column(lookup.require(key)?));
            let b = self.coerce(b, a.value_type, key.span)?;
            pairs.push((a, b));
        }
        let (width, lookup_columns) = (expanded.columns.len(), lookup.columns.clone());
        let joined = self.join_relations(expanded, lookup, pairs, JoinType::Inner, span)?;
        // The columns of the row, and those of the network; keys are there once.
        let is_shown = |i: usize| match i.checked_sub(width) {
            None => joined.columns[i].name != NETWORK,
            Some(own) => {
                let name = &lookup_columns[own].name;
                name != NETWORK && !keys.iter().any(|key| key.text == *name)
            }
        };
        let shown: Vec<(String, Typed)> =
            joined.outputs().into_iter().enumerate().filter(|(i, _)| is_shown(*i)).map(|(_, o)| o).collect();
        let matched = joined.project(shown, span)?;
        if !keeps_unmatched {
            return Ok(matched);
        }
        // Whether a row has a network depends on its address and its keys alone.
        let told_by = std::iter::once(address.name.as_str()).chain(keys.iter().map(|key| key.text.as_str()));
        let pairs = told_by.filter_map(|name| Some((column(rows.find(name)?), column(matched.find(name)?)))).collect();
        let unmatched = self.join_relations(rows, matched.clone(), pairs, JoinType::LeftAnti, span)?;
        let mut outputs: Vec<(String, Typed)> = Vec::new();
        for c in &matched.columns {
            let own = unmatched.find(&c.name).filter(|_| columns.iter().any(|own| own.name == c.name));
            outputs.push((c.name.clone(), own.map_or_else(|| null(c.column_type), column)));
        }
        let unmatched = unmatched.project(outputs, span)?;
        self.unite(vec![(String::new(), matched), (String::new(), unmatched)], None, true, span)
    }

    /// Whether rows without a network stay: the last argument, by name or as a bare bool.
    fn keeps_unmatched(&mut self, arguments: &'q [Argument], names: &Names<'q>) -> Result<bool> {
        let is_flag = |a: &&Argument| match &a.name {
            Some(name) => name.text == "return_unmatched",
            None => !matches!(a.value.kind, ExprKind::Name(_)),
        };
        let Some(flag) = arguments.iter().skip(3).find(is_flag) else { return Ok(false) };
        let scope = Scope { names: names.clone(), columns: &[] };
        let value = self.condition(&flag.value, "return_unmatched", &scope)?;
        match constant::evaluate(&value).map_err(|e| internal(flag.value.span, &e))? {
            ScalarValue::Boolean(Some(value)) => Ok(value),
            _ => Err(Diagnostic::semantic(flag.value.span, "expected true or false").into()),
        }
    }

    /// The lengths of prefix that the networks have.
    fn prefix_lengths(
        &mut self,
        lookup: &Relation,
        networks: &Column,
        version: &Version,
        span: Span,
    ) -> Result<Vec<i64>> {
        let length = version.prefix.call(vec![ident(&networks.field)]).alias("length");
        let distinct = lookup.clone().aggregate(vec![length], Vec::new(), span)?;
        let distinct = Relation { columns: vec![Column::new("length", Type::Long)], ..distinct };
        let found = self.subquery(distinct, span)?;
        let mut lengths: Vec<i64> = Vec::new();
        for batch in &found.batches {
            lengths.extend(batch.column(0).as_primitive::<Int64Type>().iter().flatten());
        }
        lengths.sort_unstable();
        Ok(lengths)
    }
}

/// The rows that have a network; none is not the same as none.
fn with_network(relation: Relation, span: Span) -> Result<Relation> {
    match relation.find(NETWORK).map(|c| c.field.clone()) {
        Some(field) => relation.filter(ident(field).is_not_null(), span),
        None => Ok(relation),
    }
}

fn named(expr: &Expr) -> Option<Name> {
    match &expr.kind {
        ExprKind::Name(name) => Some(Name { text: name.clone(), span: expr.span }),
        _ => None,
    }
}

/// The column of texts that an argument names.
fn address_column(relation: &Relation, expr: &Expr) -> Result<Column> {
    let Some(name) = named(expr) else {
        return Err(Diagnostic::semantic(expr.span, "expected the name of a column").into());
    };
    let found = relation.require(&name)?;
    match found.column_type {
        Type::String => Ok(found.clone()),
        other => Err(wrong_type(expr.span, "the column of addresses", other, "string")),
    }
}
