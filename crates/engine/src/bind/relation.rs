//! A relation: rows in the making, with their columns' KQL names and types.
//!
//! A column's name in the plan, its *field*, is not its KQL name: each value that is computed gets a field that no
//! other has. A name can be given a new meaning at each step (`extend x = x + 1` twice), and DataFusion takes two
//! projections that are the same to the letter for one.

use super::{Typed, internal, plan, unknown};
use crate::aggregates::{Kind, field_name};
use crate::types::{self, null_value};
use datafusion::functions::expr_fn::get_field;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Sort, SortExpr, ident, lit};
use kql::tree::Name;
use kql::{Diagnostic, Span, Type};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A column of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub name: String,
    pub column_type: Type,
    /// What the plan calls it.
    pub field: String,
}

impl Column {
    /// A column whose field is named as it is: of a table, or of a node that names its own outputs.
    pub fn new(name: impl Into<String>, column_type: Type) -> Column {
        let name = name.into();
        Column { field: name.clone(), name, column_type }
    }
}

impl From<&types::Column> for Column {
    fn from(column: &types::Column) -> Column {
        Column::new(&column.name, column.column_type)
    }
}

impl From<&Column> for types::Column {
    fn from(column: &Column) -> types::Column {
        types::Column::new(&column.name, column.column_type)
    }
}

