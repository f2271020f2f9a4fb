//! The reader of JSON lines against a slow one that reads each line with serde_json, over many made texts.

use super::*;
use arrow::array::{Array, AsArray};
use kql::Type;
use serde_json::json;

fn columns() -> Vec<Column> {
    [
        ("Time", Type::DateTime),
        ("S", Type::String),
        ("T", Type::String),
        ("N", Type::Long),
        ("I", Type::Int),
        ("R", Type::Real),
        ("B", Type::Bool),
        ("M", Type::Decimal),
        ("P", Type::TimeSpan),
        ("G", Type::Guid),
        ("D", Type::Dynamic),
        ("größe \"x\"", Type::String),
    ]
    .map(|(name, of)| Column::new(name, of))
    .into()
}

/// What [`parse_json`] promises for JSON lines, said in the plainest way.
fn reference(columns: &[Column], bytes: &[u8]) -> Parsed {
    let mut builder = BatchBuilder::new(columns);
    let mut rejects = Rejects::default();
    let mut record = 0;
    for line in bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).filter(|l| !l.is_empty()) {
        let items = match serde_json::from_slice::<Value>(line) {
            Ok(Value::Array(items)) => items,
            Ok(other) => vec![other],
            Err(error) => {
                record += 1;
                rejects.add(record, error.to_string());
                continue;
            }
        };
        for item in items {
            record += 1;
            match item {
                Value::Object(object) => builder.push_object(&object),
                _ => rejects.add(record, NO_OBJECT.to_owned()),
            }
        }
    }
    rejects.finish(builder.finish().expect("a batch")).expect("rows")
}

fn check(text: &[u8]) {
    let columns = columns();
    if !is_lines(text) {
        return;
    }
    let (wanted, got) = (reference(&columns, text), parse_json(&columns, text).expect("a batch"));
    let shown = String::from_utf8_lossy(text);
    assert_eq!(got.batch, wanted.batch, "rows of {shown}");
    assert_eq!(got.rejects, wanted.rejects, "rejects of {shown}");
    assert_eq!(got.rejected, wanted.rejected, "{shown}");
}

const LINES: &[&str] = &[
    r#"{"Time":"2026-03-02T10:00:00.123456Z","S":"plain","N":42,"D":{"a":[1,2,{"b":null}]},"B":true}"#,
    r#"{"Time":"2026-03-02T10:00:00Z","S":"a text that is long enough to stand in a buffer","N":-7}"#,
    r#"{"S":"{\"Process Id\":\"4711\",\"Path\":\"c:\\\\x\\n\"}","T":"\u00e4\ud83d\ude00\/","R":1.5e-7,"M":0.1}"#,
    r#"{ "S" : "spaced" , "D" : { "a" : [ 1 , 2.50 , "x y" ] } , "unknown" : [ {} , "\"" ] , "N" : 1.0 }"#,
    r#"{"N":1,"N":2,"S":null,"S":"last","D":{"a":1,"a":2},"D":[1.0,-0,1e3]}"#,
    r#"{"S":12,"T":[1.0,"a"],"N":"0x10","I":3000000000,"R":"NaN","B":"False","M":"1e2","P":"1.02:03:04","G":"X"}"#,
    r#"{"G":"{6F9619FF-8B86-D011-B42D-00C04FC964FF}","P":864000000000,"Time":"5/25/2019 2:07:01 PM","B":0,"I":true}"#,
    r#"{"größe \"x\"":"ja","gr\u00f6\u00dfe \"x\"":"doch","\u0053":"by escape","D":"te\"xt","N":-0,"R":-0}"#,
    r#"{"N":123456789012345678901234567890,"R":9223372036854775808,"D":18446744073709551616,"M":123456789012345678}"#,
    r#"[{"N":1,"S":"in an array"},2,{"N":3},[],{"D":{"k":"v","l":{"k":"w"}}}]"#,
    r#"[{"N":1},{"N":01}]"#,
    r#"{"S":"\ud800"}"#,
    r#"{"N":1e400}"#,
    r#"{"unknown":1e400}"#,
    r#"{"N":01}"#,
    "{\"S\":\"a\tb\"}",
    r#"{"N":1}}"#,
    r#"{"N":1},"#,
    r#"{}"#,
    r#"[]"#,
    r#""text""#,
    r#"17"#,
    r#"{"a":[[[[[[[[1]]]]]]]],"N":.5}"#,
    r#"{"D":{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10,"k":1,"l":1,"m":1,"n":1,"o":1,"p":1,"q":1}}"#,
];

/// The same numbers each time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }
}

