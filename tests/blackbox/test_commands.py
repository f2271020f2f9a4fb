"""Control commands, on the running program."""

import json
import threading
import time

import uuid

import pytest
from turnstone_server import Server


@pytest.fixture(scope="module")
def server(servers) -> Server:
    return servers("--no-agent")


@pytest.fixture()
def database(server):
    """A database of its own for each test."""
    name = f"Commands{uuid.uuid4().hex[:12]}"
    server.manage(f".create database {name} volatile ifnotexists")
    return name


def refused(server, command, database, path="/v1/rest/mgmt"):
    answer = server.admin("POST", path, {"db": database, "csl": command})
    assert answer.status == 400, f"{answer.status} {answer.text}"
    return answer.json["error"]


# Functions


def test_a_function_is_kept_called_and_dropped(server, database):
    server.manage(".create table Logins (User: string, Count: long)", database)
    server.manage('.ingest inline into table Logins <|\nada,3\ngrace,5', database)
    made = server.manage(
        '.create-or-alter function with (folder="Ops", docstring="busy users") Busy(least:long = 4, who : string="") '
        "{ Logins | where Count >= least and (isempty(who) or User == who) };",
        database,
    )
    assert made.rows == [
        ["Busy", '(least:long=4, who:string="")', "{ Logins | where Count >= least and (isempty(who) or User == who) }", "Ops", "busy users"]
    ]
    assert server.kusto("Busy() | project User", database).values == ["grace"]
    assert server.kusto("Busy | project User", database).values == ["grace"]
    assert sorted(server.kusto("Busy(1) | project User", database).values) == ["ada", "grace"]
    assert server.kusto("Busy(who='ada', least=1) | count", database).value == 1
    assert server.kusto("let T = Busy; T | join kind=inner (Busy(5)) on User | count", database).value == 1
    assert server.manage(".show functions", database).values == ["Busy"]
    assert server.manage(".show function Busy", database).rows == made.rows
    assert server.manage('.alter function Busy folder "Sec"', database).rows[0][3] == "Sec"
    assert server.manage(".drop function Busy", database).rows == [["Busy"]]
    assert server.manage(".show functions", database).rows == []
    error = refused(server, "Busy()", database, "/v1/rest/query")
    assert error["code"] == "SEM0100"


def test_functions_call_each_other_whatever_their_order(server, database):
    server.manage(".create-or-alter function with (skipvalidation='true') A() { B() | extend twice = Triple(x) }", database)
    server.manage(".create-or-alter function B() { print x = 2 }", database)
    server.manage(".create-or-alter function Triple(n: long) { n * 3 }", database)
    assert server.kusto("A()", database).rows == [[2, 6]]
    assert server.kusto("print Triple(4)", database).value == 12
    # A function that calls itself, by way of another, is an error and no endless loop.
    server.manage(".create-or-alter function with (skipvalidation='true') B() { A() | extend y = 1 }", database)
    assert "nest deeper" in refused(server, "A()", database, "/v1/rest/query")["@message"]


def test_what_is_wrong_in_a_function_is_told_at_its_call(server, database):
    server.manage(".create-or-alter function with (skipvalidation='true') Broken() { NoSuchTable | count }", database)
    message = refused(server, "print 1\n| extend a = 1; Broken()", database, "/v1/rest/query")["@message"]
    assert "line 2, column 17" in message and "in the function 'Broken'" in message and "NoSuchTable" in message


def test_a_function_is_checked_when_it_is_made(server, database):
    assert "NoSuchTable" in refused(server, ".create function F() { NoSuchTable }", database)["@message"]
    assert "expected" in refused(server, ".create function F() { T | where }", database)["@message"]
    server.manage(".create function F() { print 1 }", database)
    assert refused(server, ".create function F() { print 2 }", database)["@message"] == (
        "Entity 'F' of kind 'ExpressionFunction' already exists."
    )
    server.manage(".create function ifnotexists F() { print 2 }", database)
    assert server.kusto("F", database).value == 1
    found = refused(server, ".alter function G() { print 2 }", database)
    assert (found["code"], found["@message"]) == (
        "BadRequest_EntityNotFound",
        "Entity ID 'G' of kind 'ExpressionFunction' was not found.",
    )


def test_a_view_takes_part_in_wildcards(server, database):
    server.manage(".create table Seen (n: long)", database)
    server.manage(".ingest inline into table Seen <| 1", database)
    server.manage(".create-or-alter function with (view=true) SeenToo() { print n = 2 }", database)
    server.manage(".create-or-alter function SeenNot() { print n = 3 }", database)
    assert sorted(server.kusto("union Seen*", database).values) == [1, 2]


