//! The promise: a query over segments, whose columns are held encoded, gives the rows that it gives over plain rows.

#![allow(clippy::expect_used, clippy::panic)]

use async_trait::async_trait;
use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringViewArray,
};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session as PlanSession, TableProvider};
use datafusion::common::{DFSchema, Result};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use engine::catalog::{FixedCatalog, Table};
use engine::columnar::{Bounds, NeededTerms, Segment, SegmentScan, encoded, is_dictionary, plain};
use engine::functions::terms::each_term;
use engine::types::arrow_schema;
use engine::{Column, Limits, Session};
use kql::Type;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

const ROWS: usize = 3000;
const SEGMENT_ROWS: usize = 700;

#[derive(Debug)]
struct Held {
    columns: Vec<ArrayRef>,
    rows: usize,
    times: Bounds,
    number: usize,
    reads: Reads,
}

/// The segments and columns that have been read.
type Reads = Arc<Mutex<Vec<(usize, usize)>>>;

impl Segment for Held {
    fn rows(&self) -> usize {
        self.rows
    }

    fn column(&self, column: usize) -> Result<ArrayRef> {
        self.reads.lock().expect("reads").push((self.number, column));
        Ok(self.columns[column].clone())
    }

    fn bounds(&self, column: usize) -> Option<Bounds> {
        (column == 0).then_some(self.times)
    }

    fn lacks(&self, column: usize, needed: &NeededTerms) -> bool {
        let column = plain(&self.columns[column]).expect("plain");
        let texts = column.as_any().downcast_ref::<StringViewArray>().expect("terms are of texts");
        // There are no escapes in these texts.
        let mut terms = BTreeSet::new();
        texts.iter().flatten().for_each(|text| each_term(text, |term| _ = terms.insert(term.to_lowercase())));
        !needed.terms.iter().all(|term| terms.contains(term))
    }
}

#[derive(Debug)]
struct HeldTable {
    schema: SchemaRef,
    segments: Vec<Arc<dyn Segment>>,
}

#[async_trait]
impl TableProvider for HeldTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Exact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn PlanSession,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = DFSchema::try_from(self.schema.as_ref().clone())?;
        let filters = filters.iter().map(|f| state.create_physical_expr(f.clone(), &schema)).collect::<Result<_>>()?;
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let projection = projection.unwrap_or(&all);
        let partitions = state.config().target_partitions();
        let scan = SegmentScan::new(&self.schema, self.segments.clone(), projection, filters, partitions)?;
        Ok(scan.with_fetch(limit).expect("a scan can be limited"))
    }
}

fn columns() -> Vec<Column> {
    [
        ("Time", Type::DateTime),
        ("Host", Type::String),
        ("Id", Type::String),
        ("Level", Type::Long),
        ("Port", Type::Int),
        ("Score", Type::Real),
        ("Ok", Type::Bool),
        ("Extra", Type::Dynamic),
        ("Text", Type::String),
    ]
    .map(|(name, of)| Column::new(name, of))
    .to_vec()
}

fn rows() -> RecordBatch {
    let start = kql::datetime::parse("2026-03-01T00:00:00Z").expect("a time");
    // Small primes, so that columns go their own ways.
    let none = |i: usize, each: usize| i % each == each - 1;
    let arrays: Vec<ArrayRef> = vec![
        Arc::new((0..ROWS).map(|i| (!none(i, 401)).then(|| start + i as i64 * 300_000_000)).collect::<Int64Array>()),
        Arc::new(StringViewArray::from_iter_values((0..ROWS).map(|i| match i % 13 {
            0 => String::new(),
            n => format!("host-{}-of-a-longer-name", n % 5),
        }))),
        Arc::new(StringViewArray::from_iter_values(
            (0..ROWS).map(|i| format!("{:08x}-{i}", i * 2654435761 % 4294967296)),
        )),
        Arc::new((0..ROWS).map(|i| (!none(i, 11)).then_some((i % 7) as i64 - 3)).collect::<Int64Array>()),
        Arc::new((0..ROWS).map(|i| (!none(i, 17)).then_some((i % 3) as i32 * 100)).collect::<Int32Array>()),
        Arc::new((0..ROWS).map(|i| (!none(i, 19)).then_some(i as f64 / 8.0)).collect::<Float64Array>()),
        Arc::new((0..ROWS).map(|i| (!none(i, 23)).then_some(i % 2 == 0)).collect::<BooleanArray>()),
        Arc::new(
            (0..ROWS)
                .map(|i| match i % 29 {
                    0 => None,
                    1 => Some("[1,2]".to_owned()),
                    2 => Some("\"a text\"".to_owned()),
                    n => Some(format!(
                        "{{\"Device\":\"device-{}\",\"n\":{n},\"deep\":{{\"list\":[{i},\"x{}\"]}}}}",
                        i % 31,
                        i % 4
                    )),
                })
                .collect::<StringViewArray>(),
        ),
        Arc::new(StringViewArray::from_iter_values((0..ROWS).map(|i| match i % 5 {
            0 => "no json at all".to_owned(),
            n => format!("{{\"User\":\"user{n}\",\"Pid\":{},\"Cmd\":\"run -o 10.0.{n}.7:{}\"}}", i % 97, 8000 + i % 3),
        }))),
    ];
    RecordBatch::try_new(arrow_schema(&columns()), arrays).expect("a batch")
}

