//! What a workspace promises: rows that were appended are there, once, whatever is flushed, reopened or changed.

#![allow(clippy::expect_used, clippy::panic)]

use kql::{Type, datetime};
use serde_json::json;
use support::*;
use workspace::{Options, Workspaces};

mod support;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_there_once_from_the_log_and_from_files() {
    let folder = tempfile::tempdir().expect("a folder");
    // A name that file systems and addresses write differently.
    let data = folder.path().join("größe ~1 [x]");
    let workspaces = open_with_table(&data).await;
    let time = "2026-03-02T10:00:00.1234567Z";
    append(&workspaces, &[json!({"TimeGenerated": time, "N": 1, "S": "a"})], &[]).await;
    let all = "T | sort by N asc | project N, S, TimeGenerated";
    let first = format!("1 \"a\" \"{time}\"");
    assert_eq!(query(&workspaces, all).await, std::slice::from_ref(&first), "visible at once");
    workspaces.flush().await.expect("flushed");
    assert_eq!(
        query(&workspaces, all).await,
        std::slice::from_ref(&first),
        "the last digit of a time survives the file"
    );
    append(&workspaces, &[json!({"TimeGenerated": "2026-03-03", "N": 2, "S": "b"})], &[]).await;
    assert_eq!(query(&workspaces, "T | count").await, ["2"]);
    close(workspaces).await;
    for _ in 0..2 {
        let workspaces = open(&data).await;
        assert_eq!(query(&workspaces, "T | count").await, ["2"]);
        assert_eq!(query(&workspaces, "T | where TimeGenerated < datetime(2026-03-03) | project N").await, ["1"]);
        workspaces.flush().await.expect("flushed");
        assert_eq!(query(&workspaces, "T | where TimeGenerated >= datetime(2026-03-03) | project S").await, ["\"b\""]);
        close(workspaces).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_event_is_stored_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspaces = open_with_table(folder.path()).await;
    let rows = [json!({"N": 1}), json!({"N": 2})];
    // Both rows are of one event.
    let appended = append(&workspaces, &rows, &["e1", "e1"]).await;
    assert_eq!((appended.rows, appended.repeated), (2, 0));
    let appended = append(&workspaces, &rows, &["e1", "e2"]).await;
    assert_eq!((appended.rows, appended.repeated), (1, 1));
    workspaces.flush().await.expect("flushed");
    close(workspaces).await;
    let workspaces = open(folder.path()).await;
    let appended = append(&workspaces, &rows, &["e1", "e2"]).await;
    assert_eq!((appended.rows, appended.repeated), (0, 2), "known again after a restart");
    assert_eq!(query(&workspaces, "T | count").await, ["3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_can_be_added() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspaces = open_with_table(folder.path()).await;
    append(&workspaces, &[json!({"N": 1, "S": "stored"})], &[]).await;
    workspaces.flush().await.expect("flushed");
    append(&workspaces, &[json!({"N": 2, "S": "hot"})], &[]).await;
    let wider = schema(&[("N", Type::Long), ("Extra", Type::String), ("D", Type::Dynamic)]);
    workspaces.create_merge_table(DATABASE, &wider).await.expect("columns are added");
    append(&workspaces, &[json!({"N": 3, "Extra": "new", "D": {"k": [1]}})], &[]).await;
    let text = "T | sort by N asc | project N, Extra, isempty(Extra), D";
    let wanted = ["1 \"\" true null", "2 \"\" true null", "3 \"new\" false {\"k\":[1]}"];
    assert_eq!(query(&workspaces, text).await, wanted);
    workspaces.flush().await.expect("flushed");
    assert_eq!(query(&workspaces, text).await, wanted);
    close(workspaces).await;
    assert_eq!(query(&open(folder.path()).await, text).await, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_columns_cannot_have_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspaces = open_with_table(folder.path()).await;
    for (name, of) in [("_day", Type::String), ("N", Type::String), ("", Type::Long)] {
        let error = workspaces.create_merge_table(DATABASE, &schema(&[(name, of)])).await;
        assert!(error.is_err(), "'{name}' was taken");
    }
    append(&workspaces, &[json!({"N": 1})], &[]).await;
    workspaces.flush().await.expect("the table still works");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_made_anew_has_none_of_the_old_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspaces = open_with_table(folder.path()).await;
    append(&workspaces, &[json!({"N": 1})], &[]).await;
    assert!(workspaces.drop_table(DATABASE, "T").await.expect("dropped"));
    assert!(!workspaces.drop_table(DATABASE, "T").await.expect("nothing to drop"));
    workspaces.create_merge_table(DATABASE, &first_columns()).await.expect("a table");
    append(&workspaces, &[json!({"N": 2})], &[]).await;
    assert_eq!(query(&workspaces, "T | project N").await, ["2"]);
    close(workspaces).await;
    assert_eq!(query(&open(folder.path()).await, "T | project N").await, ["2"], "the log does not bring them back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushes_and_appends_at_the_same_time_lose_nothing() {
    const ROWS: usize = 300;
    let folder = tempfile::tempdir().expect("a folder");
    let workspaces = open_with_table(folder.path()).await;
    let appending = tokio::spawn({
        let workspaces = workspaces.clone();
        async move {
            for n in 0..ROWS {
                append(&workspaces, &[json!({"N": n})], &[]).await;
            }
        }
    });
    while !appending.is_finished() {
        workspaces.flush().await.expect("flushed");
        let counts = query(&workspaces, "T | summarize count(), dcount(N)").await;
        let (all, distinct) = counts[0].split_once(' ').expect("two numbers");
        assert_eq!(all, distinct, "no row is seen twice");
    }
    appending.await.expect("all appended");
    assert_eq!(query(&workspaces, "T | count").await, [ROWS.to_string()]);
    close(workspaces).await;
    assert_eq!(query(&open(folder.path()).await, "T | summarize count(), dcount(N)").await, [format!("{ROWS} {ROWS}")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspaces = open_with_table(folder.path()).await;
    append(&workspaces, &[json!({"N": 1})], &[]).await;
    let second = Workspaces::open(folder.path(), Options::default()).await.map(|_| ());
    assert!(second.expect_err("in use").to_string().contains("in use by another process"));
    close(workspaces).await;
    let catalog = folder.path().join("catalog.json");
    let good = std::fs::read(&catalog).expect("read");
    std::fs::remove_file(&catalog).expect("removed");
    let error = Workspaces::open(folder.path(), Options::default()).await.map(|_| ()).expect_err("no catalog");
    assert!(error.to_string().contains("the catalog is missing"), "{error}");
    std::fs::write(&catalog, String::from_utf8_lossy(&good).replace("\"format_version\": 2", "\"format_version\": 7"))
        .expect("written");
    let error = Workspaces::open(folder.path(), Options::default()).await.map(|_| ()).expect_err("another version");
    assert!(error.to_string().contains("has format version 7, this program reads version 2"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_that_differ_in_case_alone_are_two() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspaces = open_with_table(folder.path()).await;
    let wider = schema(&[("s", Type::Long), ("n", Type::DateTime)]);
    workspaces.create_merge_table(DATABASE, &wider).await.expect("the columns are added");
    let row = json!({"N": 1, "S": "a", "s": 2, "n": "2026-03-02T10:00:00.1234567Z"});
    append(&workspaces, &[row], &[]).await;
    workspaces.flush().await.expect("flushed");
    close(workspaces).await;
    let workspaces = open(folder.path()).await;
    let rows = query(&workspaces, "T | where s == 2 and S == 'a' | project N, S, s, n").await;
    assert_eq!(rows, ["1 \"a\" 2 \"2026-03-02T10:00:00.1234567Z\""]);
    let almost = schema(&[("timegenerated", Type::DateTime)]);
    workspaces.create_merge_table(DATABASE, &almost).await.expect_err("files are pruned by this name");
    close(workspaces).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_can_change_their_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspaces = open_with_table(folder.path()).await;
    let time = "2026-03-02T10:00:00Z";
    append(&workspaces, &[json!({"TimeGenerated": time, "N": 1, "S": "in a file"})], &[]).await;
    workspaces.flush().await.expect("it flushes");
    append(&workspaces, &[json!({"TimeGenerated": time, "N": 2, "S": "in the log"})], &[]).await;
    // What has been read is kept, and must not be taken for the column that is in its place later.
    assert_eq!(query(&workspaces, "T | where S startswith 'in' and N > 0 | count").await, ["2"]);
    let wanted =
        schema(&[("S", Type::String), ("R", Type::Real), ("N", Type::Long), ("TimeGenerated", Type::DateTime)]);
    workspaces.alter_table(DATABASE, &wanted).await.expect("another order");
    append(&workspaces, &[json!({"S": "after", "R": 2.5, "N": 3})], &[]).await;
    let rows = ["\"in a file\" null 1", "\"in the log\" null 2", "\"after\" 2.5 3"];
    let all = "T | sort by N asc | project-away TimeGenerated";
    assert_eq!(query(&workspaces, all).await, rows);
    workspaces.flush().await.expect("it flushes");
    assert_eq!(query(&workspaces, all).await, rows);
    workspaces.alter_table(DATABASE, &first_columns()).await.expect_err("R would be lost");
    close(workspaces).await;
    let reopened = open(folder.path()).await;
    assert_eq!(reopened.columns(DATABASE, "T").expect("a table"), wanted.columns);
    assert_eq!(query(&reopened, all).await, rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_files_know_of_columns_outlives_a_change_of_their_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspaces = open(folder.path()).await;
    workspaces.create_database(DATABASE).await.expect("a database");
    let columns = [("A", Type::DateTime), ("B", Type::DateTime), ("name", Type::String), ("Name", Type::String)];
    workspaces.create_merge_table(DATABASE, &schema(&columns)).await.expect("a table");
    // Both times have a digit that table files keep apart from them.
    let row = |n: u8| json!({"A": format!("2026-03-02T10:00:0{n}.0000001Z"), "B": format!("2026-03-02T11:00:0{n}.0000007Z"), "name": "lower", "Name": "upper"});
    append(&workspaces, &[row(1)], &[]).await;
    workspaces.flush().await.expect("it flushes");
    let reversed: Vec<_> = columns.into_iter().rev().collect();
    workspaces.alter_table(DATABASE, &schema(&reversed)).await.expect("another order");
    append(&workspaces, &[row(2)], &[]).await;
    workspaces.flush().await.expect("it flushes");
    append(&workspaces, &[row(3)], &[]).await;
    let wanted =
        |n: u8| format!("\"upper\" \"lower\" \"2026-03-02T11:00:0{n}.0000007Z\" \"2026-03-02T10:00:0{n}.0000001Z\"");
    let wanted = [wanted(1), wanted(2), wanted(3)];
    assert_eq!(query(&workspaces, "T | sort by A asc").await, wanted);
    close(workspaces).await;
    assert_eq!(query(&open(folder.path()).await, "T | sort by A asc").await, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_beyond_the_bound_are_refused_until_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { waiting_bytes_max: 1000, ..Options::default() };
    let workspaces = Workspaces::open(folder.path(), options).await.expect("the folder opens");
    workspaces.create_database(DATABASE).await.expect("a database");
    workspaces.create_merge_table(DATABASE, &first_columns()).await.expect("a table");
    let admission = workspaces.admit(1_000_000).expect("a single one is let in");
    let refused = workspaces.admit(1).expect_err("no room");
    assert!(matches!(refused, workspace::Error::Overloaded), "{refused}");
    drop(admission);
    append(&workspaces, &[json!({"N": 1, "S": "x".repeat(2000)})], &[]).await;
    // The rows make themselves due by the room that they take.
    while workspaces.admit(100).is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(workspaces.tables(DATABASE).await.expect("tables")[0].files, 1);
    assert_eq!(query(&workspaces, "T | count").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mappings_stay_with_their_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspaces = open_with_table(folder.path()).await;
    let entry = workspace::MappingEntry { kind: "json".into(), name: "m".into(), text: "[]".into() };
    workspaces.change_mappings(DATABASE, "T", |all| all.push(entry.clone())).await.expect("kept");
    workspaces.create_merge_table(DATABASE, &schema(&[("More", Type::Long)])).await.expect("a column is added");
    close(workspaces).await;
    let workspaces = open(folder.path()).await;
    assert_eq!(workspaces.mappings(DATABASE, "T").await.expect("mappings"), [entry]);
    assert!(workspaces.drop_table(DATABASE, "T").await.expect("dropped"));
    workspaces.create_merge_table(DATABASE, &first_columns()).await.expect("a table");
    assert_eq!(workspaces.mappings(DATABASE, "T").await.expect("mappings"), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_in_any_order_go_to_the_files_of_their_days() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspaces = open_with_table(folder.path()).await;
    for (n, time) in [(1, "2026-03-03T01:00:00Z"), (2, "2026-03-01T02:00:00Z"), (3, ""), (4, "2026-03-01T01:00:00Z")] {
        append(&workspaces, &[json!({"TimeGenerated": time, "N": n, "S": "x".repeat(20)})], &[]).await;
    }
    let by_time = "T | sort by TimeGenerated asc nulls first | project N";
    assert_eq!(query(&workspaces, by_time).await, ["3", "4", "2", "1"]);
    workspaces.flush().await.expect("flushed");
    assert_eq!(workspaces.tables(DATABASE).await.expect("tables")[0].files, 3);
    assert_eq!(query(&workspaces, by_time).await, ["3", "4", "2", "1"]);
    assert_eq!(query(&workspaces, "T | where TimeGenerated < datetime(2026-03-02) | count").await, ["2"]);
}

/// Rows as they come from many senders: in order or not, some without a time, some with a digit of 100 ns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_writes_a_file_for_each_day() {
    let today = datetime::format(datetime::now());
    let of_today = |n: u32| json!({"TimeGenerated": today, "N": n, "S": "today"});
    let at = |day: u32, hour: u32, more: &str, n: u32| json!({"TimeGenerated": format!("2026-03-0{day}T{hour:02}:00:00{more}Z"), "N": n, "S": format!("day {day}")});
    let none = |n: u32| json!({"N": n, "S": "no time"});
    let in_order =
        [vec![none(1), at(1, 23, "", 2), at(2, 0, "", 3)], vec![at(2, 0, "", 4), at(3, 9, ".0000003", 5), of_today(6)]];
    let out_of_order = [
        vec![at(2, 5, "", 1), none(2), at(1, 0, ".0000009", 3)],
        vec![of_today(4), at(3, 1, "", 5), none(6)],
        vec![at(1, 12, "", 7)],
    ];
    for batches in [in_order.to_vec(), out_of_order.to_vec()] {
        let folder = tempfile::tempdir().expect("a folder");
        let workspaces = open_with_table(folder.path()).await;
        let mut count = 0;
        for batch in &batches {
            append(&workspaces, batch, &[]).await;
            count += batch.len();
        }
        let all = "T | sort by N asc | project N, S, TimeGenerated";
        let before = query(&workspaces, all).await;
        assert_eq!(before.len(), count);
        workspaces.flush().await.expect("it flushes");
        assert_eq!(query(&workspaces, all).await, before);
        let info = workspaces.tables(DATABASE).await.expect("the tables").pop().expect("one");
        assert_eq!((info.files, info.file_rows, info.hot_rows), (4, count as u64, 0));
        close(workspaces).await;
        let reopened = open(folder.path()).await;
        assert_eq!(query(&reopened, all).await, before);
        let second = "T | where TimeGenerated between (datetime(2026-03-02) .. 1d) | summarize count(), dcount(S)";
        assert!(query(&reopened, second).await[0].ends_with(" 1"));
    }
}