def test_functions_survive_a_restart(new_server):
    server = new_server("--no-agent").start()
    server.manage(".create-or-alter function Kept(n: long) { print n + 1 }")
    assert server.stop() == 0
    server.start()
    assert server.kusto("Kept(41)").value == 42


# Tables and schemas


def test_tables_are_made_noted_and_changed(server, database):
    made = server.manage('.create table T (a: long, b: string) with (folder="F", docstring="D")', database)
    assert json.loads(made.rows[0][1]) == {
        "Name": "T",
        "OrderedColumns": [
            {"Name": "a", "Type": "System.Int64", "CslType": "long"},
            {"Name": "b", "Type": "System.String", "CslType": "string"},
        ],
    }
    assert made.rows[0][2:] == [database, "F", "D"]
    # One that is there stays as it is.
    server.manage(".create table T (z: real)", database)
    assert server.manage(".show table T cslschema", database).rows == [["T", "a:long,b:string", database, "F", "D"]]
    server.manage(".create tables U (x: long), V (y: long)", database)
    assert server.manage(".show tables", database).values == ["T", "U", "V"]
    assert server.manage(".show tables (U, V)", database).values == ["U", "V"]
    assert server.manage(".drop tables (U, V)", database).values == ["T"]
    found = refused(server, ".drop table U", database)
    assert found["@message"] == "Entity ID 'U' of kind 'Table' was not found."


def test_columns_are_reordered_and_added_but_not_lost(server, database):
    server.manage(".create table T (a: long, b: string)", database)
    server.manage(".ingest inline into table T <| 1,x", database)
    server.manage(".alter table T (b: string, c: real, a: long)", database)
    server.manage(".ingest inline into table T <| y,2.5,7", database)
    assert sorted(server.kusto("T", database).rows) == [["x", None, 1], ["y", 2.5, 7]]
    assert "'b'" in refused(server, ".alter table T (a: long)", database)["@message"]
    assert server.manage(".show table T cslschema", database).rows[0][1] == "b:string,c:real,a:long"


def test_the_schema_as_json_has_all_that_editors_read(server, database):
    server.manage(".create table T (a: long)", database)
    server.manage(".create-or-alter function F(n: long = 5, R: (x: string)) { R | take n }", database)
    document = json.loads(server.manage(f".show database ['{database}'] schema as json", database).value)
    schema = document["Databases"][database]
    assert schema["Tables"]["T"]["OrderedColumns"] == [{"Name": "a", "Type": "System.Int64", "CslType": "long"}]
    assert schema["Functions"]["F"]["InputParameters"] == [
        {"Name": "n", "Type": "System.Int64", "CslType": "long", "CslDefaultValue": "5"},
        {"Name": "R", "Columns": [{"Name": "x", "Type": "System.String", "CslType": "string"}]},
    ]
    assert {"ExternalTables", "MaterializedViews", "EntityGroups", "MajorVersion", "MinorVersion"} <= set(schema)
    rows = server.manage(".show database schema", database).rows
    assert [database, "T", "a", "System.Int64"] in [row[:4] for row in rows]


def test_an_answer_can_be_queried(server, database):
    server.manage(".create tables Apple (x: long), Banana (y: long)", database)
    assert server.manage(".show tables | where TableName startswith 'ban' | project TableName", database).values == ["Banana"]
    assert server.manage(".show tables | count", database).value == 2
    assert server.manage(".show tables; let n = 1; $command_results | take n | project DatabaseName", database).values == [database]
    assert server.manage(".SHOW   Tables;", database).values == ["Apple", "Banana"]
    assert "'TableNme'" in refused(server, ".show tables | project TableNme", database)["@message"]
    assert "expected" in refused(server, ".show tables nonsense", database)["@message"]


def test_a_command_with_a_mistake_changes_nothing(server, database):
    server.manage(".create table Kept (a: long)", database)
    for command in (
        ".drop table Kept ifexist",
        ".drop tables Kept, Other",
        ".drop table Kept | nosuchoperator",
        ".create table New (a: long); .create table Newer (a: long)",
        ".create function F() { print 1 } and more",
        ".create table Twice (a: long, a: long)",
        ".alter table Kept (a: long, b: long, a: long)",
    ):
        refused(server, command, database)
    assert server.manage(".show tables", database).values == ["Kept"]
    assert server.manage(".show functions", database).rows == []
    assert server.manage(".show table Kept cslschema", database).rows[0][1] == "a:long"