/// The rows in segments, and what is read of them.
fn held_table() -> (Arc<dyn TableProvider>, Reads) {
    held_table_of(SEGMENT_ROWS)
}

/// The same in segments of so many rows.
fn held_table_of(segment_rows: usize) -> (Arc<dyn TableProvider>, Reads) {
    let (rows, reads) = (rows(), Reads::default());
    let mut segments: Vec<Arc<dyn Segment>> = Vec::new();
    for (number, start) in (0..ROWS).step_by(segment_rows).enumerate() {
        let part = rows.slice(start, segment_rows.min(ROWS - start));
        // One segment is not encoded, as rows that have just come are not.
        let held =
            |array: &ArrayRef| if start == SEGMENT_ROWS { array.clone() } else { encoded(array).expect("encoded") };
        let times: Vec<i64> =
            part.column(0).as_any().downcast_ref::<Int64Array>().expect("longs").iter().flatten().collect();
        let times = Bounds {
            least: times.iter().copied().min().expect("rows"),
            greatest: times.iter().copied().max().expect("rows") + 9,
            has_nulls: part.column(0).null_count() > 0,
        };
        let columns: Vec<ArrayRef> = part.columns().iter().map(held).collect();
        assert_eq!(is_dictionary(&columns[1]), start != SEGMENT_ROWS);
        assert!(!is_dictionary(&columns[2]));
        segments.push(Arc::new(Held { columns, rows: part.num_rows(), times, number, reads: reads.clone() }));
    }
    (Arc::new(HeldTable { schema: arrow_schema(&columns()), segments }), reads)
}

fn catalog(provider: Arc<dyn TableProvider>) -> FixedCatalog {
    let mut catalog = FixedCatalog::default();
    catalog.tables.insert("T".to_owned(), Table { columns: columns(), provider });
    catalog
}

/// The same rows in segments and plain.
fn catalogs() -> (FixedCatalog, FixedCatalog) {
    let plain = MemTable::try_new(arrow_schema(&columns()), vec![vec![rows()]]).expect("a table");
    (catalog(held_table().0), catalog(Arc::new(plain)))
}

async fn answer(session: &Session, catalog: &FixedCatalog, query: &str) -> Vec<String> {
    let mut results = session.query(catalog, "default", query).await.unwrap_or_else(|e| panic!("{query}\n{e}"));
    let answer = results.pop().expect("a result").collect().await.unwrap_or_else(|e| panic!("{query}\n{e}"));
    let mut rows = Vec::new();
    for batch in &answer.batches {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().zip(&answer.columns).map(|(array, column)| {
                let mut text = String::new();
                engine::cells::Cells::new(column.column_type, array).write_json(row, &mut text);
                text
            });
            rows.push(cells.collect::<Vec<_>>().join(" "));
        }
    }
    let is_ordered = query.contains("sort by") || query.contains("top ");
    if !is_ordered || query.contains("partition by") {
        rows.sort();
    }
    rows
}

