//! KQL's scalar functions as DataFusion functions.
//!
//! A [`Kernel`] is one function over one list of argument types: a name, a result type and a plain function
//! from columns to a column. Kernels are statics, found by name, so that a plan that holds them can be
//! written down and read back. Which kernel a call means is decided by the binder ([`signature`]).

pub mod args;
pub mod array;
pub mod codec;
pub mod conversion;
pub mod convert;
pub mod datetime;
pub mod decimal;
pub mod distributions;
pub mod dynamic;
pub mod geo;
pub mod math;
pub mod network;
pub mod parse;
pub mod punycode;
pub mod refused;
pub mod regexes;
pub mod series;
pub mod signature;
pub mod sketch;
pub mod string;
pub mod terms;
pub mod time_zones;
pub mod xml;

use crate::types::arrow_type;
pub use args::Args;
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;
use kql::Type;
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The names of all functions and aggregates, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    let all = signature::all().map(|signature| signature.name).chain(crate::bind::special_names());
    all.collect::<BTreeSet<_>>().into_iter()
}

/// One function over one list of argument types.
pub struct Kernel {
    /// Unique among all kernels.
    pub name: &'static str,
    pub returns: Type,
    pub evaluate: fn(&Args) -> Result<ArrayRef>,
    pub volatility: Volatility,
}

impl Kernel {
    /// A kernel whose result depends on its arguments alone.
    pub const fn new(name: &'static str, returns: Type, evaluate: fn(&Args) -> Result<ArrayRef>) -> Kernel {
        Kernel { name, returns, evaluate, volatility: Volatility::Immutable }
    }

    /// A call of this kernel. The arguments must already have the types that the kernel reads.
    pub fn call(&'static self, arguments: Vec<Expr>) -> Expr {
        let signature = Signature::user_defined(self.volatility);
        let udf = ScalarUDF::from(KernelFunction { kernel: self, signature });
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(udf), arguments))
    }
}

/// A kernel in the form that DataFusion plans hold.
struct KernelFunction {
    kernel: &'static Kernel,
    signature: Signature,
}

impl std::fmt::Debug for KernelFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kernel.name)
    }
}

impl PartialEq for KernelFunction {
    fn eq(&self, other: &Self) -> bool {
        self.kernel.name == other.kernel.name
    }
}

impl Eq for KernelFunction {}

impl Hash for KernelFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kernel.name.hash(state);
    }
}

impl ScalarUDFImpl for KernelFunction {
    fn name(&self) -> &str {
        self.kernel.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(arrow_type(self.kernel.returns))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let all_constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let once = all_constant && self.kernel.volatility != Volatility::Volatile;
        let rows = if once { 1 } else { args.number_rows };
        let result = (self.kernel.evaluate)(&Args::new(&args.args, rows))?;
        if once {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}
