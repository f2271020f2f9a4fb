//! What is done to table files in the background: it takes nothing away that should stay, and what should go goes.

#![allow(clippy::expect_used, clippy::panic)]

mod support;

use engine::catalog::Catalog;
use kql::Type;
use kql::datetime;
use kql::timespan::TICKS_PER_DAY;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::*;
use workspace::{Deleted, Error, TableSchema, Workspaces};

fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    files(folder, "parquet")
}

fn days_ago(days: i64) -> String {
    datetime::format(datetime::now() - days * TICKS_PER_DAY)
}

async fn append_and_flush(workspaces: &Workspaces, rows: &[Value]) {
    append(workspaces, rows, &[]).await;
    workspaces.flush().await.expect("it flushes");
}

/// Eight files of one day and a column that some of them are older than, times with and without a digit of 100 ns.
async fn eight_files(workspaces: &Workspaces) {
    for n in 0..8 {
        if n == 4 {
            let more = schema(&[("Later", Type::DateTime)]);
            workspaces.create_merge_table(DATABASE, &more).await.expect("a column more");
        }
        let second = (n * 7) % 8;
        let digit = if n % 2 == 0 { "0000003" } else { "000000" };
        let time = format!("2026-03-02T10:00:0{second}.{digit}Z");
        let later = format!("2026-03-03T11:00:0{second}.0000009Z");
        append_and_flush(
            workspaces,
            &[json!({"TimeGenerated": time, "N": n, "S": format!("row {n}"), "Later": later}), json!({"N": 100 + n})],
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_files_become_one_with_the_same_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspaces = open_with_table(folder.path()).await;
    eight_files(&workspaces).await;
    let all = "T | sort by N asc | project N, S, TimeGenerated, Later";
    let before = query(&workspaces, all).await;
    assert_eq!(before.len(), 16);
    // The rows without a time are of today, the others of a day in March: two files from sixteen.
    assert_eq!(parquet_files(folder.path()).len(), 16);
    workspaces.maintain().await;
    assert_eq!(query(&workspaces, all).await, before);
    assert_eq!(parquet_files(folder.path()).len(), 2, "what was merged is gone once nobody reads it");
    let times = "T | where isnotnull(TimeGenerated) | where TimeGenerated between (datetime(2026-03-02T10:00:02Z) .. datetime(2026-03-02T10:00:04Z)) | summarize make_list(N)";
    let between = query(&workspaces, times).await;
    append_and_flush(&workspaces, &[json!({"N": 200})]).await;
    close(workspaces).await;
    let reopened = open(folder.path()).await;
    assert_eq!(query(&reopened, times).await, between);
    assert_eq!(query(&reopened, "T | count").await, ["17"]);
    let before: Vec<String> = before.into_iter().chain([String::from("200 \"\" null null")]).collect();
    assert_eq!(query(&reopened, all).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_was_planned_before_files_are_replaced_reads_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspaces = open_with_table(folder.path()).await;
    eight_files(&workspaces).await;
    let planned = workspaces.catalog().table(DATABASE, "T").expect("the table");
    let session = datafusion::prelude::SessionContext::new();
    let plan = planned.provider.scan(&session.state(), None, &[], None).await.expect("planned");
    drop(planned);
    workspaces.maintain().await;
    assert_eq!(parquet_files(folder.path()).len(), 18, "the old ones are still read");
    let batches = datafusion::physical_plan::collect(plan, session.task_ctx()).await.expect("it runs");
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 16);
    drop(batches);
    assert_eq!(parquet_files(folder.path()).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_named_and_keeps_nothing_else_from_its_turn() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspaces = open_with_table(folder.path()).await;
    eight_files(&workspaces).await;
    let of_march = |path: &PathBuf| path.to_string_lossy().contains("_Day=2026-03-02");
    let damaged = parquet_files(folder.path()).into_iter().find(of_march).expect("a file");
    let mut bytes = std::fs::read(&damaged).expect("read");
    let end = bytes.len();
    bytes[end - 40..end - 8].fill(0xff);
    std::fs::write(&damaged, &bytes).expect("written");
    // The eight files of today are merged, those of March stay.
    workspaces.maintain().await;
    assert_eq!(parquet_files(folder.path()).len(), 9);
    let session = engine::Session::new(engine::Limits::default()).expect("a session");
    let text = "T | where TimeGenerated < datetime(2026-03-03) | count";
    let error = match session.query(workspaces.catalog().as_ref(), DATABASE, text).await {
        Err(error) => error.to_string(),
        Ok(mut results) => {
            results.pop().expect("a result").collect().await.map(|_| ()).expect_err("a damaged file").to_string()
        }
    };
    assert!(error.contains(damaged.file_name().expect("a name").to_str().expect("text")), "{error}");
    let today = format!("T | where TimeGenerated > datetime({}) or N >= 100 | count", days_ago(1));
    assert!(query_fails(&workspaces, &today).await, "no answer leaves out what cannot be read");
}

async fn query_fails(workspaces: &Workspaces, text: &str) -> bool {
    let session = engine::Session::new(engine::Limits::default()).expect("a session");
    match session.query(workspaces.catalog().as_ref(), DATABASE, text).await {
        Err(_) => true,
        Ok(mut results) => results.pop().expect("a result").collect().await.is_err(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_kept_as_long_as_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspaces = open_with_table(folder.path()).await;
    let operation = TableSchema { name: "Operation".to_owned(), ..schema(&[("Detail", Type::String)]) };
    workspaces.create_merge_table(DATABASE, &operation).await.expect("a table");
    for days in [0, 3, 20, 40] {
        append_and_flush(&workspaces, &[json!({"TimeGenerated": days_ago(days), "N": days})]).await;
    }
    append_and_flush(&workspaces, &[json!({"N": -1})]).await;
    let kept = "T | sort by N asc | project N";
    workspaces.maintain().await;
    assert_eq!(query(&workspaces, kept).await, ["-1", "0", "3", "20", "40"], "nothing is said, all is kept");
    workspaces.set_retention(DATABASE, None, Some(30)).await.expect("said");
    workspaces.maintain().await;
    assert_eq!(query(&workspaces, kept).await, ["-1", "0", "3", "20"]);
    workspaces.set_retention(DATABASE, Some("T"), Some(2)).await.expect("said");
    close(workspaces).await;
    let workspaces = open(folder.path()).await;
    let retention = workspaces.retention(DATABASE, "T").await.expect("known");
    assert_eq!((retention.table_days, retention.database_days, retention.days()), (Some(2), Some(30), Some(2)));
    workspaces.maintain().await;
    assert_eq!(query(&workspaces, kept).await, ["-1", "0"], "also after a start");
    let noted = query(
        &workspaces,
        "Operation | where Detail has \"'T'\" | summarize sum(toint(extract('^([0-9]+) rows', 1, Detail)))",
    )
    .await;
    assert_eq!(noted, ["3"], "what was removed is said");
    workspaces.set_retention("nowhere", None, Some(1)).await.expect_err("no such database");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_deleted_and_no_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspaces = open_with_table(folder.path()).await;
    let row = |n: i64| json!({"TimeGenerated": "2026-03-02T10:00:00.1234567Z", "N": n, "S": format!("row {n}")});
    append_and_flush(&workspaces, &[row(1), row(2), row(3)]).await;
    append_and_flush(&workspaces, &[row(11), row(12)]).await;
    append_and_flush(&workspaces, &[row(2)]).await;
    append(&workspaces, &[row(2), row(4)], &[]).await;
    let delete = |catalog: Arc<dyn Catalog>| async move {
        let session = engine::Session::new(engine::Limits::default()).expect("a session");
        let mut answers = Vec::new();
        for text in ["T | where N == 2 | count", "T | where N != 2"] {
            let mut results = session.query(catalog.as_ref(), DATABASE, text).await.expect("right");
            answers.push(results.pop().expect("a result").collect().await.expect("it runs").batches);
        }
        let rows = answers.pop().expect("the rows");
        let is_hit = format!("{:?}", answers[0][0].column(0)).contains("  0,");
        Ok::<_, Error>((!is_hit).then_some(rows))
    };
    let deleted = workspaces.delete_rows(DATABASE, "T", delete).await.expect("deleted");
    assert_eq!(deleted, Deleted { rows: 3, files: 3 });
    let all = "T | sort by N asc | project N, S, TimeGenerated";
    let wanted: Vec<String> =
        [1, 3, 4, 11, 12].iter().map(|n| format!("{n} \"row {n}\" \"2026-03-02T10:00:00.1234567Z\"")).collect();
    assert_eq!(query(&workspaces, all).await, wanted);
    let fails = |_| async { Err(Error::Overloaded) };
    workspaces.delete_rows(DATABASE, "T", fails).await.expect_err("the filter fails");
    close(workspaces).await;
    assert_eq!(query(&open(folder.path()).await, all).await, wanted);
    assert_eq!(parquet_files(folder.path()).len(), 3, "a file without rows is no file");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_takes_no_more_in_a_day_than_its_owner_lets_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspaces = open_with_table(folder.path()).await;
    workspaces.set_daily_quota(DATABASE, Some(100)).await.expect("set");
    workspaces.check_quota(DATABASE).expect("nothing came yet");
    append(&workspaces, &[json!({"N": 1, "S": "x".repeat(50)})], &[]).await;
    workspaces.check_quota(DATABASE).expect("there is room");
    append(&workspaces, &[json!({"N": 1, "S": "x".repeat(50)})], &[]).await;
    let refused = workspaces.check_quota(DATABASE).expect_err("it is full");
    assert!(refused.to_string().contains("has taken its 100 bytes of this day"), "{refused}");
    close(workspaces).await;
    // Half of what was counted is in the log alone when the program starts again.
    let workspaces = open(folder.path()).await;
    assert_eq!(workspaces.daily_quota(DATABASE), (Some(100), 116));
    workspaces.flush().await.expect("flushed");
    workspaces.check_quota(DATABASE).expect_err("it is still full");
    close(workspaces).await;
    let workspaces = open(folder.path()).await;
    assert_eq!(workspaces.daily_quota(DATABASE), (Some(100), 116), "counted once");
    workspaces.set_daily_quota(DATABASE, None).await.expect("lifted");
    workspaces.check_quota(DATABASE).expect("no bound");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_the_folder_at_one_moment_while_rows_come() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspaces = open_with_table(folder.path()).await;
    append_and_flush(&workspaces, &[json!({"N": 0})]).await;
    let writing = tokio::spawn({
        let workspaces = workspaces.clone();
        async move {
            for n in 1..400 {
                let id = format!("event {n}");
                append(&workspaces, &[json!({"N": n})], &[&id]).await;
                if n % 50 == 0 {
                    workspaces.flush().await.expect("flushed");
                }
            }
        }
    });
    for _ in 0..4 {
        let acknowledged: usize = query(&workspaces, "T | count").await[0].parse().expect("a number");
        let snapshot = workspaces.snapshot().await.expect("a snapshot");
        workspaces.maintain().await;
        let opened = open(snapshot.folder()).await;
        let numbers = query(&opened, "T | summarize count(), count_distinct(N), max(N)").await;
        let parts: Vec<usize> = numbers[0].split(' ').map(|part| part.parse().expect("a number")).collect();
        assert!(
            parts[0] >= acknowledged && parts[0] == parts[1] && parts[0] == parts[2] + 1,
            "{acknowledged} {parts:?}"
        );
        // Ids are those of its rows: what it has is known, what it has not is new.
        let last = format!("event {}", parts[2]);
        let repeated = append(&opened, &[json!({"N": parts[2]}), json!({"N": 1000})], &[&last, "event 1000"]).await;
        assert_eq!((repeated.rows, repeated.repeated), if parts[2] > 0 { (1, 1) } else { (2, 0) });
        close(opened).await;
    }
    writing.await.expect("written");
    assert_eq!(query(&workspaces, "T | count").await, ["400"]);
    assert_eq!(std::fs::read_dir(folder.path().join("snapshots")).expect("a folder").count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_a_merge_that_was_cut_off_is_no_part_of_the_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspaces = open_with_table(folder.path()).await;
    append_and_flush(&workspaces, &[json!({"TimeGenerated": "2026-03-02T10:00:00Z", "N": 1})]).await;
    close(workspaces).await;
    let whole = parquet_files(folder.path()).pop().expect("a file");
    let left = whole.with_file_name("part-of-no-commit.parquet");
    std::fs::copy(&whole, &left).expect("copied");
    let reopened = open(folder.path()).await;
    assert_eq!(query(&reopened, "T | project N").await, ["1"]);
    assert!(!left.exists() && whole.exists());
}
