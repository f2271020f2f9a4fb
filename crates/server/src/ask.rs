//! Questions of the program itself: queries whose answers become JSON for other interfaces.

use crate::Services;
use crate::azure_error::AzureError;
use crate::queries::{Failed, Limits, Properties};
use engine::catalog::TablesOf;
use engine::cells::Cells;
use engine::{Caller, Rows};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);
const BYTES_MAX: usize = 64 << 20;

impl Services {
    /// The rows of a query of our own over the tables of a workspace, as objects; functions are not seen. `parameters` are what `declare query_parameters` of
    /// the text names; they are the only way in for anything that a request says.
    pub(crate) async fn ask(
        &self,
        database: &str,
        text: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Vec<Map<String, Value>>, AzureError> {
        let limits = Limits { timeout: TIMEOUT, rows_max: usize::MAX, bytes_max: BYTES_MAX, ..Limits::default() };
        let parameters: HashMap<String, String> =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let caller = Caller { principal: "turnstone".to_owned(), endpoint: String::new() };
        let properties = Properties { limits, parameters, caller, ..Properties::default() };
        let catalog = Arc::new(TablesOf { inner: self.workspaces.catalog(), database: database.to_owned() });
        let ran = self.queries.run(catalog, database.to_owned(), text.to_owned(), properties, objects).await;
        let results: Vec<Vec<Map<String, Value>>> = ran.map_err(|failed| match failed {
            Failed::TimedOut(_) => AzureError::busy("the rows could not be read in time; try again"),
            Failed::Engine(engine::Error::Query(found)) => {
                let lines: Vec<String> = found.iter().map(|problem| problem.one_line(text)).collect();
                AzureError::internal(&lines.join("; "))
            }
            other => AzureError::internal(&format!("{other:?}")),
        })?;
        Ok(results.into_iter().next().unwrap_or_default())
    }
}

async fn objects(mut rows: Rows, limits: Limits) -> Result<Vec<Map<String, Value>>, engine::Error> {
    let mut objects = Vec::new();
    let mut bytes = 0;
    while let Some(batch) = rows.next().await? {
        let cells: Vec<Cells> =
            batch.columns().iter().zip(&rows.columns).map(|(array, c)| Cells::new(c.column_type, array)).collect();
        for row in 0..batch.num_rows() {
            let mut object = Map::new();
            for (cell, column) in cells.iter().zip(&rows.columns) {
                let mut text = String::new();
                cell.write_json(row, &mut text);
                bytes += text.len();
                object.insert(column.name.clone(), serde_json::from_str(&text).unwrap_or_default());
            }
            objects.push(object);
        }
        if bytes > limits.bytes_max {
            return Err(engine::Error::Run("the answer is too large".to_owned()));
        }
    }
    Ok(objects)
}