/// A field name that no other value has.
pub(crate) fn fresh_field(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{name}#{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[derive(Debug, Clone)]
pub(crate) struct Relation {
    /// Its output fields are, in order, those of the columns, and behind them the hidden ones.
    pub builder: LogicalPlanBuilder,
    pub columns: Vec<Column>,
    /// The order that the rows are known to have: the final one, that of lists, that of window functions.
    pub order: Vec<SortExpr>,
    /// Whether the rows count as ordered in KQL, which window functions ask for.
    pub is_serialized: bool,
    /// The field that numbers the rows in their order, where they have been numbered.
    pub row: Option<String>,
    /// Fields that tell the groups of rows apart that operators are applied to one by one, in `mv-apply` and
    /// `partition`; hidden, as is the next.
    pub group: Vec<String>,
    /// Columns that are the same throughout a group, which have a place in the final result.
    pub carried: Vec<Column>,
    /// The name of the table that the rows come from, where they come from one.
    pub table: Option<String>,
    /// Whether columns may be asked for that are not known: a plugin makes them of the rows, and there are none. Each
    /// is a null that no row holds.
    pub is_open: bool,
    /// Whether the rows stand for those of a table that is not there, in a union that passes over it: none, under the
    /// columns that its operators would give.
    pub is_absent: bool,
}

impl Relation {
    pub fn new(builder: LogicalPlanBuilder, columns: Vec<Column>) -> Relation {
        Relation {
            builder,
            columns,
            order: Vec::new(),
            is_serialized: false,
            row: None,
            group: Vec::new(),
            carried: Vec::new(),
            table: None,
            is_open: false,
            is_absent: false,
        }
    }

    /// A stand-in with no columns.
    pub fn no_columns() -> Relation {
        Relation::new(LogicalPlanBuilder::empty(true), Vec::new())
    }

    pub fn find(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// The column `name`, or a diagnostic.
    pub fn require(&self, name: &Name) -> super::Result<&Column> {
        self.find(&name.text)
            .ok_or_else(|| unknown("column", name, self.columns.iter().map(|c| c.name.as_str())).into())
    }

    /// Adds those of the columns that are not known, where any may be asked for.
    pub fn with_unknown(self, names: impl IntoIterator<Item = (String, Type)>, span: Span) -> super::Result<Relation> {
        if !self.is_open {
            return Ok(self);
        }
        let mut added: Vec<(String, Typed)> = Vec::new();
        for (name, of) in names {
            if self.find(&name).is_none() && !added.iter().any(|(existing, _)| *existing == name) {
                added.push((name, null(of)));
            }
        }
        self.extend(added, span)
    }

    pub fn filter(self, predicate: Expr, span: Span) -> super::Result<Relation> {
        let builder = plan::filter(self.builder, predicate, span)?;
        Ok(Relation { builder, ..self })
    }

    /// The rows as they come, which is from now on their order.
    pub fn serialized(self) -> Relation {
        Relation { is_serialized: true, ..self }
    }

    /// The rows as they leave the query: in their order, and without their number.
    pub fn in_order(self, span: Span) -> super::Result<Relation> {
        if self.order.is_empty() {
            return Ok(self);
        }
        let plan = self.builder.build().map_err(|e| internal(span, &e))?;
        let is_sorted = match &plan {
            LogicalPlan::Limit(limit) => matches!(limit.input.as_ref(), LogicalPlan::Sort(_)),
            other => matches!(other, LogicalPlan::Sort(_)),
        };
        let sort = |plan| LogicalPlan::Sort(Sort { expr: self.order.clone(), input: Arc::new(plan), fetch: None });
        let builder = LogicalPlanBuilder::from(if is_sorted { plan } else { sort(plan) });
        Relation { builder, ..self }.plain(span)
    }

    /// The fields that are no columns: what tells groups apart, what they carry, the number of the row.
    pub fn hidden(&self) -> Vec<String> {
        let carried = self.carried.iter().map(|c| &c.field);
        self.group.iter().chain(carried).chain(&self.row).cloned().collect()
    }

    /// The rows without the fields that are neither columns nor hidden, which operators inside have left behind.
    pub fn trimmed(self, span: Span) -> super::Result<Relation> {
        let hidden = self.hidden();
        let fields: Vec<Expr> = self.columns.iter().map(|c| &c.field).chain(&hidden).map(ident).collect();
        let builder = plan::select(self.builder, fields, span)?;
        Ok(Relation { builder, ..self })
    }

    /// The rows without their number, their order and their groups.
    pub fn plain(self, span: Span) -> super::Result<Relation> {
        let table = self.table.clone();
        if self.hidden().is_empty() {
            return Ok(Relation { table, ..Relation::new(self.builder, self.columns) });
        }
        let fields: Vec<Expr> = self.columns.iter().map(|c| ident(&c.field)).collect();
        let builder = plan::select(self.builder, fields, span)?;
        Ok(Relation { table, ..Relation::new(builder, self.columns) })
    }

    /// One row for each key, within each group. The fields are those of the keys and aggregates; there are no columns
    /// yet.
    pub fn aggregate(self, keys: Vec<Expr>, aggregates: Vec<Expr>, span: Span) -> super::Result<Relation> {
        const CARRIED: &str = "$carried";
        let keys = keys.into_iter().chain(self.group.iter().map(ident)).collect();
        let mut aggregates = aggregates;
        if !self.carried.is_empty() {
            let values = self.carried.iter().map(|c| ident(&c.field)).collect();
            aggregates.push(crate::aggregates::call(Kind::AnyRow, values, None, Vec::new()).alias(CARRIED));
        }
        let mut builder = plan::aggregate(self.builder, keys, aggregates, span)?;
        if !self.carried.is_empty() {
            let others = builder.schema().fields().iter().map(|f| f.name().clone()).filter(|name| name != CARRIED);
            let mut fields: Vec<Expr> = others.map(ident).collect();
            let value = |i: usize| get_field(ident(CARRIED), field_name(i));
            fields.extend(self.carried.iter().enumerate().map(|(i, c)| value(i).alias(&c.field)));
            builder = plan::select(builder, fields, span)?;
        }
        Ok(Relation { group: self.group, carried: self.carried, ..Relation::new(builder, Vec::new()) })
    }

    /// Replaces the columns by `outputs`. Where that would lose what the rows are ordered by, they are numbered first.
    pub fn project(self, outputs: Vec<(String, Typed)>, span: Span) -> super::Result<Relation> {
        let keeps = |field: &str| outputs.iter().any(|(_, t)| matches!(&t.expr, Expr::Column(c) if c.name == field));
        let keeps_order = self
            .order
            .iter()
            .all(|key| matches!(&key.expr, Expr::Column(c) if keeps(&c.name) || self.group.contains(&c.name)));
        if self.is_serialized && !keeps_order && self.row.is_none() {
            return self.numbered(span)?.project(outputs, span);
        }
        let mut columns: Vec<Column> = Vec::with_capacity(outputs.len());
        for (name, typed) in &outputs {
            // A column that is passed on keeps its field, unless it is passed on twice.
            let kept = match &typed.expr {
                Expr::Column(from) if !columns.iter().any(|c| c.field == from.name) => Some(from.name.clone()),
                _ => None,
            };
            let field = kept.unwrap_or_else(|| fresh_field(name));
            columns.push(Column { name: name.clone(), column_type: typed.value_type, field });
        }
        let is_kept = |key: &&SortExpr| {
            matches!(&key.expr, Expr::Column(c)
                if self.row.as_ref() == Some(&c.name)
                    || self.group.contains(&c.name)
                    || columns.iter().any(|o| o.field == c.name))
        };
        let order: Vec<SortExpr> = self.order.iter().take_while(is_kept).cloned().collect();
        let expressions = outputs.into_iter().zip(&columns).map(|((_, typed), column)| typed.expr.alias(&column.field));
        let expressions = expressions.chain(self.hidden().into_iter().map(ident));
        let builder = plan::select(self.builder, expressions, span)?;
        Ok(Relation { builder, columns, order, ..self })
    }

    /// The columns as expressions, in order.
    pub fn outputs(&self) -> Vec<(String, Typed)> {
        self.columns.iter().map(|c| (c.name.clone(), column(c))).collect()
    }

    /// Adds columns, or replaces those of the same name where they stand.
    pub fn extend(self, added: Vec<(String, Typed)>, span: Span) -> super::Result<Relation> {
        let mut outputs = self.outputs();
        for (name, typed) in added {
            match outputs.iter_mut().find(|(existing, _)| *existing == name) {
                Some(existing) => existing.1 = typed,
                None => outputs.push((name, typed)),
            }
        }
        self.project(outputs, span)
    }

    pub fn limit(self, count: usize, span: Span) -> super::Result<Relation> {
        if !self.group.is_empty() {
            let numbered = self.numbered(span)?;
            let Some(row) = numbered.row.clone() else { return Ok(numbered) };
            return numbered.filter(ident(row).lt_eq(lit(count as u64)), span);
        }
        let builder = self.builder.limit(0, Some(count)).map_err(|e| internal(span, &e))?;
        Ok(Relation { builder, ..self })
    }

    pub fn sort(self, keys: Vec<SortExpr>, span: Span) -> super::Result<Relation> {
        if keys.is_empty() {
            return Ok(self.serialized());
        }
        let was_numbered = self.row.is_some();
        if !self.group.is_empty() {
            let ordered = Relation { order: keys, is_serialized: true, row: None, ..self };
            return ordered.numbered(span);
        }
        let builder = plan::sort(self.builder, keys.clone(), span)?;
        let sorted = Relation { builder, order: keys, is_serialized: true, row: None, ..self };
        // A number that the rows had before is no column; counting them anew leaves it behind.
        if was_numbered { sorted.numbered(span) } else { Ok(sorted) }
    }
}

/// A column as an expression.
pub(crate) fn column(column: &Column) -> Typed {
    Typed::new(ident(&column.field), column.column_type)
}

/// The null of a type as an expression; `""` for strings.
pub(crate) fn null(of: Type) -> Typed {
    Typed::new(lit(null_value(of)), of)
}

/// A name that none of `taken` has: `name`, else `name1`, `name2` …
pub(crate) fn unique_name(name: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(name) {
        return name.to_owned();
    }
    (1..).map(|n| format!("{name}{n}")).find(|candidate| !taken(candidate)).unwrap_or_else(|| name.to_owned())
}

/// The diagnostic for an operand of the wrong type.
pub(crate) fn wrong_type(span: Span, what: &str, found: Type, wanted: &str) -> super::Stop {
    Diagnostic::semantic(span, format!("{what} is of type {found}, expected {wanted}")).into()
}
