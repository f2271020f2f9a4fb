//! `join` in all its kinds.

use super::findings::{all, both};
use super::relation::{Column, Relation, column, null, unique_name};
use super::{Binder, Names, Result, Typed, internal, plan, unknown};
use crate::aggregates::{self, Kind, field_name};
use datafusion::common::{Column as PlanColumn, JoinType, NullEquality};
use datafusion::functions::expr_fn::{coalesce, get_field};
use datafusion::logical_expr::{Expr as Plan, ident};
use kql::tree::{BinaryOperator, Expr, ExprKind, Join, Name};
use kql::{Diagnostic, Span, Type};

const KINDS: &[(&str, JoinType)] = &[
    ("innerunique", JoinType::Inner),
    ("inner", JoinType::Inner),
    ("leftouter", JoinType::Left),
    ("rightouter", JoinType::Right),
    ("fullouter", JoinType::Full),
    ("leftsemi", JoinType::LeftSemi),
    ("rightsemi", JoinType::RightSemi),
    ("leftanti", JoinType::LeftAnti),
    ("anti", JoinType::LeftAnti),
    ("leftantisemi", JoinType::LeftAnti),
    ("rightanti", JoinType::RightAnti),
    ("rightantisemi", JoinType::RightAnti),
];

impl<'q> Binder<'q> {
    pub(super) fn join(&mut self, left: Relation, join: &'q Join, span: Span, names: &Names<'q>) -> Result<Relation> {
        let kind_name = join.kind.as_ref().map_or("innerunique", |k| k.text.as_str());
        let Some((_, kind)) = KINDS.iter().find(|(name, _)| *name == kind_name) else {
            let at = join.kind.as_ref().map_or(span, |k| k.span);
            let name = Name { text: kind_name.to_owned(), span: at };
            return Err(unknown("kind of join", &name, KINDS.iter().map(|(n, _)| *n)).into());
        };
        let right = self.pipeline(&join.right, names)?;
        let right_is_open = right.is_open;
        let (left, right) = with_open_keys(left, right, &join.on, span)?;
        let keys = self.join_keys(&left, &right, &join.on)?;
        let (left, keys) = match kind_name {
            "innerunique" => {
                let left = one_row_per_key(left, &keys, span)?;
                let keys = self.join_keys(&left, &right, &join.on)?;
                (left, keys)
            }
            _ => (left, keys),
        };
        let joined = self.join_relations(left, right, keys, *kind, span)?;
        Ok(Relation { is_open: right_is_open, ..joined })
    }

    /// `lookup`: every row of the left side with the columns of the right one, whose keys are left out.
    pub(super) fn lookup(&mut self, left: Relation, join: &'q Join, span: Span, names: &Names<'q>) -> Result<Relation> {
        let kind = match join.kind.as_ref().map(|k| k.text.as_str()) {
            None | Some("leftouter") => JoinType::Left,
            Some("inner") => JoinType::Inner,
            Some(_) => {
                let name = join.kind.clone().unwrap_or(Name { text: String::new(), span });
                return Err(unknown("kind of lookup", &name, ["leftouter", "inner"]).into());
            }
        };
        let right = self.pipeline(&join.right, names)?;
        let right_is_open = right.is_open;
        let (left, right) = with_open_keys(left, right, &join.on, span)?;
        let keys = self.join_keys(&left, &right, &join.on)?;
        let mut conditions = Vec::new();
        join.on.iter().for_each(|e| conjuncts(e, &mut conditions));
        let key_names: Vec<&str> = conditions.into_iter().filter_map(right_key_name).collect();
        let left_width = left.columns.len();
        let is_key = |i: usize| right.columns.get(i).is_some_and(|c| key_names.contains(&c.name.as_str()));
        let kept: Vec<bool> = (0..right.columns.len()).map(|i| !is_key(i)).collect();
        let joined = self.join_relations(left, right, keys, kind, span)?;
        let outputs = joined.outputs().into_iter().enumerate();
        let outputs =
            outputs.filter(|(i, _)| *i < left_width || kept[i - left_width]).map(|(_, output)| output).collect();
        Ok(Relation { is_open: right_is_open, ..joined.project(outputs, span)? })
    }

