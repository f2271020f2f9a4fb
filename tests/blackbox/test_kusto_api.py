"""The promise: the Kusto interface answers queries, commands and streaming ingestion in the shapes that Kusto's clients
read, and says what is wrong and where when it refuses.
"""

import gzip
import json
import re
import uuid

import pytest
from turnstone_server import Answer, Server

POSITION = re.compile(r"line (\d+), column (\d+)")


@pytest.fixture(scope="module")
def server(servers) -> Server:
    return servers("--no-agent")


@pytest.fixture
def table(server) -> str:
    """A new table."""
    name = "T" + uuid.uuid4().hex[:12]
    server.manage(f".create-merge table {name} (A: long, B: string, C: datetime, D: dynamic)")
    return name


def ask(server: Server, query: str, path: str = "/v1/rest/query", database: str = "default") -> Answer:
    return server.admin("POST", path, {"db": database, "csl": query})


def error(answer: Answer, status: int) -> dict:
    """The error of an answer, in Kusto's shape."""
    assert answer.status == status, f"{answer.status} {answer.text}"
    assert answer.headers["content-type"].startswith("application/json")
    found = answer.json["error"]
    for name in ("code", "message", "@type", "@message"):
        assert isinstance(found[name], str) and found[name], found
    assert found["@permanent"] is (status not in (429, 504))
    return found


# Who may ask


@pytest.mark.parametrize("path", ["/v1/rest/query", "/v1/rest/mgmt", "/v1/rest/ingest/default/SecurityAlert?streamFormat=json"])
@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Bearer ", "Basic eDp5", "short"], ids=str)
def test_without_a_good_token_nothing_is_answered(server, path, authorization):
    headers = {"Authorization": authorization} if authorization is not None else {}
    answer = server.request("POST", path, json.dumps({"db": "default", "csl": "print 1"}), headers)
    found = error(answer, 401)
    assert "token" in found["@message"]
    assert "www-authenticate" in answer.headers


def test_a_part_of_the_token_is_no_token(server):
    for token in (server.token[:-1], server.token + "x", server.token.swapcase()):
        answer = server.request("POST", "/v1/rest/query", b'{"csl":"print 1"}', {"Authorization": f"Bearer {token}"})
        error(answer, 401)


# What is wrong and where


def test_a_syntax_error_names_its_line_and_column(server):
    found = error(ask(server, "print x = 1\n| extend y = (2 +"), 400)
    assert "Syntax error" in found["@message"]
    assert POSITION.search(found["@message"]).group(1) == "2", found["@message"]


def test_an_unknown_operator_is_pointed_at(server):
    found = error(ask(server, "SecurityAlert\n| wher AlertSeverity == 'High'"), 400)
    assert POSITION.search(found["@message"]).groups() == ("2", "3")


def test_an_unknown_column_is_a_semantic_error(server):
    found = error(ask(server, "SecurityAlert\n| project AlertSeverty"), 400)
    assert "Semantic error" in found["@message"] and "'AlertSeverty'" in found["@message"]
    assert POSITION.search(found["@message"]).groups() == ("2", "11")


def test_an_unknown_table_is_a_semantic_error(server):
    assert "'SecurityAlerts'" in error(ask(server, "SecurityAlerts | count"), 400)["@message"]


def test_an_operator_that_is_not_supported_is_refused_by_name(server):
    found = error(ask(server, "SecurityAlert\n| assert-schema (a: long)"), 400)
    assert "'assert-schema' is not supported yet" in found["@message"]
    assert POSITION.search(found["@message"]).groups() == ("2", "3")


