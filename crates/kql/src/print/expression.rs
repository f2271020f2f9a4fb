//! Expressions, in parentheses where they bind less tightly than their place asks for.

use super::{Printer, literal, words};
use crate::MAX_CHAIN;
use crate::parser::QUALIFIER;
use crate::tree::{Argument, BinaryOperator, ColumnDeclaration, Expr, ExprKind, Name, NamedExpr, Pipeline};

/// How tightly an expression binds, from loose to tight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Pipeline,
    Or,
    And,
    Equality,
    Comparison,
    Sum,
    Product,
    Unary,
    Access,
    Primary,
}

impl Level {
    /// What an operand must at least bind like where one of this level would be grouped otherwise.
    fn tighter(self) -> Level {
        match self {
            Level::Pipeline => Level::Or,
            Level::Or => Level::And,
            Level::And => Level::Equality,
            Level::Equality => Level::Comparison,
            Level::Comparison => Level::Sum,
            Level::Sum => Level::Product,
            Level::Product => Level::Unary,
            Level::Unary => Level::Access,
            Level::Access | Level::Primary => Level::Primary,
        }
    }

    fn of_operator(operator: BinaryOperator) -> Level {
        match operator {
            BinaryOperator::Or => Level::Or,
            BinaryOperator::And => Level::And,
            BinaryOperator::Less
            | BinaryOperator::LessOrEqual
            | BinaryOperator::Greater
            | BinaryOperator::GreaterOrEqual => Level::Comparison,
            BinaryOperator::Add | BinaryOperator::Subtract => Level::Sum,
            BinaryOperator::Multiply | BinaryOperator::Divide | BinaryOperator::Modulo => Level::Product,
            BinaryOperator::Equal
            | BinaryOperator::NotEqual
            | BinaryOperator::EqualIgnoreCase
            | BinaryOperator::NotEqualIgnoreCase
            | BinaryOperator::Search
            | BinaryOperator::Text(_) => Level::Equality,
        }
    }

    fn of(kind: &ExprKind) -> Level {
        match kind {
            ExprKind::Pipeline(_) => Level::Pipeline,
            ExprKind::Binary { operator, .. } => Level::of_operator(*operator),
            ExprKind::Between { .. } | ExprKind::Membership { .. } => Level::Equality,
            ExprKind::Negate(_) => Level::Unary,
            ExprKind::Member { .. } | ExprKind::Index { .. } => Level::Access,
            ExprKind::Call { arguments, .. } if qualifier(arguments).is_some() => Level::Access,
            ExprKind::Literal(_)
            | ExprKind::Name(_)
            | ExprKind::Call { .. }
            | ExprKind::Star
            | ExprKind::TypeOf(_)
            | ExprKind::DataTable { .. }
            | ExprKind::Error => Level::Primary,
        }
    }
}

/// Operators of one level that stand in a row; the parser takes at least as many on every level.
const RUN_MAX: usize = MAX_CHAIN - 2;

/// `base` and the other arguments of `base.function(...)`.
fn qualifier(arguments: &[Argument]) -> Option<(&Expr, &[Argument])> {
    let (first, rest) = arguments.split_first()?;
    first.name.as_ref().is_some_and(|name| name.text == QUALIFIER).then_some((&first.value, rest))
}

/// What stands before the dot or bracket of a member, an element or a call.
fn accessed(expr: &Expr) -> Option<&Expr> {
    match &expr.kind {
        ExprKind::Member { base, .. } | ExprKind::Index { base, .. } => Some(base),
        ExprKind::Call { arguments, .. } => qualifier(arguments).map(|(base, _)| base),
        _ => None,
    }
}

/// The part of an expression that its text begins with, and whether a member, an element or a method of it follows.
pub(super) fn leading(mut expr: &Expr) -> (&Expr, bool) {
    loop {
        let base = accessed(expr);
        let left = match &expr.kind {
            ExprKind::Binary { left, .. } => Some(&**left),
            ExprKind::Between { value, .. } | ExprKind::Membership { value, .. } => Some(&**value),
            _ => base,
        };
        match left {
            Some(left) if accessed(left).is_none() && base.is_some() => return (left, true),
            Some(left) => expr = left,
            None => return (expr, false),
        }
    }
}

/// Whether the first word would be read as an operator where a pipeline may begin: `union(a)`.
fn begins_like_operator(expr: &Expr) -> bool {
    let (first, _) = leading(expr);
    matches!(&first.kind, ExprKind::Call { function, .. } if words::LEADING_WORDS.contains(&function.text.as_str()))
}

