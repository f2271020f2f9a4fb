//! What the service says of itself: its version, its queries, and what it has none of.

use super::super::error::KustoError;
use super::super::response::{Table, text};
use super::Command;
use super::words::Words;
use crate::query_log::QueryRecord;
use access::role::ADMINISTER;
use kql::{Type, datetime, timespan};

pub(super) fn version() -> Table {
    let mut table = Table::new(&[
        ("BuildVersion", Type::String),
        ("BuildTime", Type::DateTime),
        ("ServiceType", Type::String),
        ("ProductVersion", Type::String),
        ("ServiceOffering", Type::String),
    ]);
    let version = text(env!("CARGO_PKG_VERSION"));
    table.push(&[version.clone(), "null".to_owned(), text("Engine"), version, text("Turnstone")]);
    table
}

pub(super) fn materialized_views() -> Table {
    Table::new(&[
        ("Name", Type::String),
        ("SourceTable", Type::String),
        ("Query", Type::String),
        ("MaterializedTo", Type::DateTime),
        ("LastRun", Type::DateTime),
        ("LastRunResult", Type::String),
        ("IsHealthy", Type::Bool),
        ("IsEnabled", Type::Bool),
        ("Status", Type::String),
        ("Folder", Type::String),
        ("DocString", Type::String),
        ("AutoUpdateSchema", Type::Bool),
        ("EffectiveDateTime", Type::DateTime),
        ("LastDefinitionUpdate", Type::DateTime),
        ("Lookback", Type::TimeSpan),
        ("LookbackColumn", Type::String),
    ])
}

pub(super) fn external_tables() -> Table {
    Table::new(&[
        ("TableName", Type::String),
        ("TableType", Type::String),
        ("Folder", Type::String),
        ("DocString", Type::String),
        ("Properties", Type::String),
        ("ConnectionStrings", Type::Dynamic),
        ("Partitions", Type::Dynamic),
        ("PathFormat", Type::String),
    ])
}

/// Queries in the columns that clients know; what is not measured is null.
fn listing(records: Vec<QueryRecord>) -> Table {
    let mut table = Table::new(&[
        ("ClientActivityId", Type::String),
        ("Text", Type::String),
        ("Database", Type::String),
        ("StartedOn", Type::DateTime),
        ("LastUpdatedOn", Type::DateTime),
        ("Duration", Type::TimeSpan),
        ("State", Type::String),
        ("RootActivityId", Type::Guid),
        ("User", Type::String),
        ("FailureReason", Type::String),
        ("TotalCpu", Type::TimeSpan),
        ("CacheStatistics", Type::Dynamic),
        ("Application", Type::String),
        ("MemoryPeak", Type::Long),
        ("ScannedExtentsStatistics", Type::Dynamic),
        ("Principal", Type::String),
        ("ClientRequestProperties", Type::Dynamic),
        ("ResultSetStatistics", Type::Dynamic),
        ("WorkloadGroup", Type::String),
    ]);
    let null = || "null".to_owned();
    for record in records {
        let until = record.ended.unwrap_or_else(datetime::now);
        let state = match (record.ended, &record.failure) {
            (None, _) => "InProgress",
            (Some(_), None) => "Completed",
            (Some(_), Some(_)) => "Failed",
        };
        table.push(&[
            text(&record.id),
            text(&record.text),
            text(&record.database),
            text(datetime::format(record.started)),
            text(datetime::format(until)),
            text(timespan::format(until - record.started)),
            text(state),
            null(),
            text(&record.principal),
            text(record.failure.unwrap_or_default()),
            null(),
            null(),
            text(""),
            null(),
            null(),
            text(&record.principal),
            null(),
            null(),
            text("default"),
        ]);
    }
    table
}

impl Command<'_> {
    /// Whether the caller may know of a query: its own, or any where it administers the server.
    fn is_visible(&self, record: &QueryRecord) -> bool {
        record.principal == self.limits.caller.principal || self.caller.may(ADMINISTER, "/")
    }

    pub(super) fn show_queries(&self) -> Table {
        listing(self.services.queries.log.ended().into_iter().filter(|record| self.is_visible(record)).collect())
    }

    pub(super) fn show_running_queries(&self) -> Table {
        listing(self.services.queries.log.running().into_iter().filter(|record| self.is_visible(record)).collect())
    }

    /// `.cancel query "id"`, by the name that the client gave it.
    pub(super) fn cancel_query(&self, words: &mut Words<'_>) -> Result<Table, KustoError> {
        let id = words.string("the ClientActivityId of a query")?;
        self.requester.is_somebody("Turnstone/queries/cancel/action")?;
        words.properties()?;
        words.finish()?;
        let cancelled = self.services.queries.log.cancel(&id, |record| self.is_visible(record));
        if cancelled.is_empty() {
            return Err(KustoError::bad_request(format!("there is no running query named '{id}'")));
        }
        Ok(listing(cancelled))
    }
}