    /// The equalities that the rows are joined by, each side in the type of the comparison.
    fn join_keys(&mut self, left: &Relation, right: &Relation, on: &'q [Expr]) -> Result<Vec<(Typed, Typed)>> {
        let mut conditions = Vec::new();
        on.iter().for_each(|e| conjuncts(e, &mut conditions));
        all(conditions.into_iter().map(|condition| {
            let (a, b) = match &condition.kind {
                ExprKind::Name(name) => {
                    let name = Name { text: name.clone(), span: condition.span };
                    (column(left.require(&name)?), column(right.require(&name)?))
                }
                ExprKind::Binary { operator: BinaryOperator::Equal, left: a, right: b } => {
                    let ((x, x_side), (y, y_side)) = both(key_side(a, left, right), key_side(b, left, right))?;
                    match (x_side, y_side) {
                        (Side::Left, Side::Right) => (x, y),
                        (Side::Right, Side::Left) => (y, x),
                        _ => {
                            let message = "one side of the equality must be $left, the other $right";
                            return Err(Diagnostic::semantic(condition.span, message).into());
                        }
                    }
                }
                _ => {
                    let message = "rows are joined by columns or equalities such as $left.a == $right.b";
                    return Err(Diagnostic::semantic(condition.span, message).into());
                }
            };
            if a.value_type == Type::Dynamic || b.value_type == Type::Dynamic {
                let diagnostic = Diagnostic::semantic(condition.span, "rows cannot be joined by dynamic values");
                return Err(diagnostic.with_hint("Convert them first, with tostring(...).").into());
            }
            let common = super::operators::comparable_type(a.value_type, b.value_type).ok_or_else(|| {
                let message = format!("the keys have different types: {} and {}", a.value_type, b.value_type);
                Diagnostic::semantic(condition.span, message)
            })?;
            Ok((self.convert(a, common, condition.span)?, self.convert(b, common, condition.span)?))
        }))
    }

    pub(super) fn join_relations(
        &mut self,
        left: Relation,
        right: Relation,
        keys: Vec<(Typed, Typed)>,
        kind: JoinType,
        span: Span,
    ) -> Result<Relation> {
        let (left_columns, right_columns) = (left.columns.clone(), right.columns.clone());
        // Inside the plan every column has a name of its own; KQL's names are given at the end.
        let inner = |relation: Relation, prefix: &str, keys: Vec<Typed>| -> Result<Relation> {
            let outputs = relation.outputs().into_iter().enumerate();
            // A field may be that of the other side too, where both come from one `let`; an alias makes it another.
            let mut outputs: Vec<(String, Typed)> = outputs
                .map(|(i, (_, typed))| {
                    let name = format!("${prefix}{i}");
                    let renamed = typed.expr.alias(&name);
                    (name, Typed::new(renamed, typed.value_type))
                })
                .collect();
            let keys = keys.into_iter().enumerate();
            outputs.extend(keys.map(|(i, key)| {
                let name = format!("${prefix}key{i}");
                let renamed = key.expr.alias(&name);
                (name, Typed::new(renamed, key.value_type))
            }));
            relation.project(outputs, span)
        };
        let (left_keys, right_keys) = keys.into_iter().unzip();
        let left = inner(left, "l", left_keys)?;
        let right = inner(right, "r", right_keys)?;
        let key_fields = |relation: &Relation, columns: usize| -> Vec<PlanColumn> {
            relation.columns[columns..].iter().map(|c| PlanColumn::from_name(&c.field)).collect()
        };
        let on = (key_fields(&left, left_columns.len()), key_fields(&right, right_columns.len()));
        let (left_fields, right_fields) = (left.columns, right.columns);
        let right_plan = right.builder.build().map_err(|e| internal(span, &e))?;
        let builder = left
            .builder
            .join_detailed(right_plan, kind, on, None, NullEquality::NullEqualsNull)
            .map_err(|e| internal(span, &e))?;
        let joined = Relation::new(builder, Vec::new());
        let (keeps_left, keeps_right) = match kind {
            JoinType::LeftSemi | JoinType::LeftAnti => (true, false),
            JoinType::RightSemi | JoinType::RightAnti => (false, true),
            _ => (true, true),
        };
        let left_may_miss = matches!(kind, JoinType::Right | JoinType::Full);
        let right_may_miss = matches!(kind, JoinType::Left | JoinType::Full);
        let mut outputs: Vec<(String, Typed)> = Vec::new();
        let mut add = |columns: &[Column], fields: &[Column], may_miss: bool| {
            for (c, inner) in columns.iter().zip(fields) {
                let mut value = ident(&inner.field);
                if may_miss && c.column_type == Type::String {
                    value = coalesce(vec![value, null(Type::String).expr]);
                }
                let name = unique_name(&c.name, |n| outputs.iter().any(|(existing, _)| existing == n));
                outputs.push((name, Typed::new(value, c.column_type)));
            }
        };
        if keeps_left {
            add(&left_columns, &left_fields, left_may_miss);
        }
        if keeps_right {
            add(&right_columns, &right_fields, right_may_miss);
        }
        joined.project(outputs, span)
    }
}

