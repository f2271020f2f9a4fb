//! What the engine asks of whoever reads files elsewhere, for `externaldata`.

use crate::types::Column;
use datafusion::arrow::array::RecordBatch;
use futures::future::BoxFuture;

/// Files elsewhere, and how their records are read.
#[derive(Debug, Clone)]
pub struct ExternalData {
    /// In the order of the query.
    pub addresses: Vec<String>,
    pub columns: Vec<Column>,
    /// `csv`, `json` ...; what the name of a file says, where the query says nothing.
    pub format: Option<String>,
    /// Whether the first record of each file is left out.
    pub ignores_first_record: bool,
}

/// Reads files elsewhere.
pub trait ExternalReader: Send + Sync {
    /// The records under the wanted columns, in the engine's Arrow types; why they cannot be read, as an error.
    fn read(&self, wanted: ExternalData) -> BoxFuture<'_, Result<Vec<RecordBatch>, String>>;
}