fn operands(of: BinaryOperator, expr: &Expr) -> Option<(&Expr, &Expr)> {
    match &expr.kind {
        ExprKind::Binary { operator, left, right } if *operator == of => Some((left, right)),
        _ => None,
    }
}

/// The most parts of an `and` or `or` that can stand in a row: the parser halves a row again and again, so that only
/// parts which are grouped just so need no parentheses.
fn parts(operator: BinaryOperator, expr: &Expr) -> Vec<&Expr> {
    let mut row = vec![expr];
    let mut depth = 0;
    while row.len() <= MAX_CHAIN {
        let halves: Option<Vec<_>> = row.iter().map(|part| operands(operator, part)).collect();
        let Some(halves) = halves else { break };
        row = halves.into_iter().flat_map(|(left, right)| [left, right]).collect();
        depth += 1;
    }
    // Only the last halving may leave some parts whole.
    let count = longest_row(operator, expr, depth + 1).min(MAX_CHAIN);
    row.clear();
    split(operator, expr, count, &mut row);
    row
}

/// How many parts the parser could have halved into this tree, not looking deeper than `depth`. Each smaller number
/// could have been, too.
fn longest_row(operator: BinaryOperator, expr: &Expr, depth: usize) -> usize {
    match operands(operator, expr) {
        Some((left, right)) if depth > 0 => {
            let (left, right) = (longest_row(operator, left, depth - 1), longest_row(operator, right, depth - 1));
            // Of an odd number the right half is the larger one.
            if right > left { 2 * left + 1 } else { 2 * right }
        }
        _ => 1,
    }
}

fn split<'a>(operator: BinaryOperator, expr: &'a Expr, count: usize, row: &mut Vec<&'a Expr>) {
    match operands(operator, expr) {
        Some((left, right)) if count > 1 => {
            split(operator, left, count / 2, row);
            split(operator, right, count - count / 2, row);
        }
        _ => row.push(expr),
    }
}

impl Printer {
    pub(super) fn expression(&mut self, expr: &Expr) {
        self.expression_at(expr, Level::Or);
    }

    fn expression_at(&mut self, expr: &Expr, least: Level) {
        match &expr.kind {
            ExprKind::Pipeline(pipeline) if least > Level::Pipeline => self.enclosed_pipeline(pipeline),
            kind if Level::of(kind) < least => self.enclosed(expr),
            _ => self.bare(expr, 1),
        }
    }

    pub(super) fn enclosed(&mut self, expr: &Expr) {
        self.write("(");
        self.bare(expr, 1);
        self.write(")");
    }

    /// A pipeline in parentheses, on lines of its own if it has operators.
    pub(super) fn enclosed_pipeline(&mut self, pipeline: &Pipeline) {
        if pipeline.operators.is_empty() {
            self.write("(");
            self.pipeline(pipeline);
            self.write(")");
        } else {
            self.block("(", ")", |p| p.pipeline(pipeline));
        }
    }

    /// An expression that is the `run`th from the right in a row of operators of its level.
    fn bare(&mut self, expr: &Expr, run: usize) {
        self.nested(|p| p.bare_here(expr, run));
    }

    fn bare_here(&mut self, expr: &Expr, run: usize) {
        match &expr.kind {
            ExprKind::Literal(value) => {
                let text = literal::literal(value);
                self.write(&text);
            }
            ExprKind::Name(text) => self.name_expression(text),
            ExprKind::Member { base, member } => self.member(base, member, run),
            ExprKind::Index { base, index } => {
                self.left_operand(base, Level::Access, run);
                self.write("[");
                self.expression(index);
                self.write("]");
            }
            ExprKind::Call { function, arguments } => match qualifier(arguments) {
                Some((base, rest)) => {
                    self.left_operand(base, Level::Access, run);
                    self.write(".");
                    self.member_name(function);
                    self.arguments(rest);
                }
                None => {
                    self.write(&function.text);
                    self.arguments(arguments);
                }
            },
            ExprKind::Negate(operand) => {
                self.write("-");
                self.expression_at(operand, Level::Unary);
            }
            ExprKind::Binary { operator: operator @ (BinaryOperator::And | BinaryOperator::Or), .. } => {
                self.row(*operator, expr);
            }
            ExprKind::Binary { operator, left, right } => {
                let level = Level::of_operator(*operator);
                self.left_operand(left, level, run);
                let is_infix = *operator != BinaryOperator::Search;
                self.write(if is_infix { " " } else { "" });
                self.write(&operator.text());
                self.write(" ");
                self.expression_at(right, level.tighter());
            }
            ExprKind::Between { value, low, high, negated } => {
                self.left_operand(value, Level::Equality, run);
                self.write(if *negated { " !between (" } else { " between (" });
                self.expression(low);
                self.write(" .. ");
                self.expression(high);
                self.write(")");
            }
            ExprKind::Membership { operator, value, list } => {
                self.left_operand(value, Level::Equality, run);
                self.write(" ");
                self.write(operator.text());
                self.write(" ");
                match list.as_slice() {
                    [item] if begins_like_operator(item) => self.expression_at(item, Level::Comparison),
                    _ => self.values(list, |_, _| {}, |item| item),
                }
            }
            ExprKind::Star => self.write("*"),
            ExprKind::TypeOf(of) => {
                self.write("typeof(");
                self.write(of.name());
                self.write(")");
            }
            ExprKind::Pipeline(pipeline) => self.pipeline(pipeline),
            ExprKind::DataTable { columns, cells } => self.data_table(columns, cells),
            ExprKind::Error => {}
        }
    }