#[test]
fn lines_are_read_as_serde_json_reads_them() {
    for line in LINES {
        check(line.as_bytes());
        check(format!("{{\"N\":5}}\n\n  {line}\r\n{line}\n").as_bytes());
    }
    check(LINES.join("\n").as_bytes());
}

#[test]
fn made_texts_are_read_as_serde_json_reads_them() {
    const PIECES: &[&str] = &[
        "\"",
        "\\",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\n",
        "\t",
        "0",
        "-",
        ".",
        "e",
        "1",
        "null",
        "true",
        "\\u00e4",
        "\\ud83d",
        "\\ude00",
        "\\n",
        "\"S\":",
        "\"D\":",
        "\"N\":",
        "\"R\":1.25",
        "\u{e4}",
        "\u{0}",
        "\"k\":",
        "{\"a\":1}",
        "\r",
        "\u{c}",
        "\\\"",
        "long enough for a buffer",
    ];
    let mut random = Random(7);
    for _ in 0..30_000 {
        let mut text: Vec<u8> = Vec::new();
        for _ in 0..=random.below(3) {
            text.extend_from_slice(LINES[random.below(LINES.len())].as_bytes());
            text.push(b'\n');
        }
        for _ in 0..random.below(4) {
            let at = random.below(text.len());
            if at >= text.len() {
                break;
            }
            match random.below(5) {
                0 => text[at] = random.below(256) as u8,
                1 => drop(text.drain(at..(at + random.below(9)).min(text.len()))),
                2 => {
                    let piece = PIECES[random.below(PIECES.len())].bytes();
                    drop(text.splice(at..at, piece));
                }
                3 => {
                    let end = (at + random.below(30)).min(text.len());
                    let copy = text[at..end].to_vec();
                    let to = random.below(text.len());
                    drop(text.splice(to..to, copy));
                }
                _ => text[at] = b"\"\\{}[],: 0-.e"[random.below(13)],
            }
        }
        check(&text);
    }
}

#[test]
fn deep_nesting_is_taken_as_far_as_serde_json_takes_it() {
    for depth in [1, 50, 99, 100, 101, 102, 125, 126, 127, 128, 200, 100_000] {
        let nested = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        check(format!("{{\"D\":{nested},\"N\":1}}\n{{\"unknown\":{nested}}}\n{nested}").as_bytes());
    }
}

fn texts(parsed: &Parsed, column: usize) -> Vec<String> {
    parsed.batch.column(column).as_string_view().iter().map(|t| t.unwrap_or("null").to_owned()).collect()
}

#[test]
fn one_bad_line_costs_that_line() {
    let columns = [Column::new("S", Type::String)];
    let text = b"{\"S\":\"a\"\n{\"S\":\"b\"}\n\n{\"S\":\"\xff\"}\n7\n{\"S\":\"c\"}";
    let parsed = parse_json(&columns, text).expect("a batch");
    assert_eq!(texts(&parsed, 0), ["b", "c"]);
    let records: Vec<usize> = parsed.rejects.iter().map(|r| r.record).collect();
    assert_eq!((records, parsed.rejected), (vec![1, 3, 4], 3));
    assert_eq!(parsed.rejects[2].reason, "not a JSON object");
    assert!(parsed.rejects[0].reason.contains("EOF while parsing an object"), "{}", parsed.rejects[0].reason);
}

#[test]
fn a_bad_line_at_the_front_is_told_from_a_document_that_goes_on() {
    for lines in ["{\"A\":\n{\"A\":2}\n", "{\"A\":1\n{\"A\":2}", "{\"A\":1} x\n\n{\"A\":2}", "nonsense\n{\"A\":2}"] {
        assert!(is_lines(lines.as_bytes()), "{lines}");
    }
    for documents in ["{\"A\":\n{\"A\":2}\n}", "[{\"A\":1},\n{\"A\":2}\n]", "{\"A\":1}{\"A\":\n2}", "{\n\"A\": 1\n}"] {
        assert!(!is_lines(documents.as_bytes()), "{documents}");
    }
}

#[test]
fn documents_may_be_laid_out_in_any_way() {
    let columns = [Column::new("S", Type::String), Column::new("D", Type::Dynamic)];
    let text =
        "{\n \"S\": \"a\",\n \"D\": [\n  1\n ]\n}\n[\n {\"S\": \"b\"},\n 3\n]\n{\"S\": \"\\ud800\"} {\"S\":\"c\"}{";
    let parsed = parse_json(&columns, text.as_bytes()).expect("a batch");
    assert_eq!(texts(&parsed, 0), ["a", "b", "c"]);
    assert_eq!(texts(&parsed, 1), ["[1]", "null", "null"]);
    let records: Vec<usize> = parsed.rejects.iter().map(|r| r.record).collect();
    assert_eq!(records, [3, 4, 6]);
    assert!(parsed.rejects[2].reason.ends_with("nothing behind it was read"), "{}", parsed.rejects[2].reason);
}

