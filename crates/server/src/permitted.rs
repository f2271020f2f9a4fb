//! The catalog as one caller may see it: the databases that its roles let it query, and no others.

use access::Caller;
use access::role::QUERY;
use detect::intake::INTERNAL_DATABASE;
use engine::catalog::{Catalog, StoredFunction, Table};
use std::sync::Arc;

struct Permitted {
    inner: Arc<dyn Catalog>,
    databases: Vec<String>,
}

impl Permitted {
    fn sees(&self, database: &str) -> bool {
        self.databases.iter().any(|name| name == database)
    }
}

impl Catalog for Permitted {
    fn table(&self, database: &str, name: &str) -> Option<Table> {
        if self.sees(database) { self.inner.table(database, name) } else { None }
    }

    fn functions(&self, database: &str) -> Vec<Arc<StoredFunction>> {
        if self.sees(database) { self.inner.functions(database) } else { Vec::new() }
    }

    fn table_names(&self, database: &str) -> Vec<String> {
        if self.sees(database) { self.inner.table_names(database) } else { Vec::new() }
    }

    fn database_names(&self) -> Vec<String> {
        self.databases.clone()
    }

    fn has_database(&self, database: &str) -> bool {
        self.sees(database)
    }
}

impl crate::Services {
    /// The names of the databases that a caller may query.
    pub(crate) fn databases_of(&self, caller: &Caller) -> Vec<String> {
        let mut names = self.databases();
        names.retain(|name| caller.may(QUERY, &self.directory.workspace(name).to_string()));
        names
    }

    /// What the queries of a caller may read.
    pub(crate) fn catalog_for(&self, caller: &Caller) -> Arc<dyn Catalog> {
        Arc::new(Permitted { inner: self.workspaces.catalog(), databases: self.databases_of(caller) })
    }

    /// The names of all databases but the program's own.
    pub(crate) fn databases(&self) -> Vec<String> {
        let mut names = self.workspaces.databases();
        names.retain(|name| name != INTERNAL_DATABASE);
        names
    }
}