    /// What stands left of an operator: part of its row as long as that is no longer than the parser takes.
    fn left_operand(&mut self, expr: &Expr, level: Level, run: usize) {
        if Level::of(&expr.kind) == level && run < RUN_MAX {
            self.bare(expr, run + 1);
        } else {
            self.expression_at(expr, level.tighter());
        }
    }

    fn row(&mut self, operator: BinaryOperator, expr: &Expr) {
        let least = Level::of_operator(operator).tighter();
        let word = operator.text();
        for (i, part) in parts(operator, expr).into_iter().enumerate() {
            if i > 0 {
                self.write(" ");
                self.write(&word);
                self.write(" ");
            }
            self.expression_at(part, least);
        }
    }

    fn member(&mut self, base: &Expr, member: &Name, run: usize) {
        self.left_operand(base, Level::Access, run);
        self.write(".");
        let of_database = matches!(&base.kind, ExprKind::Call { function, .. } if function.text == "database");
        if of_database && words::is_pattern(&member.text) {
            self.write(&member.text);
        } else {
            self.member_name(member);
        }
    }

    /// `(a, name = b)`.
    pub(super) fn arguments(&mut self, arguments: &[Argument]) {
        let name = |p: &mut Self, argument: &Argument| {
            if let Some(name) = &argument.name {
                p.write(&name.text);
                p.write(" = ");
            }
        };
        self.values(arguments, name, |argument| &argument.value);
    }

    /// Values in parentheses, each on lines of its own if one of them is a pipeline with operators.
    fn values<T>(&mut self, items: &[T], lead: impl Fn(&mut Self, &T), value: impl Fn(&T) -> &Expr) {
        let is_long = |kind: &ExprKind| matches!(kind, ExprKind::Pipeline(pipeline) if !pipeline.operators.is_empty());
        let in_lines = items.iter().any(|each| is_long(&value(each).kind));
        let write = |p: &mut Self| {
            for (i, each) in items.iter().enumerate() {
                match (i, in_lines) {
                    (0, _) => {}
                    (_, false) => p.write(", "),
                    (_, true) => {
                        p.write(",");
                        p.line();
                    }
                }
                lead(p, each);
                // A pipeline would go on behind the comma.
                let is_last = i + 1 == items.len();
                p.expression_at(value(each), if is_last { Level::Pipeline } else { Level::Or });
            }
        };
        if in_lines {
            self.block("(", ")", write);
        } else {
            self.write("(");
            write(self);
            self.write(")");
        }
    }

    fn data_table(&mut self, columns: &[ColumnDeclaration], cells: &[Expr]) {
        self.write("datatable(");
        self.listed(columns, Self::column_declaration);
        self.write(") ");
        let width = columns.len().max(1);
        if cells.len() <= width {
            self.write("[");
            self.listed(cells, Self::expression);
            return self.write("]");
        }
        self.block("[", "]", |p| {
            for (i, row) in cells.chunks(width).enumerate() {
                if i > 0 {
                    p.write(",");
                    p.line();
                }
                p.listed(row, Self::expression);
            }
        });
    }

    /// `name = value`, `(a, b) = value` or `value`.
    pub(super) fn named_expression(&mut self, named: &NamedExpr) {
        self.named_expression_beside(named, &[]);
    }

    /// A named expression whose name must not be taken for one of the `options` of its operator.
    pub(super) fn named_expression_beside(&mut self, named: &NamedExpr, options: &[&str]) {
        if named.is_tuple {
            self.write("(");
            self.listed(&named.names, Self::name);
            self.write(") = ");
        } else if let Some(name) = named.names.first() {
            self.name_beside_options(name, options);
            self.write(" = ");
        }
        self.expression(&named.value);
    }
}
