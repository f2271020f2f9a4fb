//! What a query may hold in memory: it fails by itself, and others go on.

#![allow(clippy::expect_used, clippy::panic)]

use engine::catalog::FixedCatalog;
use engine::{Limits, Session};

async fn count(session: &Session, query: &str) -> Result<usize, String> {
    let results = session.query(&FixedCatalog::default(), "default", query).await.map_err(|e| e.to_string())?;
    let mut rows = 0;
    for result in results {
        rows += result.collect().await.map_err(|e| e.to_string())?.row_count();
    }
    Ok(rows)
}

const LARGE: &str = "range n from 1 to 400000 step 1 | summarize make_set(strcat('a long text that takes room ', n))";

#[tokio::test]
async fn a_query_that_needs_too_much_fails_alone() {
    let limits = Limits { query_memory_bytes: 8 << 20, parallelism: 1, ..Limits::default() };
    let session = Session::new(limits).expect("a session");
    let error = count(&session, LARGE).await.expect_err("it is too large");
    assert!(error.contains("the query needs more than 8388608 bytes of memory"), "{error}");
    assert_eq!(count(&session, "range n from 1 to 1000 step 1 | summarize by n").await, Ok(1000));
}

#[tokio::test]
async fn all_queries_together_have_a_bound_too() {
    let limits = Limits { memory_bytes: 8 << 20, parallelism: 1, ..Limits::default() };
    let session = Session::new(limits).expect("a session");
    let error = count(&session, LARGE).await.expect_err("it is too large");
    assert!(error.contains("together need more than 8388608 bytes"), "{error}");
    // What failed has given its memory back.
    assert_eq!(count(&session, "range n from 1 to 1000 step 1 | summarize by n").await, Ok(1000));
}

#[tokio::test]
async fn what_can_spill_does() {
    let limits = Limits { query_memory_bytes: 24 << 20, parallelism: 1, ..Limits::default() };
    let session = Session::new(limits).expect("a session");
    let sorted =
        "range n from 1 to 600000 step 1 | extend s = strcat('a long text that takes room ', hash(n)) | sort by s asc";
    assert_eq!(count(&session, sorted).await, Ok(600_000));
}