/// Conditions, to be asked alone, in pairs and before other operators.
const CONDITIONS: &[&str] = &[
    "Time > datetime(2026-03-01 12:00)",
    "Time between (datetime(2026-03-01 03:00) .. 2h)",
    "Time < datetime(2020-01-01)",
    "Time >= datetime(2020-01-01)",
    "Host == 'host-2-of-a-longer-name'",
    "Host has 'host' and Level > 0",
    "Host in ('', 'host-1-of-a-longer-name')",
    "isempty(Host) or Port == 100",
    "isnull(Level)",
    "not(Level > 0)",
    "Level != 2",
    "Level == Port / 100",
    "strcat(Host, Port) endswith '00'",
    "Extra.Device == 'device-7'",
    "tostring(Extra.deep.list[1]) == 'x3'",
    "isnull(Extra.n)",
    "Ok",
    "Score > 100 and Score < 200.5",
    "* has 'device-3'",
    "tostring(parse_json(Text).User) =~ 'USER2'",
    "Text matches regex @'Pid..[0-9]5'",
    "Id startswith '0' or Id endswith '7'",
    "Id has '000'",
    "Id has '123'",
    "Id has_any ('17', '2017') or Text has_all ('user3', '8001')",
    "Id =~ '9E3779B1-1' or Id in~ ('00000000-0', '3C6EF362-2')",
    "Id == '9e3779b1-1' or Id in ('00000000-0', '3C6EF362-2')",
    "Id in ('9e3779b1-1', '3c6ef362-2', 'daa66d2b-3', '78dde6e4-4', '17156e9d-5')",
    "Id !has '123' and Id !in ('9e3779b1-1')",
    "tostring(Extra.deep.list[0]) == '2019' or tostring(Extra.deep.list[0]) in ('7', '2718')",
    "tostring(Extra.deep) has '2018'",
    "tostring(Extra) has 'x3' and tostring(Extra.deep) hasprefix '{\"list\":[21'",
    "tostring(parse_json(Text).Cmd) has '10.0.3.7' or Text contains '-o 10.0.4.7:'",
    "rand() >= 0",
    "false",
];

