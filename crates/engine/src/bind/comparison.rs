//! Comparison with KQL's nulls: `null == null` is null, `null == v` is false, `null != v` is true; an order
//! comparison with a null is null. Strings are never null, so for them DataFusion's own operators do.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::functions::expr_fn::coalesce;
use datafusion::logical_expr::expr::{BinaryExpr, Case};
use datafusion::logical_expr::{Expr, Operator, binary_expr, lit};
use datafusion::scalar::ScalarValue;
use kql::Type;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

fn is_value(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if !value.is_null())
}

/// Compares two operands that have been given the same type.
pub(super) fn compare(comparison: Comparison, left: Expr, right: Expr, operand_type: Type) -> Expr {
    let operator = match comparison {
        Comparison::Less => Operator::Lt,
        Comparison::LessOrEqual => Operator::LtEq,
        Comparison::Greater => Operator::Gt,
        Comparison::GreaterOrEqual => Operator::GtEq,
        Comparison::Equal if operand_type == Type::String => Operator::Eq,
        Comparison::NotEqual if operand_type == Type::String => Operator::NotEq,
        Comparison::Equal => Operator::IsNotDistinctFrom,
        Comparison::NotEqual => Operator::IsDistinctFrom,
    };
    if operand_type == Type::Real {
        return compare_reals(comparison, operator, left, right);
    }
    null_aware(operator, left, right)
}

fn null_aware(operator: Operator, left: Expr, right: Expr) -> Expr {
    let is_equality = matches!(operator, Operator::IsNotDistinctFrom | Operator::IsDistinctFrom);
    if !is_equality || is_value(&left) || is_value(&right) {
        return binary_expr(left, operator, right);
    }
    let both_null = left.clone().is_null().and(right.clone().is_null());
    let compared = binary_expr(left, operator, right);
    let null = lit(ScalarValue::Boolean(None));
    Expr::Case(Case::new(None, vec![(Box::new(both_null), Box::new(null))], Some(Box::new(compared))))
}

/// Arrow orders NaN above every number and equal to itself; in KQL NaN equals nothing and has no order.
fn compare_reals(comparison: Comparison, operator: Operator, left: Expr, right: Expr) -> Expr {
    let is_number = |e: &Expr| matches!(e, Expr::Literal(ScalarValue::Float64(Some(x)), _) if !x.is_nan());
    let known_number = match comparison {
        // Equality with a number that is no NaN, and "less than" one, are right as Arrow has them.
        Comparison::Equal | Comparison::NotEqual => is_number(&left) || is_number(&right),
        Comparison::Less | Comparison::LessOrEqual => is_number(&right),
        Comparison::Greater | Comparison::GreaterOrEqual => is_number(&left),
    };
    let compared = null_aware(operator, left.clone(), right.clone());
    if known_number {
        return compared;
    }
    let nan = |e: Expr| binary_expr(e, Operator::Eq, lit(f64::NAN));
    let either_nan = nan(left).or(nan(right));
    let when_nan = lit(comparison == Comparison::NotEqual);
    Expr::Case(Case::new(None, vec![(Box::new(either_nan), Box::new(when_nan))], Some(Box::new(compared))))
}

/// A test whose null counts as false.
pub(super) fn null_is_false(test: Expr) -> Expr {
    coalesce(vec![test, lit(false)])
}

/// The form of a predicate where null and false are the same, which is what a filter makes of them. Plain
/// comparisons are what files can be pruned by.
pub(super) fn filter_form(predicate: Expr) -> Expr {
    let simplified = predicate.transform_down(|expr| {
        Ok(match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::IsNotDistinctFrom, right })
                if is_value(&left) || is_value(&right) =>
            {
                Transformed::new(
                    Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }),
                    true,
                    datafusion::common::tree_node::TreeNodeRecursion::Jump,
                )
            }
            Expr::BinaryExpr(BinaryExpr { op: Operator::And | Operator::Or, .. }) => Transformed::no(expr),
            Expr::ScalarFunction(call)
                if call.func.name() == "coalesce"
                    && call.args.len() == 2
                    && matches!(call.args[1], Expr::Literal(ScalarValue::Boolean(Some(false)), _)) =>
            {
                let test = call.args.into_iter().next().unwrap_or(lit(false));
                Transformed::new(test, true, datafusion::common::tree_node::TreeNodeRecursion::Jump)
            }
            other => Transformed::new(other, false, datafusion::common::tree_node::TreeNodeRecursion::Jump),
        })
    });
    match simplified {
        Ok(simplified) => simplified.data,
        Err(_) => lit(false),
    }
}
