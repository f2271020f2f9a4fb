//! Side files: with them queries read less and answer the same; they come and go with their table files.

#![allow(clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::path::Path;
use support::*;
use workspace::Workspaces;

/// Enough for a side file.
const ROWS: usize = 20_000;

fn rows(from: usize) -> Vec<Value> {
    let row = |n: usize| {
        let (device, user) = (format!("device-{:03}", n % 100), if n % 2 == 0 { "root" } else { "pi" });
        let details = json!({"device": device, "pid": n, "user": user});
        json!({"TimeGenerated": "2026-03-02T10:00:00Z", "N": n, "S": details.to_string()})
    };
    (from..from + ROWS).map(row).collect()
}

/// Rows in table files, each with its side file.
async fn with_side_files(folder: &Path, tables_files: usize) -> Workspaces {
    let workspaces = open_with_table(folder).await;
    for n in 0..tables_files {
        append(&workspaces, &rows(n * ROWS), &[]).await;
        workspaces.flush().await.expect("it flushes");
    }
    workspaces.make_side_files().await.expect("they are made");
    assert_eq!(files(folder, "side").len(), tables_files);
    workspaces
}

const QUERIES: &[&str] = &[
    "T | where S has 'device-042' | count",
    "T | where S has '12345' | project N",
    "T | where S has 'nowhere' | count",
    "T | where tostring(parse_json(S).device) == 'device-007' | summarize count(), max(N)",
    "T | where tostring(parse_json(S).pid) == '777' | project N",
    "T | where tostring(parse_json(S).device) == 'DEVICE-007' | count",
    "T | where tostring(parse_json(S).device) =~ 'DEVICE-007' | count",
    "T | summarize dcount(N) by d=tostring(parse_json(S).device), u=tostring(parse_json(S).user) | where d endswith '9' \
     | sort by d asc, u asc",
    "search 'device-099' | count",
];

async fn answers(workspaces: &Workspaces) -> Vec<Vec<String>> {
    let mut answers = Vec::new();
    for text in QUERIES {
        answers.push(query(workspaces, text).await);
    }
    answers
}

async fn fails(workspaces: &Workspaces, text: &str) -> bool {
    let session = engine::Session::new(engine::Limits::default()).expect("a session");
    match session.query(workspaces.catalog().as_ref(), DATABASE, text).await {
        Err(_) => true,
        Ok(mut results) => results.pop().expect("a result").collect().await.is_err(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_the_same_with_side_files_and_without() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspaces = open_with_table(folder.path()).await;
    append(&workspaces, &rows(0), &[]).await;
    let hot = answers(&workspaces).await;
    assert_eq!(hot[..5], [vec!["200"], vec!["12345"], vec!["0"], vec!["200 19907"], vec!["777"]]);
    workspaces.flush().await.expect("it flushes");
    workspaces.make_side_files().await.expect("they are made");
    assert_eq!(files(folder.path(), "side").len(), 1);
    assert_eq!(answers(&workspaces).await, hot);
    close(workspaces).await;
    let reopened = open(folder.path()).await;
    assert_eq!(answers(&reopened).await, hot);
}

/// What stands between the header and the footer of a Parquet file, which tells where the columns are, is overwritten: a
/// query that reads the texts fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_side_file_answers_is_not_read_from_the_table_file() {
    let folder = tempfile::tempdir().expect("a folder");
    close(with_side_files(folder.path(), 1).await).await;
    let table_file = files(folder.path(), "parquet").pop().expect("a file");
    let mut bytes = std::fs::read(&table_file).expect("read");
    let length_at = bytes.len() - 8;
    let length: [u8; 4] = bytes[length_at..length_at + 4].try_into().expect("four bytes");
    let footer_at = length_at - u32::from_le_bytes(length) as usize;
    bytes[4..footer_at].fill(0xff);
    std::fs::write(&table_file, bytes).expect("written");
    let workspaces = open(folder.path()).await;
    assert_eq!(query(&workspaces, "T | where S has 'nowhere' | count").await, ["0"]);
    assert_eq!(query(&workspaces, "search 'nowhere' | count").await, ["0"]);
    let by_user = "T | summarize n=count() by u=tostring(parse_json(S).user) | sort by u asc";
    assert_eq!(query(&workspaces, by_user).await, ["\"pi\" 10000", "\"root\" 10000"]);
    assert_eq!(query(&workspaces, "T | where tostring(parse_json(S).device) == 'device-007' | count").await, ["200"]);
    assert!(fails(&workspaces, "T | where S has 'device' | count").await);
    assert!(fails(&workspaces, "T | summarize max(toint(parse_json(S).pid))").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_side_file_is_removed_and_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspaces = with_side_files(folder.path(), 1).await;
    let expected = answers(&workspaces).await;
    close(workspaces).await;
    let side_file = files(folder.path(), "side").pop().expect("a file");
    let whole = std::fs::read(&side_file).expect("read");
    // In its directory, which is read when the file is opened, and everywhere before, which is read when it is asked.
    for damaged in [whole.len() - 20..whole.len() - 19, 0..whole.len() / 2] {
        let mut bytes = whole.clone();
        bytes[damaged.clone()].iter_mut().for_each(|byte| *byte ^= 0x55);
        std::fs::write(&side_file, bytes).expect("written");
        let workspaces = open(folder.path()).await;
        assert_eq!(answers(&workspaces).await, expected, "{damaged:?}");
        workspaces.make_side_files().await.expect("they are made");
        assert!(std::fs::read(&side_file).expect("it is there") == whole, "{damaged:?}");
        close(workspaces).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn side_files_go_with_their_table_files() {
    let folder = tempfile::tempdir().expect("a folder");
    // Eight of a like size are merged.
    let workspaces = with_side_files(folder.path(), 8).await;
    workspaces.maintain().await;
    assert_eq!(files(folder.path(), "parquet").len(), 1);
    workspaces.make_side_files().await.expect("they are made");
    assert_eq!(files(folder.path(), "side").len(), 1);
    assert_eq!(query(&workspaces, "T | where S has '159999' | project N").await, ["159999"]);
    let snapshot = workspaces.snapshot().await.expect("a snapshot");
    assert_eq!(files(snapshot.folder(), "parquet").len(), 1);
    assert_eq!(files(snapshot.folder(), "side").len(), 0, "they can be made again");
    drop(snapshot);
    let removed = workspaces.drop_older_than(DATABASE, "T", kql::datetime::now()).await.expect("removed");
    assert_eq!(removed, 8 * ROWS as u64);
    assert_eq!((files(folder.path(), "parquet").len(), files(folder.path(), "side").len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stop_leaves_is_removed_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    close(with_side_files(folder.path(), 1).await).await;
    let side_file = files(folder.path(), "side").pop().expect("a file");
    let unfinished = side_file.with_extension("side-tmp");
    let of_none = side_file.with_file_name("_part-00000000-0000-4000-8000-000000000000.side");
    let foreign = side_file.with_file_name("_notes.txt");
    for path in [&unfinished, &of_none, &foreign] {
        std::fs::write(path, "cut off").expect("written");
    }
    let workspaces = open(folder.path()).await;
    assert!(side_file.exists() && foreign.exists(), "what is ours and whole stays, and so does what is not ours");
    assert!(!unfinished.exists() && !of_none.exists());
    assert_eq!(query(&workspaces, "T | where S has '12345' | project N").await, ["12345"]);
}
