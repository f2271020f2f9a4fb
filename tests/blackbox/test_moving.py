"""Rows that come and go in files: ingestion of the forms people have, what Azure exported, export, and other readers of
the tables."""

import datetime
import gzip
import io
import json
import subprocess
import time

import fastavro
import pyarrow
import pyarrow.compute
import pyarrow.parquet
import pytest
from deltalake import DeltaTable
from turnstone_server import environment, programs, turnstone, wait_until

COLUMNS = "(TimeGenerated: datetime, N: long, S: string, D: dynamic, G: guid, T: timespan, R: real, B: bool, M: decimal)"


@pytest.fixture(scope="module")
def server(servers):
    return servers("--no-agent", "--flush-seconds", "1", "--maintenance-seconds", "1")


def ingest(server, *arguments):
    state = str(server.data.parent / "state")
    return turnstone("ingest", *arguments, "--data", server.data, env=environment(XDG_STATE_HOME=state))


def put(server, table, body, form="json", **options):
    extra = "".join(f"&{name}={value}" for name, value in options.items())
    answer = server.admin("POST", f"/v1/rest/ingest/default/{table}?streamFormat={form}{extra}", body)
    assert answer.status == 200, answer.text
    return answer.json["Tables"][0]["Rows"][0]


AVRO_SCHEMA = {
    "type": "record",
    "name": "Row",
    "fields": [
        {"name": "TimeGenerated", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "N", "type": ["null", "int"]},
        {"name": "S", "type": "string"},
        {"name": "D", "type": {"type": "array", "items": {"type": "map", "values": "long"}}},
        {"name": "Inner", "type": {"type": "record", "name": "Inner", "fields": [{"name": "Text", "type": "string"}]}},
    ],
}


def avro(codec: str) -> bytes:
    when = datetime.datetime(2026, 3, 2, 10, tzinfo=datetime.timezone.utc)
    rows = [
        {"TimeGenerated": when, "N": 1, "S": "a", "D": [{"k": 1}], "Inner": {"Text": "x"}},
        {"TimeGenerated": when, "N": None, "S": "", "D": [], "Inner": {"Text": "y"}},
    ]
    file = io.BytesIO()
    fastavro.writer(file, AVRO_SCHEMA, rows, codec=codec)
    return file.getvalue()


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy", "zstandard"])
def test_avro_is_read_by_name(server, codec):
    table = f"Avro_{codec}"
    server.manage(f".create table {table} {COLUMNS}")
    assert put(server, table, avro(codec), "avro")[0] == 2
    rows = server.kusto(f"{table} | sort by S desc | project N, S, D, TimeGenerated").rows
    assert rows == [[1, "a", [{"k": 1}], "2026-03-02T10:00:00.0000000Z"], [None, "", [], "2026-03-02T10:00:00.0000000Z"]]


@pytest.mark.parametrize("form", ["avro", "parquet"])
def test_a_mapping_looks_into_columnar_records(server, form):
    table = f"Mapped_{form}"
    server.manage(f".create table {table} {COLUMNS}")
    mapping = [
        {"Column": "S", "Properties": {"Path": "$.Inner.Text"}},
        {"Column": "N", "Properties": {"Path": "$.D[0].k"}},
        {"Column": "B", "Properties": {"ConstValue": "true"}},
    ]
    server.manage(f".create table {table} ingestion {form} mapping 'inner' '{json.dumps(mapping)}'")
    if form == "avro":
        body = avro("null")
    else:
        file = io.BytesIO()
        rows = pyarrow.table({"D": [[{"k": 1}], []], "Inner": [{"Text": "x"}, {"Text": "y"}]})
        pyarrow.parquet.write_table(rows, file)
        body = file.getvalue()
    put(server, table, body, form, mappingName="inner")
    assert server.kusto(f"{table} | sort by S asc | project S, N, B").rows == [["x", 1, True], ["y", None, True]]


def test_bytes_that_are_no_file_of_the_form_are_refused_by_name(server):
    server.manage(".create table Bad (N: long)")
    for form in ("avro", "parquet"):
        answer = server.ingest("Bad", b"not at all", form)
        assert answer.status == 400 and "the body cannot be read" in answer.json["error"]["@message"]