const REST: &[&str] = &[
    "count",
    "summarize count() by Host",
    "summarize n=count(), s=sum(Level), m=max(Score), t=min(Time) by Host, Port, Ok",
    "summarize dcount(Id), dcount(Host), dcountif(Extra.Device, Ok) by bin(Time, 1h)",
    "summarize dcount(tostring(Extra.Device)), countif(Level > 0) by User=tostring(parse_json(Text).User)",
    "summarize d=count_distinct(Id), percentiles(Level, 10, 90), round(stdev(Score), 6) by Level",
    "summarize arg_max(Time, Id, Host), arg_min(Score, Id) by Port",
    "summarize arg_max(Host, Port * 0, Ok) by Level | project Level, Host",
    "summarize arg_min(tostring(Extra.Device), Port * 0) by Level | project Level, Extra_Device",
    "summarize make_set(Host), take_any(Port * 0) by Ok | extend set_Host = array_sort_asc(set_Host)",
    "summarize max(Host), min(Id), countif(Host has 'host'), sumif(Level, Ok), binary_all_or(Level)",
    "summarize x=dcount(Host), y=count() by k=strcat(Host, '/', Level)",
    "distinct Host, Level",
    "project-away Extra | distinct *",
    "project Time, Id, D=tostring(Extra.Device), N=toint(Extra.n)",
    "extend P=tolong(parse_json(Text).Pid) | where P > 50 | summarize avg(P), max(P), sum(P) by bin(P, 10)",
    "extend Cmd=tostring(parse_json(Text).Cmd) | parse Cmd with Exe ' -o ' Net:long '.' Rest ':' Port1:int \
     | summarize count(), dcount(Exe) by Net, Port1",
    "mv-expand e=Extra.deep.list to typeof(string) | summarize count() by e | top 5 by e asc",
    "top 7 by Time desc | project Time, Host",
    "top 9 by Time asc, Id asc | project Time, Id",
    "top 5 by Time asc nulls last | project Time, D=tostring(Extra.Device), U=tostring(parse_json(Text).User)",
    "where Ok | top 700 by Time desc nulls first, Id asc",
    "top 40 by Level desc, Time asc, Id asc | project Level, Id, Extra",
    "top 40 by Level asc nulls first, Id desc | project Level, Id",
    "extend Hour=bin(Time, 1h) | top 3 by Hour desc, Id asc | project Hour, Id, Text",
    "top 2000 by Time desc | top 3 by Level asc nulls last, Id asc | project Id",
    "top 5 by Id asc | project Id, Level",
    "sort by Time desc, Id asc | take 12 | where Level > 0 | project Time, Level",
    "summarize arg_max(Time, *) by Host | sort by Time asc nulls first",
    "summarize arg_max(Time, *)",
    "where Level > 100 | summarize arg_max(Time, *)",
    "summarize arg_max(Time, *) by D=tostring(Extra.Device)",
    "summarize arg_max(Level, Time, Id) by Time",
    "summarize a=arg_min(Id, Level), b=arg_max(Id, Time, Extra), count(), dcount(Host) by Host",
    "summarize arg_max(Time, rand() * 0, Level) by Host | project Level",
    "join kind=inner (T | where Level == 3 and Port == 200 | project Id, L=Level) on Id | project Id, L, Host",
    "where Level == 3 and Port == 200 | project D=tostring(Extra.Device) | distinct D \
     | join kind=inner (T | extend D=tostring(Extra.Device) | summarize n=count(), m=max(Time) by D, Port) on D \
     | project D, n, m, Port",
    "where Port == 300 | join kind=inner (T) on Host | count",
    "where Id startswith '00' | join kind=rightsemi (T | project Id, Level) on Id | project Id, Level",
    "where Id startswith '00' | join kind=rightouter (T | where Level == 1) on Level, Port | count",
    "where Id startswith '0' | join kind=leftouter (T | project Level, Other=Id | where Other startswith '00') on Level \
     | summarize count() by Level, isempty(Other)",
    "where Id startswith '00' | join kind=rightanti (T) on Host | summarize count() by Host",
    "where Level == 2 | distinct Host \
     | join kind=inner (T | summarize c=count() by Host=Text, K=Host | summarize h=dcount(Host), s=sum(c) by K) \
       on $left.Host == $right.K | project Host, h, s",
    "where Level == 2 | summarize by Day=bin(Time, 1d) \
     | join kind=inner (T | summarize n=count() by Hour=bin(Time, 1h) | summarize sum(n) by Day=bin(Hour, 1d)) on Day \
     | project Day, sum_n",
    "where Level == 2 | distinct Host \
     | join kind=inner (union (T | summarize by Host, Text), (T | summarize by Text, Host) | project Host, Text) on Host \
     | summarize count(), dcount(Text) by Host",
    "where Level == 3 | join kind=inner (T | summarize c=count() by Host \
     | join kind=leftsemi (T | where Port == 200 | distinct Host) on Host) on Host | summarize count() by c",
    "union (T | where Ok), (T | where Level == 1) | where Host has 'host' | project Time, Id | sort by Time desc, Id asc",
    "union isfuzzy=true (T | project Time, Kind='a', D=tostring(Extra.Device)), (T | where Level == 1 | project Time, \
     Kind='b', D=Host), (T | project Time, Kind='c', D=Id) | where D has 'device' | top 9 by Time desc, Kind asc, D asc",
    "project A=Id, B=Host | union (T | project A=Host, B=Id) | top 5 by A asc, B asc",
    "project Time, Level, Id | union (T | project Level=tolong(Port), Time=Time + 1d, Id) \
     | top 7 by Time desc, Level asc, Id asc",
    "union T | summarize min(Time), maxif(Time, Level == 3), max(Level + 1), minif(Level, Ok)",
    "extend c=strlen(strcat(Host, Id)) | summarize min(c), max(c + 1)",
    "where isnull(Level) | take 1 | project Level | join kind=inner (T) on Level | count",
    "sort by Score desc nulls last, Id asc | take 9",
    "join kind=inner (T | where Level == 2 | summarize m=max(Time) by Host) on Host | summarize count() by Host, m",
    "join kind=leftsemi (T | where Port == 200 | project D=tostring(Extra.Device)) on $left.Host == $right.D | count",
    "make-series n=count() on Time from datetime(2026-03-01) to datetime(2026-03-02) step 1h by Port",
    "extend a=Level + 1, b=iff(Ok, Host, Id) | summarize count() by a, b | summarize sum(count_), dcount(b)",
    "partition by Host (summarize n=count(), t=max(Time) by Level, Host | top 2 by n, t)",
    "where Level == 2 | partition by Port (sort by Time asc | extend r=row_number() | where r < 4)",
    "sort by Host asc, Time asc, Id asc | extend r=row_number(1, prev(Host) != Host) | where r == 2 | project Host, Id",
    "union T | summarize count() by Level",
    "getschema",
];

