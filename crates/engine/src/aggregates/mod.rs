//! KQL's own aggregates as DataFusion aggregates; `count`, `sum`, `min`, `max` and `avg` are DataFusion's.
//!
//! Each aggregate is written once, over many groups ([`Groups`]). The form for a single group and the form in
//! which rows pass an aggregation untouched are derived from it.

mod any_row;
mod arg_extreme;
mod best_rows;
mod collect;
mod distinct;
mod exact_distinct;
mod percentile;
mod sketches;

pub(crate) use best_rows::BestKeys;
pub(crate) use exact_distinct::can_count;

use crate::sketch::digest::Digest;
use crate::sketch::distinct::Distinct;
use crate::sketch::schema::Schema;
use datafusion::arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, Expr, GroupsAccumulator, Signature, SortExpr, Volatility,
};
use datafusion::scalar::ScalarValue;
use std::sync::Arc;

/// Which aggregate. Parameters that are constants of the query are part of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The row with the largest first argument; a struct of all arguments.
    ArgMax,
    /// The row with the smallest first argument.
    ArgMin,
    /// Some row; a struct of all arguments.
    AnyRow,
    /// The number of distinct values, exact up to [`distinct::EXACT_MAX`], estimated beyond.
    Distinct,
    /// The number of distinct values, exact however many they are; of types that [`can_count`] names.
    ExactDistinct,
    /// The values, JSON texts, as an array of at most so many elements.
    List {
        limit: usize,
    },
    /// The distinct values, in order of first appearance.
    Set {
        limit: usize,
    },
    /// Nearest-rank percentiles, given as the bits of floats; a struct with one field each.
    Percentiles(Vec<u64>),
    /// The same of values, the first argument, with weights, the second, a long.
    WeightedPercentiles(Vec<u64>),
    /// The sketch of values whose hashes, longs, are given; of an accuracy from 0 to 4.
    DistinctSketch {
        accuracy: i64,
    },
    /// The t-digest of values of a type, the first argument; the second, if there is one, are their weights.
    Digest {
        of: kql::Type,
    },
    /// What these values, JSON texts, have for a schema.
    Schema,
    /// Sketches and digests merged.
    MergeDistinct,
    MergeDigests,
}

impl Kind {
    fn takes_dictionaries(&self) -> bool {
        matches!(self, Kind::ArgMax | Kind::ArgMin | Kind::Distinct | Kind::ExactDistinct)
    }
}

/// The state of one aggregate over many groups.
trait Groups: Send + Sync {
    /// Makes room for `groups` groups; new ones are empty.
    fn resize(&mut self, groups: usize);
    /// Takes in rows: `values` are the arguments, `group[i]` the group of row `i`, `rows` the rows that count.
    fn update(&mut self, values: &[ArrayRef], group: &[usize], rows: &dyn Fn(usize) -> bool) -> Result<()>;
    /// Takes in states of other partitions.
    fn merge(&mut self, states: &[ArrayRef], group: &[usize]) -> Result<()>;
    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef>;
    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>>;
    /// Memory held, in bytes.
    fn size(&self) -> usize;
}

/// A call of `kind`, over the rows for which `filter` is true, in the order of `order` where that matters.
pub fn call(kind: Kind, arguments: Vec<Expr>, filter: Option<Expr>, order: Vec<SortExpr>) -> Expr {
    let name = match &kind {
        Kind::ArgMax => "kql_arg_max",
        Kind::ArgMin => "kql_arg_min",
        Kind::AnyRow => "kql_take_any",
        Kind::Distinct => "kql_dcount",
        Kind::ExactDistinct => "kql_count_distinct",
        Kind::List { .. } => "kql_make_list",
        Kind::Set { .. } => "kql_make_set",
        Kind::Percentiles(_) => "kql_percentiles",
        Kind::WeightedPercentiles(_) => "kql_weighted_percentiles",
        Kind::DistinctSketch { .. } => "kql_hll",
        Kind::Digest { .. } => "kql_tdigest",
        Kind::Schema => "kql_buildschema",
        Kind::MergeDistinct => "kql_hll_merge",
        Kind::MergeDigests => "kql_tdigest_merge",
    };
    let signature = Signature::user_defined(Volatility::Immutable);
    let udaf = AggregateUDF::from(KqlAggregate { name, kind, signature });
    Expr::AggregateFunction(AggregateFunction::new_udf(
        Arc::new(udaf),
        arguments,
        false,
        filter.map(Box::new),
        order,
        None,
    ))
}

