//! What the engine asks of whoever keeps the tables and functions.

use crate::types::Column;
use datafusion::catalog::TableProvider;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A table as queries see it.
#[derive(Debug, Clone)]
pub struct Table {
    /// Columns with their Kusto types, in the order of the provider's schema.
    pub columns: Vec<Column>,
    /// Rows in the engine's Arrow types (see [`crate::types`]), under the columns' names.
    pub provider: Arc<dyn TableProvider>,
}

/// A function that is kept with the tables, to be called by any query.
#[derive(Debug)]
pub struct StoredFunction {
    pub name: String,
    /// Its spans are those of its own text.
    pub function: kql::tree::Function,
}

/// The tables and functions that a query can name.
pub trait Catalog: Send + Sync {
    /// The functions kept in `database`.
    fn functions(&self, _database: &str) -> Vec<Arc<StoredFunction>> {
        Vec::new()
    }

    /// The table `name` of `database`, `None` when there is none.
    fn table(&self, database: &str, name: &str) -> Option<Table>;

    /// The names of all tables of `database`, for wildcards and suggestions.
    fn table_names(&self, database: &str) -> Vec<String>;

    /// The names of all databases, for wildcards.
    fn database_names(&self) -> Vec<String>;

    /// Whether there is a database of that name.
    fn has_database(&self, database: &str) -> bool;
}

/// The tables of one database, and no function: what a program reads its own tables through, whatever else was made
/// beside them.
pub struct TablesOf {
    pub inner: Arc<dyn Catalog>,
    pub database: String,
}

impl Catalog for TablesOf {
    fn table(&self, database: &str, name: &str) -> Option<Table> {
        if database == self.database { self.inner.table(database, name) } else { None }
    }

    fn table_names(&self, database: &str) -> Vec<String> {
        if database == self.database { self.inner.table_names(database) } else { Vec::new() }
    }

    fn database_names(&self) -> Vec<String> {
        vec![self.database.clone()]
    }

    fn has_database(&self, database: &str) -> bool {
        database == self.database
    }
}

/// A fixed set of tables, the same for every database name.
#[derive(Debug, Default, Clone)]
pub struct FixedCatalog {
    pub tables: BTreeMap<String, Table>,
}

impl Catalog for FixedCatalog {
    fn table(&self, _database: &str, name: &str) -> Option<Table> {
        self.tables.get(name).cloned()
    }

    fn table_names(&self, _database: &str) -> Vec<String> {
        self.tables.keys().cloned().collect()
    }

    fn database_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn has_database(&self, _database: &str) -> bool {
        true
    }
}