#[derive(PartialEq)]
enum Side {
    Left,
    Right,
}

/// Adds the keys to relations whose columns are not all known, where they lack them, in the type of the other side's.
fn with_open_keys(left: Relation, right: Relation, on: &[Expr], span: Span) -> Result<(Relation, Relation)> {
    let mut conditions = Vec::new();
    on.iter().for_each(|e| conjuncts(e, &mut conditions));
    // The names of each pair of keys: of the left side, and of the right.
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for condition in conditions {
        match &condition.kind {
            ExprKind::Name(name) => pairs.push((name, name)),
            ExprKind::Binary { left: a, right: b, .. } => {
                let (mut own, mut other) = (None, None);
                for side in [a, b] {
                    match &side.kind {
                        ExprKind::Member { base, member } => match &base.kind {
                            ExprKind::Name(name) if name == "$left" => own = Some(member.text.as_str()),
                            _ => other = Some(member.text.as_str()),
                        },
                        _ => continue,
                    }
                }
                pairs.extend(own.zip(other));
            }
            _ => {}
        }
    }
    let of = |relation: &Relation, name: &str| match relation.find(name).map(|c| c.column_type) {
        None | Some(Type::Dynamic) => Type::String,
        Some(of) => of,
    };
    let of_left: Vec<(String, Type)> = pairs.iter().map(|(a, b)| ((*a).to_owned(), of(&right, b))).collect();
    let of_right: Vec<(String, Type)> = pairs.iter().map(|(a, b)| ((*b).to_owned(), of(&left, a))).collect();
    Ok((left.with_unknown(of_left, span)?.plain(span)?, right.with_unknown(of_right, span)?.plain(span)?))
}

/// `$left.x` or `$right.x`.
fn key_side(expr: &Expr, left: &Relation, right: &Relation) -> Result<(Typed, Side)> {
    let sided = match &expr.kind {
        ExprKind::Member { base, member } => match &base.kind {
            ExprKind::Name(name) if name == "$left" => Some((left, Side::Left, member)),
            ExprKind::Name(name) if name == "$right" => Some((right, Side::Right, member)),
            _ => None,
        },
        _ => None,
    };
    let Some((relation, side, member)) = sided else {
        return Err(Diagnostic::semantic(expr.span, "expected $left.column or $right.column").into());
    };
    Ok((column(relation.require(member)?), side))
}

/// The column of the right side in a condition that [`Binder::join_keys`] takes.
fn right_key_name(condition: &Expr) -> Option<&str> {
    let right_member = |e: &'_ Expr| match &e.kind {
        ExprKind::Member { base, .. } => matches!(&base.kind, ExprKind::Name(name) if name == "$right"),
        _ => false,
    };
    match &condition.kind {
        ExprKind::Name(name) => Some(name),
        ExprKind::Binary { left, right, .. } => {
            let side = if right_member(left) { left } else { right };
            match &side.kind {
                ExprKind::Member { member, .. } => Some(&member.text),
                _ => None,
            }
        }
        _ => None,
    }
}

fn conjuncts<'q>(expr: &'q Expr, out: &mut Vec<&'q Expr>) {
    match &expr.kind {
        ExprKind::Binary { operator: BinaryOperator::And, left, right } => {
            conjuncts(left, out);
            conjuncts(right, out);
        }
        _ => out.push(expr),
    }
}

/// Keeps one row of each key, which is what `innerunique` does to its left side.
pub(super) fn one_row_per_key(left: Relation, keys: &[(Typed, Typed)], span: Span) -> Result<Relation> {
    let columns = left.columns.clone();
    let grouped: Vec<Plan> =
        keys.iter().enumerate().map(|(i, (key, _))| key.expr.clone().alias(format!("$key{i}"))).collect();
    let values = columns.iter().map(|c| ident(&c.field)).collect();
    let any_row = aggregates::call(Kind::AnyRow, values, None, Vec::new()).alias("$row");
    let builder = plan::aggregate(left.builder, grouped, vec![any_row], span)?;
    let outputs = columns
        .iter()
        .enumerate()
        .map(|(i, c)| (c.name.clone(), Typed::new(get_field(ident("$row"), field_name(i)), c.column_type)))
        .collect();
    Relation::new(builder, Vec::new()).project(outputs, span)
}