/// Whether an aggregate takes dictionaries for the arrays of their values.
pub(crate) fn takes_dictionaries(aggregate: &AggregateUDF) -> bool {
    aggregate.inner().downcast_ref::<KqlAggregate>().is_some_and(|a| a.kind.takes_dictionaries())
}

/// Whether an aggregate gives for each group the row with the largest (`true`) or smallest (`false`) first argument.
pub(crate) fn wants_largest(aggregate: &AggregateUDF) -> Option<bool> {
    match aggregate.inner().downcast_ref::<KqlAggregate>()?.kind {
        Kind::ArgMax => Some(true),
        Kind::ArgMin => Some(false),
        _ => None,
    }
}

/// The name of field `i` of an aggregate that gives several columns.
pub fn field_name(i: usize) -> String {
    format!("f{i}")
}

fn reals(bits: &[u64]) -> Vec<f64> {
    bits.iter().map(|b| f64::from_bits(*b)).collect()
}

fn struct_fields<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Fields {
    types.into_iter().enumerate().map(|(i, t)| Field::new(field_name(i), t.clone(), true)).collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct KqlAggregate {
    name: &'static str,
    kind: Kind,
    signature: Signature,
}

impl KqlAggregate {
    fn groups(&self, arguments: &[FieldRef]) -> Result<Box<dyn Groups>> {
        let types: Vec<DataType> = arguments.iter().map(|f| f.data_type().clone()).collect();
        Ok(match &self.kind {
            Kind::ArgMax => Box::new(arg_extreme::ArgExtreme::new(&types, true)?),
            Kind::ArgMin => Box::new(arg_extreme::ArgExtreme::new(&types, false)?),
            Kind::AnyRow => Box::new(any_row::AnyRow::new(&types)?),
            Kind::Distinct => Box::new(distinct::Distinct::default()),
            Kind::ExactDistinct => Box::new(exact_distinct::ExactDistinct::new(&types[0])),
            Kind::List { limit } => Box::new(collect::Collect::new(false, *limit)),
            Kind::Set { limit } => Box::new(collect::Collect::new(true, *limit)),
            Kind::Percentiles(bits) => Box::new(percentile::Percentiles::new(reals(bits), &types[0])),
            Kind::WeightedPercentiles(bits) => Box::new(percentile::WeightedPercentiles::new(reals(bits), &types[0])),
            Kind::DistinctSketch { accuracy } => {
                let message = || DataFusionError::Plan(format!("there is no accuracy {accuracy}"));
                let empty = Distinct::with_accuracy(*accuracy).ok_or_else(message)?;
                Box::new(sketches::Sketches::new(sketches::Hashes { empty, found: None }, false))
            }
            Kind::MergeDistinct => {
                let empty = Distinct::default();
                Box::new(sketches::Sketches::new(sketches::Hashes { empty, found: None }, true))
            }
            Kind::Digest { of } => Box::new(sketches::Sketches::new(Digest::new(*of), false)),
            Kind::MergeDigests => Box::new(sketches::Sketches::new(Digest::new(kql::Type::Long), true)),
            Kind::Schema => Box::new(sketches::Sketches::new(Schema::default(), false)),
        })
    }

    fn state_types(&self, arguments: &[DataType]) -> Vec<DataType> {
        let list = |of| DataType::List(Arc::new(Field::new_list_field(of, true)));
        match &self.kind {
            Kind::ArgMax | Kind::ArgMin | Kind::AnyRow => arguments.to_vec(),
            Kind::Distinct => vec![DataType::Binary],
            Kind::ExactDistinct => vec![list(arguments[0].clone())],
            Kind::List { .. } | Kind::Set { .. } => vec![list(DataType::Utf8View)],
            Kind::Percentiles(_) => vec![list(DataType::Int64)],
            Kind::WeightedPercentiles(_) => vec![list(DataType::Int64), list(DataType::Int64)],
            Kind::DistinctSketch { .. }
            | Kind::MergeDistinct
            | Kind::Digest { .. }
            | Kind::MergeDigests
            | Kind::Schema => vec![DataType::Utf8View],
        }
    }
}

impl AggregateUDFImpl for KqlAggregate {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(match &self.kind {
            Kind::ArgMax | Kind::ArgMin | Kind::AnyRow => DataType::Struct(struct_fields(arg_types)),
            Kind::Distinct | Kind::ExactDistinct => DataType::Int64,
            Kind::List { .. }
            | Kind::Set { .. }
            | Kind::DistinctSketch { .. }
            | Kind::MergeDistinct
            | Kind::Digest { .. }
            | Kind::MergeDigests
            | Kind::Schema => DataType::Utf8View,
            Kind::Percentiles(bits) | Kind::WeightedPercentiles(bits) => {
                DataType::Struct(struct_fields(bits.iter().map(|_| &arg_types[0])))
            }
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let inputs: Vec<DataType> = args.input_fields.iter().map(|f| f.data_type().clone()).collect();
        let types = self.state_types(&inputs).into_iter().enumerate();
        Ok(types.map(|(i, t)| Arc::new(Field::new(format_state_name(args.name, &format!("s{i}")), t, true))).collect())
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        match self.kind {
            Kind::List { .. } => AggregateOrderSensitivity::HardRequirement,
            _ => AggregateOrderSensitivity::Insensitive,
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let mut groups = self.groups(args.expr_fields)?;
        groups.resize(1);
        Ok(Box::new(SingleGroup { groups }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let fields = args.expr_fields.to_vec();
        let kind = KqlAggregate { name: self.name, kind: self.kind.clone(), signature: self.signature.clone() };
        Ok(Box::new(ManyGroups { groups: self.groups(&fields)?, fresh: Box::new(move || kind.groups(&fields)) }))
    }
}

struct ManyGroups {
    groups: Box<dyn Groups>,
    fresh: Box<dyn Fn() -> Result<Box<dyn Groups>> + Send + Sync>,
}

fn counts(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|f| f.is_valid(row) && f.value(row))
}

impl GroupsAccumulator for ManyGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize(total_num_groups);
        self.groups.update(values, group_indices, &|row| counts(opt_filter, row))
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups.resize(total_num_groups);
        self.groups.merge(values, group_indices)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.groups.evaluate(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.groups.state(emit_to)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, Array::len);
        let each: Vec<usize> = (0..rows).collect();
        let mut groups = (self.fresh)()?;
        groups.resize(rows);
        groups.update(values, &each, &|row| counts(opt_filter, row))?;
        groups.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.groups.size()
    }
}

struct SingleGroup {
    groups: Box<dyn Groups>,
}

impl std::fmt::Debug for SingleGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SingleGroup")
    }
}

impl Accumulator for SingleGroup {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let group = vec![0; values.first().map_or(0, Array::len)];
        self.groups.update(values, &group, &|_| true)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let group = vec![0; states.first().map_or(0, Array::len)];
        self.groups.merge(states, &group)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.groups.evaluate(EmitTo::First(1))?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.groups.state(EmitTo::First(1))?.iter().map(|s| ScalarValue::try_from_array(s, 0)).collect()
    }

    fn size(&self) -> usize {
        self.groups.size()
    }
}