#[test]
fn members_may_change_their_order() {
    let columns = [Column::new("A", Type::Long), Column::new("B", Type::Long)];
    let lines: Vec<String> = (0..100)
        .map(|i| match i % 4 {
            0 => json!({"A": i, "B": -i}),
            1 => json!({"B": -i, "A": i}),
            2 => json!({"x": 1, "A": i, "y": {"A": 0}, "B": -i}),
            _ => json!({"B": -i, "z": null, "A": i}),
        })
        .map(|v| v.to_string())
        .collect();
    let parsed = parse_json(&columns, lines.join("\n").as_bytes()).expect("a batch");
    let a = parsed.batch.column(0).as_primitive::<arrow::datatypes::Int64Type>();
    let b = parsed.batch.column(1).as_primitive::<arrow::datatypes::Int64Type>();
    assert_eq!(a.values().to_vec(), (0..100).collect::<Vec<i64>>());
    assert_eq!(b.values().to_vec(), (0..100).map(|i: i64| -i).collect::<Vec<i64>>());
    assert_eq!(a.null_count(), 0);
}

#[test]
fn fields_of_csv_keep_their_meaning() {
    let columns = [
        Column::new("S", Type::String),
        Column::new("D", Type::Dynamic),
        Column::new("N", Type::Long),
        Column::new("G", Type::Guid),
    ];
    let text = b"a,\"{\"\"k\"\": 1.0}\",5,\n,null,,\nb,plain\nc,\"[1,2]\",x,6F9619FF-8B86-D011-B42D-00C04FC964FF,extra\n\xff,,,\n";
    let parsed = parse_csv(&columns, text, b',').expect("a batch");
    assert_eq!(texts(&parsed, 0), ["a", "", "b", "c"]);
    assert_eq!(texts(&parsed, 1), ["{\"k\":1.0}", "null", "\"plain\"", "[1,2]"]);
    assert_eq!(texts(&parsed, 3), ["null", "null", "null", "6f9619ff-8b86-d011-b42d-00c04fc964ff"]);
    assert_eq!(parsed.rejects[0].record, 5);
}

#[test]
fn parquet_is_read_by_name() {
    use arrow::array::{ArrayRef, Int32Array, StringArray, TimestampMicrosecondArray};
    use std::sync::Arc;
    let file = RecordBatch::try_from_iter([
        ("N", Arc::new(Int32Array::from(vec![Some(1), None])) as ArrayRef),
        ("Time", Arc::new(TimestampMicrosecondArray::from(vec![0, 1]))),
        ("D", Arc::new(StringArray::from(vec![Some("{\"k\": 1}"), Some("")]))),
        ("S", Arc::new(TimestampMicrosecondArray::from(vec![Some(0), None]))),
        ("unknown", Arc::new(Int32Array::from(vec![1, 2]))),
    ])
    .expect("a batch");
    let mut bytes = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, file.schema(), None).expect("a writer");
    writer.write(&file).expect("written");
    writer.close().expect("closed");
    let parsed = parse_parquet(&columns(), None, bytes).expect("a batch");
    assert_eq!(parsed.batch.num_rows(), 2);
    let column = |name: &str| parsed.batch.column_by_name(name).expect("a column").clone();
    let longs = |name: &str| {
        let column = column(name);
        column.as_primitive::<arrow::datatypes::Int64Type>().iter().collect::<Vec<_>>()
    };
    assert_eq!(longs("N"), [Some(1), None]);
    assert_eq!(longs("Time"), [Some(kql::datetime::UNIX_EPOCH_TICKS), Some(kql::datetime::UNIX_EPOCH_TICKS + 10)]);
    let strings = |name: &str| {
        column(name).as_string_view().iter().map(|t| t.map(str::to_owned)).collect::<Vec<Option<String>>>()
    };
    assert_eq!(strings("D"), [Some("{\"k\":1}".to_owned()), None]);
    assert_eq!(strings("S"), [Some("1970-01-01T00:00:00.0000000Z".to_owned()), Some(String::new())]);
    assert_eq!(strings("T"), [Some(String::new()), Some(String::new())]);
    assert!(parse_parquet(&columns(), None, b"no parquet".to_vec()).is_err());
}
