//! A catalog of a single table, for queries that may ask nothing else.

use engine::catalog::{Catalog, StoredFunction, Table};
use std::sync::Arc;

/// One table and nothing else.
pub(crate) struct OneTable {
    pub database: String,
    pub name: String,
    pub table: Table,
}

impl Catalog for OneTable {
    fn table(&self, database: &str, name: &str) -> Option<Table> {
        (database == self.database && name == self.name).then(|| self.table.clone())
    }

    fn functions(&self, _database: &str) -> Vec<Arc<StoredFunction>> {
        Vec::new()
    }

    fn table_names(&self, _database: &str) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn database_names(&self) -> Vec<String> {
        vec![self.database.clone()]
    }

    fn has_database(&self, database: &str) -> bool {
        database == self.database
    }
}