def test_a_database_that_is_not_there_is_refused_by_name(server):
    assert "'nowhere'" in error(ask(server, "print 1", database="nowhere"), 400)["@message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"db":"default"}', b'{"csl":7}'], ids=repr)
def test_a_body_that_is_no_request_is_refused(server, body):
    error(server.admin("POST", "/v1/rest/query", body), 400)


def test_an_unknown_address_answers_in_the_shape_of_its_family(server):
    for path in ("/v1/rest/nothing", "/v1/rest/query/more"):
        error(server.admin("POST", path, {"csl": "print 1"}), 404)


def test_deeply_nested_text_is_refused_and_the_server_goes_on(server):
    for query in ("print " + "(" * 50_000, "print " + "-" * 50_000 + "1", "T | where " + "not(" * 50_000):
        assert ask(server, query).status == 400
    assert server.kusto("print 1").value == 1


# The shape of answers


def test_an_answer_holds_the_result_its_properties_the_status_and_the_contents(server):
    answer = ask(server, "range x from 1 to 3 step 1")
    tables = answer.json["Tables"]
    assert [table["TableName"] for table in tables] == ["Table_0", "Table_1", "Table_2", "Table_3"]
    result, properties, status, contents = tables
    assert result["Columns"] == [{"ColumnName": "x", "DataType": "Int64", "ColumnType": "long"}]
    assert result["Rows"] == [[1], [2], [3]]
    assert [c["ColumnName"] for c in properties["Columns"]] == ["Value"]
    assert "Visualization" in json.loads(properties["Rows"][0][0])
    assert [c["ColumnName"] for c in status["Columns"]] == [
        "Timestamp", "Severity", "SeverityName", "StatusCode", "StatusDescription", "Count", "RequestId", "ActivityId",
        "SubActivityId", "ClientActivityId",
    ]
    assert [c["ColumnName"] for c in contents["Columns"]] == ["Ordinal", "Kind", "Name", "Id", "PrettyName"]
    assert [row[:2] for row in contents["Rows"]] == [[0, "QueryResult"], [1, "QueryProperties"], [2, "QueryStatus"]]


def test_every_statement_that_gives_rows_has_a_table(server):
    tables = ask(server, "print a = 1; print b = 'x'").json["Tables"]
    assert len(tables) == 5
    assert [t["Columns"][0]["ColumnName"] for t in tables[:2]] == ["a", "b"]
    assert [row[1] for row in tables[-1]["Rows"]] == ["QueryResult", "QueryResult", "QueryProperties", "QueryStatus"]


def test_a_render_is_told_in_the_properties(server):
    tables = ask(server, "range x from 1 to 3 step 1 | render timechart with (title='of x')").json["Tables"]
    properties = json.loads(tables[1]["Rows"][0][0])
    assert (properties["Visualization"], properties["Title"]) == ("timechart", "of x")


def test_values_have_the_forms_of_their_types(server):
    result = server.kusto(
        "print b = true, i = int(1), l = 9007199254740993, r = 0.5, e = decimal(0.1), s = 'x',"
        " t = datetime(2014-01-01T01:01:01.0000001Z), p = 1d + 2h + 3ms,"
        " g = guid(74be27de-1e4e-49d9-b579-fe0b331d3642), y = dynamic({'k': [1, 'a', null]})"
    )
    assert result.types == ["bool", "int", "long", "real", "decimal", "string", "datetime", "timespan", "guid", "dynamic"]
    data_types = [c["DataType"] for c in result.tables[0]["Columns"]]
    assert data_types == ["SByte", "Int32", "Int64", "Double", "SqlDecimal", "String", "DateTime", "TimeSpan", "Guid", "Object"]
    assert result.rows == [[
        True, 1, 9007199254740993, 0.5, "0.1", "x", "2014-01-01T01:01:01.0000001Z", "1.02:00:00.0030000",
        "74be27de-1e4e-49d9-b579-fe0b331d3642", {"k": [1, "a", None]},
    ]]


def test_nulls_and_numbers_that_are_none_have_their_forms(server):
    result = server.kusto(
        "print bool(null), int(null), long(null), real(null), datetime(null), timespan(null), guid(null),"
        " dynamic(null), tostring(dynamic(null)), real(nan), real(+inf), real(-inf)"
    )
    assert result.rows == [[None] * 8 + ["", "NaN", "Infinity", "-Infinity"]]


# Commands


def test_a_database_is_made_with_tables_of_its_own(server):
    name = "db" + uuid.uuid4().hex[:8]
    server.manage(f".create database {name}")
    assert name in server.manage(".show databases").values
    assert server.manage(".show tables", name).rows == [], "without the security tables"
    server.manage(".create-merge table T (A: long)", name)
    assert server.ingest("T", '{"A":1}', database=name).status == 200
    assert server.kusto("T", name).rows == [[1]]
    assert "'T'" in error(ask(server, "T"), 400)["@message"]


def test_a_table_is_merged_with_what_is_there(server, table):
    assert server.ingest(table, '{"A":1,"B":"x"}').status == 200
    server.manage(f".create-merge table {table} (A: long, E: real)")
    result = server.kusto(table)
    assert list(zip(result.columns, result.types)) == [
        ("A", "long"), ("B", "string"), ("C", "datetime"), ("D", "dynamic"), ("E", "real"),
    ]
    assert result.rows == [[1, "x", None, None, None]]


def test_a_column_does_not_change_its_type(server, table):
    found = error(ask(server, f".create-merge table {table} (A: string)", "/v1/rest/mgmt"), 400)
    assert "A" in found["@message"]


def test_a_dropped_table_is_gone(server, table):
    server.ingest(table, '{"A":1}')
    server.manage(f".drop table {table}")
    error(ask(server, table), 400)
    error(ask(server, f".drop table {table}", "/v1/rest/mgmt"), 400)
    server.manage(f".drop table {table} ifexists")
    assert table not in server.manage(".show tables").values
    # One of the same name is new.
    server.manage(f".create-merge table {table} (A: long)")
    assert server.kusto(f"{table} | count").value == 0


def test_the_security_tables_are_shown(server):
    assert {"SecurityAlert", "SecurityRecommendation", "SecurityIoTRawEvent"} <= set(server.manage(".show tables").values)


def test_a_command_is_understood_at_the_address_of_queries_too(server):
    assert "default" in server.kusto("\n .show databases").values


def test_a_command_that_is_not_supported_is_refused_by_name(server):
    found = error(ask(server, ".alter-merge cluster policy", "/v1/rest/mgmt"), 400)
    assert "not supported" in found["@message"] and ".alter-merge" in found["@message"]


def test_a_name_that_leads_out_of_the_data_folder_is_refused(server):
    for name in ("../evil", "a/b", "..", ""):
        error(ask(server, f".create database ['{name}']", "/v1/rest/mgmt"), 400)
        error(ask(server, f".create-merge table ['{name}'] (A: long)", "/v1/rest/mgmt"), 400)


# Ingestion


def consumed(answer: Answer) -> int:
    assert answer.status == 200, f"{answer.status} {answer.text}"
    table = answer.json["Tables"][0]
    return table["Rows"][0][[c["ColumnName"] for c in table["Columns"]].index("ConsumedRecordsCount")]


ROWS = [
    [1, "x", "2026-03-02T09:15:00.1234567Z", {"k": 1}],
    [2, 'a "b", c\nd', None, None],
]


def test_csv_is_read_by_position(server, table):
    body = '1,x,2026-03-02T09:15:00.1234567Z,"{""k"":1}"\n2,"a ""b"", c\nd",,\n'
    assert consumed(server.ingest(table, body, "csv")) == 2
    assert server.kusto(f"{table} | order by A asc").rows == ROWS


def test_json_is_read_by_name(server, table):
    lines = [
        {"D": {"k": 1}, "C": "2026-03-02T09:15:00.1234567Z", "B": "x", "A": 1, "Unknown": True},
        {"A": 2, "B": 'a "b", c\nd'},
    ]
    body = "\n".join(map(json.dumps, lines))
    assert consumed(server.ingest(table, body)) == 2
    assert server.kusto(f"{table} | order by A asc").rows == ROWS


def test_a_packed_body_is_unpacked(server, table):
    body = gzip.compress(b'{"A":1}\n{"A":2}\n')
    assert consumed(server.ingest(table, body, Content_Encoding="gzip")) == 2
    assert server.kusto(f"{table} | project A").values == [1, 2]
    error(server.ingest(table, b"no gzip", Content_Encoding="gzip"), 400)


def test_rows_are_visible_at_once(server, table):
    for number in range(20):
        server.ingest(table, json.dumps({"A": number}))
        assert server.kusto(f"{table} | summarize max(A), count()").rows == [[number, number + 1]]


def test_an_unknown_table_is_refused_by_name(server):
    assert "'Nowhere'" in error(server.ingest("Nowhere", '{"A":1}'), 400)["@message"]
    assert "'nowhere'" in error(server.ingest("T", '{"A":1}', database="nowhere"), 400)["@message"]


@pytest.mark.parametrize(
    ("form", "body", "record", "stored"),
    [
        ("json", '{"A":1}\n{"A":\n{"A":3}', 2, [1, 3]),
        ("json", '{"A":\n{"A":2}\n{"A":3}', 1, [2, 3]),
        ("json", '{"A":1}\n7', 2, [1]),
        ("json", '[{"A":1},"x"]', 2, [1]),
        ("csv", b"1,a\n2,\xff\n3,c", 2, [1, 3]),
    ],
)
def test_a_bad_record_costs_itself_alone(server, table, form, body, record, stored):
    answer = server.ingest(table, body, form)
    assert consumed(answer) == len(stored)
    found = answer.json["Tables"][0]
    cells = dict(zip([c["ColumnName"] for c in found["Columns"]], found["Rows"][0]))
    assert cells["RejectedRecordsCount"] == 1
    assert f"record {record}" in cells["RejectionReason"]
    assert server.kusto(f"{table} | order by A asc | project A").values == stored
    noted = server.kusto(f"Operation | where Detail has '{table}' | project OperationStatus, OperationCategory, Detail")
    assert [row[:2] for row in noted.rows] == [["Failed", "Ingestion"]]
    assert f"record {record} " in noted.rows[0][2]


def test_a_request_of_nothing_but_bad_records_is_refused(server, table):
    assert "record 1" in error(server.ingest(table, "nonsense"), 400)["@message"]
    assert server.kusto(f"{table} | count").value == 0


def test_a_value_that_does_not_fit_its_column_becomes_null(server, table):
    """As in Kusto: the row is kept, the value is not."""
    assert consumed(server.ingest(table, '{"A":"many","B":7,"C":"soon"}')) == 1
    assert server.kusto(table).rows == [[None, "7", None, None]]


def test_a_mapping_says_which_column_is_filled_from_where(server, table):
    said = json.dumps([
        {"column": "A", "Properties": {"Path": "$.inner.n"}},
        {"column": "B", "path": "$['the name']", "datatype": "string"},
        {"column": "D", "Properties": {"Path": "$.list[-1]"}},
    ])
    made = server.manage(f".create table {table} ingestion json mapping 'm' '{said.replace(chr(39), chr(92) + chr(39))}'")
    assert made.columns[:3] == ["Name", "Kind", "Mapping"] and made.rows[0][:3] == ["m", "Json", said]
    flat = server.manage(f""".create table {table} ingestion json mapping "flat" '[{{"column":"A","path":"$.B"}}]'""")
    assert flat.rows[0][0] == "flat"
    server.manage(
        f".create table {table} ingestion csv mapping 'c' "
        """'[{"column":"B","Ordinal":0},{"column":"A","Properties":{"Ordinal":"2"}},{"column":"D","ConstValue":"[7]"}]'"""
    )

    def send(form: str, name: str, body: str) -> Answer:
        path = f"/v1/rest/ingest/default/{table}?streamFormat={form}&mappingName={name}"
        return server.admin("POST", path, body.encode())

    assert consumed(send("json", "m", '{"inner":{"n":1},"the name":"x","list":[0,{"k":1}],"A":9}')) == 1
    assert consumed(send("multijson", "flat", '{"B":2,"A":9}\n{"A":9,"B":"3"}')) == 2
    assert consumed(send("csv", "c", "y,passed over,4")) == 1
    wanted = [[1, "x", None, {"k": 1}], [2, "", None, None], [3, "", None, None], [4, "y", None, [7]]]
    assert server.kusto(f"{table} | order by A asc").rows == wanted
    assert "'nothing'" in error(send("json", "nothing", "{}"), 400)["@message"]
    assert server.manage(f".show table {table} ingestion mappings | project Name").values == ["m", "flat", "c"]
    assert server.manage(f".drop table {table} ingestion json mapping 'm'").values == ["flat", "c"]
    error(send("json", "m", "{}"), 400)
    again = f""".create table {table} ingestion json mapping "flat" '[{{"column":"A","path":"$.C"}}]'"""
    error(server.admin("POST", "/v1/rest/mgmt", {"db": "default", "csl": again}), 400)
    server.manage(again.replace(".create", ".create-or-alter"))
    server.manage(f".create-merge table {table} (More: string)")
    assert consumed(send("json", "flat", '{"B":9,"C":5}')) == 1
    assert server.kusto(f"{table} | summarize max(A)").value == 5


def test_an_empty_body_stores_nothing(server, table):
    for form in ("json", "csv"):
        assert consumed(server.ingest(table, b"", form)) == 0
    assert server.kusto(f"{table} | count").value == 0


def test_a_form_that_is_not_supported_is_refused_by_name(server, table):
    assert "avro" in error(server.ingest(table, b"x", "avro"), 400)["@message"]


# Limits and what comes with a request


def properties(server: Server, query: str, given) -> Answer:
    return server.admin("POST", "/v1/rest/query", {"db": "default", "csl": query, "properties": given})


def cut_off(answer: Answer) -> tuple[list, str]:
    """The rows of a result that is cut off, and why it is."""
    assert answer.status == 200, answer.text
    *rows, last = answer.json["Tables"][0]["Rows"]
    status = answer.json["Tables"][-2]
    severity = [c["ColumnName"] for c in status["Columns"]].index("Severity")
    assert status["Rows"][0][severity] == 2
    return rows, last["Exceptions"][0]


def test_a_result_over_the_limit_is_cut_off_and_says_so(server):
    rows, why = cut_off(ask(server, "range x from 1 to 500001 step 1"))
    assert len(rows) == 500_000
    assert "E_QUERY_RESULT_SET_TOO_LARGE" in why and "500000 rows" in why
    everything = ask(server, "set notruncation; range x from 1 to 500001 step 1").json["Tables"][0]["Rows"]
    assert len(everything) == 500_001


@pytest.mark.parametrize("as_text", [False, True])
def test_limits_come_with_the_request_or_the_query(server, as_text):
    given = {"Options": {"truncationmaxrecords": 3}}
    rows, why = cut_off(properties(server, "range x from 1 to 9 step 1", json.dumps(given) if as_text else given))
    assert rows == [[1], [2], [3]] and "3 rows" in why
    rows, why = cut_off(ask(server, "set truncationmaxsize = 20; range x from 1 to 9 step 1 | extend y = 'abcdef'"))
    assert rows == [[1, "abcdef"]] and "20 bytes" in why


def test_a_query_ends_when_its_time_is_up(server):
    slow = "range x from 1 to 100000000 step 1 | extend h = hash_sha256(tostring(x)) | summarize dcount(h)"
    found = error(properties(server, slow, {"options": {"servertimeout": "00:00:00.5"}}), 504)
    assert "servertimeout" in found["@message"]
    assert ask(server, "print 1").status == 200
    found = error(properties(server, "print 1", {"Options": {"servertimeout": "soon"}}), 400)
    assert "servertimeout" in found["@message"]


def test_query_parameters_come_with_the_request(server):
    query = (
        "declare query_parameters(n: long, s: string = 'none', d: datetime = datetime(2020-01-01), t: timespan = 1h);"
        "print n, s, d, t"
    )

    def row(parameters: dict) -> list:
        return properties(server, query, {"Parameters": parameters}).json["Tables"][0]["Rows"][0]

    assert row({"n": 41}) == [41, "none", "2020-01-01T00:00:00.0000000Z", "01:00:00"]
    sent = {"n": "long(5)", "s": "it's", "d": "datetime(2021-02-03)", "t": "2d"}
    assert row(sent) == [5, "it's", "2021-02-03T00:00:00.0000000Z", "2.00:00:00"]
    assert row({"n": "-7", "s": '"quoted; drop"'}) == [-7, "quoted; drop", "2020-01-01T00:00:00.0000000Z", "01:00:00"]
    found = error(properties(server, query, {"Parameters": {"n": "many"}}), 400)
    assert "line 1, column 26" in found["@message"] and "long" in found["@message"]


def test_several_results_of_one_query(server):
    answer = ask(server, "range x from 1 to 3 step 1 | fork (where x > 2) Small = (where x < 2)")
    contents = answer.json["Tables"][-1]
    names = [row[2] for row in contents["Rows"] if row[1] == "QueryResult"]
    assert names == ["PrimaryResult", "Small"]
    assert [t["Rows"] for t in answer.json["Tables"][:2]] == [[[3]], [[1]]]
