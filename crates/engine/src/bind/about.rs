//! Functions that tell of what is around a value: who asks, which columns there are, how large they are, where their
//! rows are kept.

use super::expression::{long, text};
use super::relation::{Column, column, null};
use super::{Binder, Result, Scope, Typed};
use crate::functions::{dynamic, string};
use crate::json;
use datafusion::logical_expr::{Expr as Plan, lit};
use kql::tree::{Argument, ExprKind, Name};
use kql::{Diagnostic, Type};

/// The id of the extent of rows that are in none.
const NO_EXTENT: &str = "00000000-0000-0000-0000-000000000000";

impl<'q> Binder<'q> {
    /// `current_principal_details()`: what the name of the caller says, under the names that the original gives.
    pub(super) fn principal_details(&self) -> Typed {
        let name = self.caller.principal.as_str();
        let (kind, rest) = name.split_once('=').unwrap_or(("", name));
        let (id, authority) = match rest.split_once(';') {
            Some((id, authority)) => (Some(id), Some(authority)),
            None => (None, None),
        };
        let kind = match kind {
            "aaduser" => "AadUser",
            "aadapp" => "AadApp",
            "aadgroup" => "AadGroup",
            other => other,
        };
        let known = |value: Option<&str>| value.map_or_else(|| "null".to_owned(), json::quote);
        let details = [
            ("UserPrincipalName", Some(rest)),
            ("IdentityProvider", None),
            ("Authority", authority),
            ("Mfa", None),
            ("Type", Some(kind)),
            ("DisplayName", Some(rest)),
            ("ObjectId", id),
            ("FQN", Some(name)),
            ("Notes", None),
        ];
        let details = details.map(|(key, value)| (key.to_owned(), known(value)));
        Typed::new(text(json::bag(details)), Type::Dynamic)
    }

    /// `extent_id()` and `extent_tags()` of rows that are in no extent, as all are here.
    pub(super) fn of_no_extent(&self, name: &str) -> Typed {
        match name {
            "extent_tags" => null(Type::Dynamic),
            _ => Typed::new(text(NO_EXTENT), Type::Guid),
        }
    }

    /// `iscolumnexists("name")`.
    pub(super) fn is_column(&mut self, argument: &'q Argument, scope: &Scope<'q, '_>) -> Result<Typed> {
        let wanted = self.constant_text(&argument.value, "the column name", scope)?;
        Ok(Typed::new(lit(scope.columns.iter().any(|c| c.name == wanted)), Type::Bool))
    }

    /// `estimate_data_size(*)`, or of some columns: the sum of the sizes of their values, in bytes.
    pub(super) fn data_size(&mut self, arguments: &'q [Argument], scope: &Scope<'q, '_>) -> Result<Typed> {
        let mut sizes: Vec<Plan> = Vec::new();
        for argument in arguments {
            match &argument.value.kind {
                ExprKind::Star => sizes.extend(scope.columns.iter().map(size_of)),
                ExprKind::Name(name) => match scope.columns.iter().find(|c| c.name == *name) {
                    Some(found) => sizes.push(size_of(found)),
                    None => {
                        let name = Name { text: name.clone(), span: argument.value.span };
                        return Err(
                            super::unknown("column", &name, scope.columns.iter().map(|c| c.name.as_str())).into()
                        );
                    }
                },
                _ => {
                    let message = "expected the name of a column, or *";
                    return Err(Diagnostic::semantic(argument.value.span, message).into());
                }
            }
        }
        let total = sizes.into_iter().reduce(|sum, size| sum + size).unwrap_or_else(|| long(0));
        Ok(Typed::new(total, Type::Long))
    }
}

/// The bytes of the values of a column: by its type, for text by what it holds.
fn size_of(of: &Column) -> Plan {
    match of.column_type {
        Type::Bool => long(1),
        Type::Int => long(4),
        Type::Long | Type::Real | Type::DateTime | Type::TimeSpan => long(8),
        Type::Decimal | Type::Guid => long(16),
        Type::String => string::STRING_SIZE.call(vec![column(of).expr]),
        Type::Dynamic => dynamic::SIZE.call(vec![column(of).expr]),
    }
}
