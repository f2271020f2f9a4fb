//! Arithmetic on decimals, exact to [`DECIMAL_SCALE`] digits after the point; what does not fit is null.

use super::{Args, Kernel};
use crate::types::{DECIMAL_PRECISION, DECIMAL_SCALE};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use datafusion::arrow::datatypes::{Decimal128Type, i256};
use datafusion::common::Result;
use kql::Type;
use std::sync::Arc;

/// The unscaled value of 1.
const ONE: i128 = 10i128.pow(DECIMAL_SCALE.unsigned_abs() as u32);
/// No unscaled value is as large.
const LIMIT: u128 = 10u128.pow(DECIMAL_PRECISION as u32);

fn fits(value: i128) -> Option<i128> {
    (value.unsigned_abs() < LIMIT).then_some(value)
}

/// `a * b / c`, rounded half away from zero; the product may be wider than a decimal.
fn multiply_divide(a: i128, b: i128, c: i128) -> Option<i128> {
    if c == 0 {
        return None;
    }
    let product = i256::from_i128(a).checked_mul(i256::from_i128(b))?;
    let divisor = i256::from_i128(c);
    let quotient = product.checked_div(divisor)?;
    let remainder = product.checked_rem(divisor)?;
    let half_or_more = remainder.wrapping_abs().checked_mul(i256::from_i128(2))? >= divisor.wrapping_abs();
    let away = if (product < i256::ZERO) == (divisor < i256::ZERO) { i256::ONE } else { i256::MINUS_ONE };
    let rounded = if half_or_more { quotient.checked_add(away)? } else { quotient };
    rounded.to_i128().and_then(fits)
}

fn decimal_op(args: &Args, op: fn(i128, i128) -> Option<i128>) -> Result<ArrayRef> {
    let (left, right) = (args.array(0)?, args.array(1)?);
    let (left, right) = (left.as_primitive::<Decimal128Type>(), right.as_primitive::<Decimal128Type>());
    let value = |array: &Decimal128Array, i: usize| array.is_valid(i).then(|| array.value(i));
    let values: Decimal128Array =
        (0..args.rows).map(|i| op(value(left, i)?, value(right, i)?).and_then(fits)).collect();
    Ok(Arc::new(values.with_precision_and_scale(DECIMAL_PRECISION, DECIMAL_SCALE)?))
}

pub static ADD: Kernel = Kernel::new("kql_add_decimal", Type::Decimal, |a| decimal_op(a, |x, y| x.checked_add(y)));
pub static SUBTRACT: Kernel =
    Kernel::new("kql_subtract_decimal", Type::Decimal, |a| decimal_op(a, |x, y| x.checked_sub(y)));
pub static MULTIPLY: Kernel =
    Kernel::new("kql_multiply_decimal", Type::Decimal, |a| decimal_op(a, |x, y| multiply_divide(x, y, ONE)));
/// Division by zero is null.
pub static DIVIDE: Kernel =
    Kernel::new("kql_divide_decimal", Type::Decimal, |a| decimal_op(a, |x, y| multiply_divide(x, ONE, y)));
/// Never negative, as for the other numbers.
pub static MODULO: Kernel = Kernel::new("kql_modulo_decimal", Type::Decimal, |a| {
    decimal_op(a, |x, y| (y != 0).then(|| x.wrapping_rem_euclid(y)))
});
/// The largest multiple of the step that is not above the value; null for a step that is not positive.
pub static BIN: Kernel = Kernel::new("kql_bin_decimal", Type::Decimal, |a| {
    decimal_op(a, |value, step| (step > 0).then(|| value - value.rem_euclid(step)))
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_and_quotients_are_rounded_half_away_from_zero() {
        assert_eq!(multiply_divide(ONE, ONE, 3 * ONE), Some(ONE / 3));
        assert_eq!(multiply_divide(2 * ONE, ONE, 3 * ONE), Some(2 * ONE / 3 + 1));
        assert_eq!(multiply_divide(-2 * ONE, ONE, 3 * ONE), Some(-2 * ONE / 3 - 1));
        assert_eq!(multiply_divide(5, 1, 10), Some(1));
        assert_eq!(multiply_divide(-5, 1, 10), Some(-1));
    }

    #[test]
    fn what_does_not_fit_is_null() {
        let largest = i128::try_from(LIMIT).unwrap() - 1;
        assert_eq!(multiply_divide(largest, 2 * ONE, ONE), None);
        assert_eq!(fits(largest), Some(largest));
        assert_eq!(fits(largest + 1), None);
    }
}