/// Conditions for which most segments have not the terms, and which segments have them.
const NEEDLES: &[(&str, &[usize])] = &[
    ("Id has '2017'", &[2]),
    ("Id hasprefix '00000000-0'", &[0]),
    ("Id hassuffix '0-1400'", &[2]),
    ("Id contains '-1400'", &[0, 1, 2, 3, 4]),
    ("Id has_any ('17', '2817')", &[0, 4]),
    ("Id == '9e3779b1-1'", &[0]),
    ("Id =~ '9E3779B1-1'", &[0]),
    ("Id in ('9e3779b1-1', 'a-nowhere', 'b-nowhere', 'c-nowhere', 'd-nowhere')", &[0]),
    ("Id has '2017' or Time < datetime(2020-01-01)", &[2]),
    ("Id has '2017' and Level > -100", &[2]),
    ("Id has '2017' or Level > 100", &[0, 1, 2, 3, 4]),
    ("not(Id has '2017')", &[0, 1, 2, 3, 4]),
    // As a number, a member may be printed in another way than it stands in the text.
    ("tostring(Extra.deep.list[0]) == '1401'", &[0, 1, 2, 3, 4]),
    ("tostring(Extra.deep.list[0]) has 'item1401'", &[]),
    ("* has '2017x' or Id has '2017'", &[2]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_without_the_terms_are_not_read() {
    let session = Session::new(Limits { parallelism: 2, ..Limits::default() }).expect("a session");
    let (table, reads) = held_table();
    let held = catalog(table);
    for (condition, expected) in NEEDLES {
        reads.lock().expect("reads").clear();
        answer(&session, &held, &format!("T | where {condition} | count")).await;
        let read: BTreeSet<usize> = reads.lock().expect("reads").iter().map(|(segment, _)| *segment).collect();
        assert_eq!(read.into_iter().collect::<Vec<_>>(), *expected, "{condition}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_reads_no_column_without_the_terms() {
    let session = Session::new(Limits { parallelism: 2, ..Limits::default() }).expect("a session");
    let (table, reads) = held_table();
    assert_eq!(answer(&session, &catalog(table), "search in (T) '2017-abc' | count").await, ["0"]);
    let texts = [1, 2, 7, 8];
    let read = reads.lock().expect("reads").clone();
    assert!(!read.iter().any(|(_, column)| texts.contains(column)), "{read:?}");
}

/// Queries with `take`, whose rows may be any; how many there are is compared.
const COUNTED: &[&str] = &["take 5", "where Level > 0 | take 3 | project Id", "distinct Host | take 3", "sample 4"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_the_same_however_they_are_held() {
    let session = Session::new(Limits { parallelism: 2, ..Limits::default() }).expect("a session");
    let (held, plain) = catalogs();
    let mut queries: Vec<String> = REST.iter().map(|rest| format!("T | {rest}")).collect();
    for (i, condition) in CONDITIONS.iter().enumerate() {
        let other = CONDITIONS[(i * 7 + 3) % CONDITIONS.len()];
        queries.push(format!("T | where {condition}"));
        queries.push(format!("T | where ({condition}) and ({other}) | count"));
        queries.push(format!(
            "T | extend d = tostring(Extra.Device) | where ({condition}) or ({other}) | {}",
            REST[i % REST.len()]
        ));
        queries.push(format!("T | where {condition} | {}", REST[(i * 5 + 1) % REST.len()]));
    }
    let single = catalog(held_table_of(ROWS).0);
    for query in &queries {
        let expected = answer(&session, &plain, query).await;
        assert_eq!(answer(&session, &held, query).await, expected, "{query}");
        assert_eq!(answer(&session, &single, query).await, expected, "one segment: {query}");
    }
    for rest in COUNTED {
        let query = format!("T | {rest}");
        assert_eq!(
            answer(&session, &held, &query).await.len(),
            answer(&session, &plain, &query).await.len(),
            "{query}"
        );
    }
}

/// A value that differs each time it is computed is computed once for a row, and anew for each call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_random_is_computed_once_for_a_row() {
    let session = Session::new(Limits { parallelism: 2, ..Limits::default() }).expect("a session");
    let (held, _) = catalogs();
    for query in [
        "T | extend r=rand() | where r > 0.5 | where r <= 0.5 | count",
        "T | extend r=rand() | where r > 0.5 | summarize least=min(r) | where least > 0.5 | count | where Count != 1 | count",
        "T | extend r=rand() | where r > 0.5 | project r | where r <= 0.5 | count",
        "T | extend r=rand() | where r > 0.5 | extend below=iff(r <= 0.5, 1, 0) | summarize n=sum(below) | where n > 0 | count",
        "T | extend r=rand() | extend x = r, y = r | where x != y | count",
        "T | extend a=new_guid(), b=new_guid() | where a == b | count",
        "T | project a=new_guid(), b=new_guid() | summarize n=countif(a == b) | where n > 0 | count",
    ] {
        assert_eq!(answer(&session, &held, query).await, ["0"], "{query}");
    }
}

/// Each part of a plan that is meant to run over segments does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_segments_can_do_is_given_to_them() {
    let session = Session::new(Limits { parallelism: 2, ..Limits::default() }).expect("a session");
    let (held, _) = catalogs();
    let plan = |query: &'static str| {
        let (session, held) = (session.clone(), held.clone());
        async move { session.explain(&held, "default", query).await.unwrap_or_else(|e| panic!("{query}\n{e}")) }
    };
    let grouped =
        plan("T | where Host has 'host' | summarize dcount(Id) by Device=tostring(Extra.Device), Level").await;
    assert!(grouped.contains("SegmentAggregate") && !grouped.contains("FilterExec"), "{grouped}");
    let filtered = plan("T | extend d=tostring(Extra.Device) | where d == 'a' | project Id, d").await;
    assert!(filtered.contains("SegmentScan") && !filtered.contains("ProjectionExec"), "{filtered}");
    let ungrouped = plan("T | where Level > 1 | count").await;
    assert!(ungrouped.contains("SegmentAggregate"), "{ungrouped}");
    let first = plan("T | where Ok | extend D=tostring(Extra.Device) | top 5 by Time desc | project Time, D").await;
    assert!(first.contains("first=5 by Time") && first.contains("learnt=[DynamicFilter"), "{first}");
    let joined = plan("T | where Level == 2 | join kind=inner (T | extend H=Host) on $left.Host == $right.H").await;
    assert!(joined.contains("learnt=[DynamicFilter"), "{joined}");
    let of_groups =
        plan("T | where Level == 2 | distinct Host | join kind=inner (T | summarize n=count() by Host) on Host");
    let of_groups = of_groups.await;
    assert!(of_groups.contains("learnt=[DynamicFilter"), "{of_groups}");
    // A table with fewer segments than there are processors.
    let single = catalog(held_table_of(ROWS).0);
    for query in [
        "T | where Ok | summarize count() by Device=tostring(Extra.Device)",
        "T | where Level > 1 | count",
        "T | where Host has 'host' | extend d=tostring(Extra.Device) | summarize dcount(Id) by d, Level",
    ] {
        let plan = session.explain(&single, "default", query).await.unwrap_or_else(|e| panic!("{query}\n{e}"));
        assert!(plan.contains("SegmentAggregate") && !plan.contains("FilterExec"), "{query}\n{plan}");
    }
    let first = session.explain(&single, "default", "T | where Ok | top 5 by Time desc | project Time").await;
    assert!(first.as_ref().is_ok_and(|plan| plan.contains("first=5 by Time")), "{first:?}");
}

/// What a query has no use for is not read: of the first rows in an order, and of the best row of each group.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_matters_is_read() {
    let session = Session::new(Limits { parallelism: 1, ..Limits::default() }).expect("a session");
    const TEXT: usize = 8;
    let (_, plain) = catalogs();
    // For each query the segments of which it needs texts.
    let cases: &[(&str, &[usize])] = &[
        ("T | top 5 by Time desc", &[4]),
        ("T | where Ok | top 5 by Time desc | project Text", &[4]),
        ("T | top 300 by Time desc", &[3, 4]),
        ("T | top 5 by Time asc nulls last", &[0]),
        ("T | extend U=tostring(parse_json(Text).User) | top 5 by Time desc", &[4]),
        ("T | summarize arg_max(Time, *) by Host", &[4]),
        ("T | summarize arg_min(Time, Text) by Level", &[0]),
        ("T | where Time < datetime(2026-03-01 05:00) | summarize arg_max(Time, Text)", &[0]),
        (
            "T | where Id endswith '-1234' | project Id | join kind=inner (T | project Id, Text) on Id | project Text",
            &[1],
        ),
        ("union T, (T | where Level > 9) | top 5 by Time desc | project Text", &[4]),
        ("T | summarize arg_max(Id, Level), n=dcount(Text)", &[0, 1, 2, 3, 4]),
    ];
    for (query, wanted) in cases {
        let (provider, reads) = held_table();
        let held = catalog(provider);
        assert_eq!(answer(&session, &held, query).await, answer(&session, &plain, query).await, "{query}");
        let reads = reads.lock().expect("reads");
        let of_texts: BTreeSet<usize> = reads.iter().filter(|read| read.1 == TEXT).map(|read| read.0).collect();
        assert_eq!(of_texts.into_iter().collect::<Vec<_>>(), *wanted, "{query}");
    }
}