def test_a_batch_of_the_same_name_is_stored_once(server):
    server.manage(".create table Named (N: long)")
    body = '{"N": 1}\n{"N": 2}\n7\n'
    assert put(server, "Named", body, batchId="a") == [2, 1, server_reason(), 0]
    assert put(server, "Named", body, batchId="a")[::3] == [0, 2]
    assert put(server, "Named", body, batchId="b")[0] == 2
    assert server.kusto("Named | count").value == 4


def server_reason() -> str:
    return "1 records cannot be read; the first is record 3: not a JSON object"


def test_files_of_all_forms_and_folders_go_into_a_table(server, tmp_path):
    server.manage(".create table Forms (N: long, S: string)")
    (tmp_path / "a.csv").write_text('N,S\n1,"two\nlines"\n')
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(b'{"N": 2, "S": "packed"}\n'))
    (tmp_path / "c.tsv").write_text("3\ttabs\n")
    (tmp_path / "d.json").write_text('[{"N": 4}, {"N": 5}]')
    (tmp_path / "inner").mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"N": list(range(6, 50_006))}), tmp_path / "inner" / "e.parquet")
    (tmp_path / "notes.txt").write_text("not for sending")
    outcome = ingest(server, "-t", "Forms", tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert "in all: 50005 rows" in outcome.stderr
    assert server.kusto("Forms | summarize count(), sum(N)").rows == [[50005, 15 + sum(range(6, 50_006))]]
    again = ingest(server, "-t", "Forms", tmp_path)
    assert "in all: 0 rows, 50005 more were there already" in again.stderr
    assert server.kusto("Forms | count").value == 50005
    nothing = ingest(server, "-t", "Forms", tmp_path / "notes.txt")
    assert nothing.returncode == 2 and "only .csv" in nothing.stderr


def test_what_azure_exported_goes_where_its_records_say(server, tmp_path):
    """The layout of data export: a folder an hour, JSON lines, each with the columns of its table and its name."""
    folder = tmp_path / "WorkspaceResourceId=/subscriptions/s/y=2026/m=03/d=02/h=10/m=00"
    folder.mkdir(parents=True)
    alert = {"TenantId": "t", "TimeGenerated": "2026-03-02T10:00:00.1234567Z", "AlertName": "exported", "Type": "SecurityAlert",
             "ExtendedProperties": json.dumps({"DeviceId": "pump-1"}), "_ResourceId": "/subscriptions/s"}
    event = {"TimeGenerated": "2026-03-02T10:00:01Z", "DeviceId": "pump-1", "EventDetails": "{}", "Type": "SecurityIoTRawEvent"}
    (folder / "PT05M.json").write_text("".join(json.dumps(record) + "\n" for record in (alert, event, alert)))
    rows = pyarrow.table({"AlertName": ["from Parquet"], "Type": ["SecurityAlert"],
                          "TimeGenerated": [datetime.datetime(2026, 3, 2, tzinfo=datetime.timezone.utc)]})
    pyarrow.parquet.write_table(rows, folder / "PT10M.parquet")
    outcome = ingest(server, tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    alerts = "SecurityAlert | sort by AlertName desc, TimeGenerated desc | project AlertName, Type, TimeGenerated"
    assert server.kusto(alerts).rows == [
        ["from Parquet", "SecurityAlert", "2026-03-02T00:00:00.0000000Z"],
        *[["exported", "SecurityAlert", "2026-03-02T10:00:00.1234567Z"]] * 2,
    ]
    assert server.kusto("SecurityIoTRawEvent | project DeviceId").values == ["pump-1"]
    (folder / "bad.json").write_text('{"AlertName": "nameless"}\n')
    outcome = ingest(server, folder / "bad.json")
    assert outcome.returncode == 2 and "names no table" in outcome.stderr and "-t" in outcome.stderr


def test_a_file_whose_sending_was_cut_off_is_gone_on_with_and_stored_once(new_server, tmp_path):
    server = new_server("--no-agent", "--ingest-memory-mb", "64").start()
    server.manage(".create table Long (N: long, Text: string)")
    count = 60_000
    file = tmp_path / "long.json"
    with file.open("w") as out:
        out.writelines(json.dumps({"N": n, "Text": "x" * 500}) + "\n" for n in range(count))
    state = environment(XDG_STATE_HOME=str(tmp_path / "state"))
    command = [programs() / "turnstone", "ingest", "-t", "Long", str(file), "--data", str(server.data)]
    starts = 0
    while True:
        sending = subprocess.Popen(command, env=state, stderr=subprocess.PIPE, text=True)
        starts += 1
        if starts <= 3:
            # Cut off in the midst, at no chosen moment.
            stored = server.kusto("Long | count").value
            deadline = time.monotonic() + 30
            while server.kusto("Long | count").value <= stored and sending.poll() is None and time.monotonic() < deadline:
                pass
            sending.kill()
            sending.communicate()
            continue
        said = sending.communicate(timeout=120)[1]
        assert sending.returncode == 0, said
        break
    assert "going on at byte" in said
    assert server.kusto("Long | summarize count(), sum(N)").rows == [[count, count * (count - 1) // 2]]


def test_rows_leave_as_parquet_and_come_back_the_same(server, tmp_path):
    server.manage(f".create table Out {COLUMNS}")
    server.manage(f".create table Back {COLUMNS}")
    rows = [
        {"TimeGenerated": "2026-03-02T10:00:00.1234567Z", "N": 1, "S": "ä", "D": {"k": [1, None]},
         "G": "6f9619ff-8b86-d011-b42d-00c04fc964ff", "T": "1.02:03:04.0000005", "R": 0.5, "B": True, "M": "12.5"},
        {"S": "", "D": "text"},
        {"TimeGenerated": "0001-01-01T00:00:00Z", "R": "NaN", "T": "-00:00:01"},
    ]
    put(server, "Out", "\n".join(map(json.dumps, rows)))
    file = tmp_path / "out.parquet"
    outcome = turnstone("export", "Out", "-o", file, "--data", server.data)
    assert outcome.returncode == 0, outcome.stderr
    assert pyarrow.parquet.read_table(file).num_rows == 3
    assert ingest(server, "-t", "Back", file).returncode == 0
    everything = "{} | sort by S asc, TimeGenerated asc"
    assert server.kusto(everything.format("Back")).rows == server.kusto(everything.format("Out")).rows
    refused = turnstone("export", "Out", "-o", file, "--data", server.data)
    assert refused.returncode == 2 and "--force" in refused.stderr
    wrong = turnstone("export", "Out | where Nope", "-o", tmp_path / "no.parquet", "--data", server.data)
    assert wrong.returncode == 2 and "Nope" in wrong.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"], "a failure leaves no file behind"


def test_many_rows_are_exported_without_a_limit(server, tmp_path):
    server.manage(".set Wide <| range N from 1 to 700000 step 1 | extend Text = strcat('row ', N)")
    file = tmp_path / "wide.parquet"
    outcome = turnstone("export", "Wide | where N > 10", "-o", file, "--data", server.data)
    assert outcome.returncode == 0, outcome.stderr
    table = pyarrow.parquet.read_table(file, columns=["N"])
    assert (table.num_rows, pyarrow.compute.sum(table["N"]).as_py()) == (699_990, 700_000 * 700_001 // 2 - 55)


def test_other_programs_read_the_tables(server):
    """Any reader of Delta Lake sees the rows, also after files were merged and rows deleted."""
    server.manage(f".create table Open {COLUMNS}")
    for number in range(9):
        put(server, "Open", json.dumps({"TimeGenerated": "2026-03-02T10:00:00.1234567Z", "N": number, "S": f"row {number}"}))
        table_files = lambda: list((server.data / "workspace/tables/default").glob("Open-*/_Day=*/*.parquet"))
        if number == 4:
            server.manage(".create-merge table Open (Added: long)")
        wait_until(lambda: rows_in_files(server, "Open") == number + 1, 30, "the rows are in files")
    wait_until(lambda: len(table_files()) < 8, 30, "small files are merged")
    server.manage(".delete table Open records <| Open | where N == 3")
    folder = next((server.data / "workspace/tables/default").glob("Open-*"))
    table = DeltaTable(folder)
    read = table.to_pyarrow_table(columns=["N", "S", "TimeGenerated"]).sort_by("N").to_pydict()
    assert read["N"] == [0, 1, 2, 4, 5, 6, 7, 8]
    assert read["S"] == [f"row {number}" for number in read["N"]]
    assert {str(when) for when in read["TimeGenerated"]} == {"2026-03-02 10:00:00.123456+00:00"}
    assert "Added" in {field.name for field in table.schema().fields}
    assert server.kusto("Open | sort by N asc | project N").values == read["N"]


def rows_in_files(server, table: str) -> int:
    total, hot = server.manage(f".show table {table} details | project TotalRowCount, HotRowCount").rows[0]
    return total - hot
