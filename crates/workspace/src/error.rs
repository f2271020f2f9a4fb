//! What can go wrong with a workspace.

use std::path::PathBuf;

/// Fragments that read after "failed to …".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such database; the payload is its name.
    #[error("there is no database named '{0}'")]
    NoDatabase(String),
    /// There is no such table; the payload is its name.
    #[error("there is no table named '{0}'")]
    NoTable(String),
    /// There is no such function; the payload is its name.
    #[error("there is no function named '{0}'")]
    NoFunction(String),
    /// A function that cannot be read; the payload says why.
    #[error("{0}")]
    BadFunction(String),
    /// A name that cannot be a folder's name.
    #[error("'{0}' is no name for a database or table: letters, digits, '_', '-' and '.' only, 1 to 128 of them")]
    BadName(String),
    /// A database whose name differs from another's by case alone.
    #[error("there is a database named '{other}', from which '{name}' differs by case alone")]
    TakenName { name: String, other: String },
    /// A table has a column of another type than asked for.
    #[error("the column '{column}' of '{table}' has type {existing}, not {wanted}")]
    ColumnType { table: String, column: String, existing: kql::Type, wanted: kql::Type },
    /// A column that a table cannot have; the payload says why.
    #[error("{0}")]
    BadColumn(String),
    /// The folder was written by another version of the format.
    #[error("{path} has format version {found}, this program reads version {supported}")]
    FormatVersion { path: PathBuf, found: u32, supported: u32 },
    /// A file does not hold what it should.
    #[error("{path} is damaged at byte {offset}: {problem}")]
    Damaged { path: PathBuf, offset: u64, problem: String },
    /// Another process has the folder open.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// A table whose rows nobody may change; the payload is its name.
    #[error("the rows of '{0}' are kept as they are: nobody changes, removes or adds to them")]
    AppendOnly(String),
    /// The rows of one request take too much room; send fewer at once.
    #[error("the rows take {bytes} bytes, at most {bytes_max} are taken at once")]
    TooLarge { bytes: usize, bytes_max: usize },
    /// A batch that does not fit its table or its own request; the payload says how.
    #[error("{0}")]
    BadBatch(String),
    /// More rows wait in memory than the configured bound; try again later.
    #[error("too many rows wait to be stored; try again in a few seconds")]
    Overloaded,
    /// A database has taken what its owner lets it take in a day.
    #[error(
        "the database '{database}' has taken its {quota_bytes} bytes of this day; it takes more from midnight UTC on, or when its daily quota is raised"
    )]
    QuotaReached { database: String, quota_bytes: u64 },
    /// The disk has no room for more rows; what was acknowledged is safe. Rows are taken again once there is room.
    #[error("the disk is full: {0}")]
    DiskFull(String),
    /// The writer has stopped, after a failure of the disk or at shutdown.
    #[error("the workspace takes no more rows: {0}")]
    Stopped(String),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("table files: {0}")]
    Delta(#[from] deltalake_core::DeltaTableError),
    #[error("Parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error("rows: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("{0}")]
    Engine(#[from] datafusion::common::DataFusionError),
}

pub type Result<T> = std::result::Result<T, Error>;

/// Adds the path to an I/O error.
pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.into();
    move |source| Error::Io { path, source }
}