def test_columns_added_at_the_same_time_are_all_there(server, database):
    server.manage(".create table T (a: long)", database)
    names = [f"c{n}" for n in range(12)]

    def add(name):
        server.manage(f".create-merge table T (a: long, {name}: long)", database)

    def reorder():
        for _ in names:
            columns = server.manage(".show table T cslschema", database).rows[0][1]
            # Columns may have been added since; then it is refused.
            server.admin("POST", "/v1/rest/mgmt", {"db": database, "csl": f".alter table T ({columns})"})

    threads = [threading.Thread(target=add, args=(name,)) for name in names] + [threading.Thread(target=reorder)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    columns = server.manage(".show table T cslschema", database).rows[0][1]
    assert {column.split(":")[0] for column in columns.split(",")} == {"a", *names}


def test_a_database_that_is_not_there_is_said(server):
    for command in (".show tables", ".show database nowhere", ".drop function F ifexists", ".create table T (a: long)"):
        assert "nowhere" in refused(server, command, "nowhere")["@message"]


def test_no_text_ends_the_program(server, database):
    for text in ("print " + "[" * 200_000, "print true" + " and true" * 20_000, "print " + "(" * 200_000, "print 1" + "+1" * 50_000):
        refused(server, text, database, "/v1/rest/query")
        refused(server, ".show tables; " + text, database)
    server.manage(".create table T (a: string)", database)
    server.manage(".ingest inline into table T <| x\n;set servertimeout=zzz; print " + "[" * 100_000, database)
    assert server.kusto("T | count", database).value == 2
    # What machines make may be long.
    conditions = " or ".join(f"a == '{n}'" for n in range(4000))
    assert server.kusto(f"T | where {conditions} | count", database).value == 0


# Rows


def test_rows_within_the_command(server, database):
    server.manage(".create table T (a: long, b: string, c: dynamic)", database)
    server.manage('.ingest inline into table T <|\n1,"x, y","{""k"": 2}"\n2,plain,', database)
    server.manage('.ingest inline into table T with (format="json") <| {"a": 3, "c": [1]}', database)
    server.manage(".ingest inline into table T with (ignoreFirstRecord=true) <|a,b,c\n4,z,", database)
    assert server.kusto("T | sort by a asc", database).rows == [
        [1, "x, y", {"k": 2}],
        [2, "plain", None],
        [3, "", [1]],
        [4, "z", None],
    ]
    # One bad record, and none is stored.
    assert "record" in refused(server, '.ingest inline into table T with (format="json") <| {"a": 5}\n[7]', database)["@message"]
    assert server.kusto("T | count", database).value == 4


def test_the_result_of_a_query_becomes_rows(server, database):
    made = server.manage(".set Squares <| range n from 1 to 4 step 1 | extend square = n * n", database)
    assert made.columns == ["ExtentId", "OriginalSize", "ExtentSize", "CompressedSize", "IndexSize", "RowCount"]
    assert made.rows[0][5] == 4
    assert server.kusto("Squares | summarize sum(square)", database).value == 30
    server.manage(".append Squares <| print a = 5, b = tolong(25)", database)
    server.manage(".set-or-append Squares <| let n = 6; print a = n, b = n * n", database)
    assert server.kusto("Squares | summarize sum(square)", database).value == 91
    assert "already exists" in refused(server, ".set Squares <| print 1", database)["@message"]
    assert refused(server, ".append Cubes <| print 1", database)["code"] == "BadRequest_EntityNotFound"
    found = refused(server, ".append Squares <| print a = 1", database)
    assert found["@message"].endswith("QuerySchema=('long'), TableSchema=('long,long')")
    assert server.manage(".set-or-append Empty <| print a = 1 | where a > 1", database).rows == []
    assert server.kusto("Empty | count", database).value == 0


# The service


def test_queries_are_listed_and_cancelled(server, database):
    server.kusto("print 'the one that ended', h'a secret'", database)
    ended = server.manage(".show queries | where Text has 'the one that ended' | project Text, State, Database", database)
    assert ended.rows[0] == ["print 'the one that ended', h'***'", "Completed", database]

    answers = []

    def slow():
        query = "range a from 1 to 100000000 step 1 | extend h = hash_sha256(tostring(a)) | summarize dcount(h) by h | count"
        headers = {"x-ms-client-request-id": "Test;slow"}
        answers.append(server.admin("POST", "/v1/rest/query", {"db": database, "csl": query}, headers))

    thread = threading.Thread(target=slow)
    thread.start()
    deadline = time.monotonic() + 60
    while "Test;slow" not in server.manage(".show running queries", database).values:
        assert time.monotonic() < deadline, "the query never ran"
        time.sleep(0.05)
    cancelled = server.manage('.cancel query "Test;slow"', database)
    assert cancelled.values == ["Test;slow"]
    thread.join(60)
    assert answers[0].status == 400 and "cancelled" in answers[0].text
    assert "no running query" in refused(server, '.cancel query "Test;slow"', database)["@message"]


def test_the_version_is_shown(server):
    assert server.manage(".show version | project ServiceType").value == "Engine"
