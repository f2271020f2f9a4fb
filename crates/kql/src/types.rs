//! The ten scalar types of Kusto and the names that people write for them.

use std::fmt;

/// A scalar type. All but [`Type::String`] have a null value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Type {
    Bool,
    /// 32-bit signed integer.
    Int,
    /// 64-bit signed integer; the type of every integer literal.
    Long,
    /// 64-bit IEEE float.
    Real,
    Decimal,
    /// UTF-8 text, never null: a missing string is `""`.
    String,
    /// 100 ns ticks since 0001-01-01T00:00:00Z.
    DateTime,
    /// A signed number of 100 ns ticks.
    TimeSpan,
    Guid,
    /// Any JSON value.
    Dynamic,
}

impl Type {
    /// Every type, in the order of the reference documentation.
    pub const ALL: [Type; 10] = [
        Type::Bool,
        Type::DateTime,
        Type::Decimal,
        Type::Dynamic,
        Type::Guid,
        Type::Int,
        Type::Long,
        Type::Real,
        Type::String,
        Type::TimeSpan,
    ];

    /// The type that a query author means by `name`, aliases included; `None` for an unknown name.
    pub fn from_name(name: &str) -> Option<Type> {
        Some(match name {
            "bool" | "boolean" => Type::Bool,
            "int" => Type::Int,
            "long" => Type::Long,
            "real" | "double" => Type::Real,
            "decimal" => Type::Decimal,
            "string" => Type::String,
            "datetime" | "date" => Type::DateTime,
            "timespan" | "time" => Type::TimeSpan,
            "guid" | "uuid" | "uniqueid" => Type::Guid,
            "dynamic" => Type::Dynamic,
            _ => return None,
        })
    }

    /// The canonical KQL name, as `getschema` and the wire formats print it.
    pub fn name(self) -> &'static str {
        match self {
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Long => "long",
            Type::Real => "real",
            Type::Decimal => "decimal",
            Type::String => "string",
            Type::DateTime => "datetime",
            Type::TimeSpan => "timespan",
            Type::Guid => "guid",
            Type::Dynamic => "dynamic",
        }
    }

    /// The name of the .NET type that Kusto's clients know it by, as `getschema` prints it.
    pub fn dotnet_name(self) -> &'static str {
        match self {
            Type::Bool => "System.SByte",
            Type::Int => "System.Int32",
            Type::Long => "System.Int64",
            Type::Real => "System.Double",
            Type::Decimal => "System.Data.SqlTypes.SqlDecimal",
            Type::String => "System.String",
            Type::DateTime => "System.DateTime",
            Type::TimeSpan => "System.TimeSpan",
            Type::Guid => "System.Guid",
            Type::Dynamic => "System.Object",
        }
    }

    /// True for the types that arithmetic widens among: int, long, real and decimal.
    pub fn is_numeric(self) -> bool {
        matches!(self, Type::Int | Type::Long | Type::Real | Type::Decimal)
    }

    /// True for int and long.
    pub fn is_integer(self) -> bool {
        matches!(self, Type::Int | Type::Long)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
