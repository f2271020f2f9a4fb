"""What a workspace keeps and for how long: retention, deletion and purge, the daily quota, and the figures of use."""

import datetime
import json

import pytest
from turnstone_server import wait_until


def ago(days: float) -> str:
    return (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def put(server, table: str, rows: list[dict]):
    answer = server.ingest(table, "\n".join(map(json.dumps, rows)))
    assert answer.status == 200, answer.text


def numbers(server, table: str) -> list:
    return server.kusto(f"{table} | sort by N asc | project N").values


def test_rows_are_kept_as_long_as_the_policy_says(servers):
    server = servers("--no-agent", "--flush-seconds", "1", "--maintenance-seconds", "1")
    server.manage(".create table Kept (TimeGenerated: datetime, N: long)")
    server.manage(".create table Days (TimeGenerated: datetime, N: long)")
    for table in ("Kept", "Days"):
        put(server, table, [{"TimeGenerated": ago(days), "N": days} for days in (0, 5, 40)])
    shown = server.manage(".alter table Days policy retention '{\"SoftDeletePeriod\": \"10.00:00:00\"}'")
    assert shown.rows[0][:2] == ["RetentionPolicy", "[default].[Days]"]
    assert json.loads(shown.rows[0][2])["SoftDeletePeriod"] == "10.00:00:00"
    wait_until(lambda: numbers(server, "Days") == [0, 5], 30, "the old row is gone")
    note = server.kusto("Operation | where OperationCategory == 'Retention' | project Detail").value
    assert "1 rows of the table 'Days' were older than the 10 days" in note
    assert numbers(server, "Kept") == [0, 5, 40]
    server.manage(".alter-merge table Days policy retention softdelete = 1000d")
    put(server, "Days", [{"TimeGenerated": ago(40), "N": 41}])
    server.manage(".alter-merge database default policy retention softdelete = 3d")
    wait_until(lambda: numbers(server, "Kept") == [0], 30, "the database's days hold for a table without its own")
    assert numbers(server, "Days") == [0, 5, 41]
    server.manage(".delete table Days policy retention")
    wait_until(lambda: numbers(server, "Days") == [0], 30, "the database's days hold again")
    details = server.manage(".show table Kept details | project TotalRowCount, RetentionPolicy").rows[0]
    assert details[0] == 1 and "3.00:00:00" in details[1]


@pytest.mark.parametrize(
    "command, problem",
    [
        (".alter table T policy retention '{}'", "has no SoftDeletePeriod"),
        (".alter table T policy retention '{\"SoftDeletePeriod\": \"soon\"}'", "'soon' is no time"),
        (".alter-merge table T policy retention softdelete = 0d", "one day at least"),
        (".alter table T policy caching hot = 3d", "the policy 'caching'"),
        (".alter table Nothing policy retention '{\"SoftDeletePeriod\": \"3.00:00:00\"}'", "'Nothing'"),
        (".delete table T records <| T", "there is no condition"),
        (".delete table T records <| Operation | where true", "must be those of the table"),
        (".delete table T records <| T | where N == 1 | take 1", "only 'where'"),
        (".delete table T records <| T | where N in ((T | project N))", "nothing but the columns"),
        (".delete table T records <| T | where N == toscalar(Operation | count)", "nothing but the columns"),
        (".delete table T records <| T | where Nope == 1", "Nope"),
        (".delete table T records with (tags='x') <| T | where N == 1", "the property 'tags'"),
        (".purge table T records with (verificationtoken='no') <| where N == 1", "of another table or condition"),
    ],
)
def test_a_command_that_is_wrong_says_how_and_changes_nothing(table_of_three, command, problem):
    server = table_of_three
    answer = server.admin("POST", "/v1/rest/mgmt", {"db": "default", "csl": command})
    assert answer.status == 400, answer.text
    assert problem in answer.json["error"]["@message"]
    assert server.kusto("T | count").value == 3


@pytest.fixture(scope="module")
def table_of_three(servers):
    server = servers("--no-agent")
    server.manage(".create table T (TimeGenerated: datetime, N: long, S: string)")
    put(server, "T", [{"N": n, "S": f"row {n}"} for n in range(3)])
    return server


def test_deleted_rows_are_gone_and_others_are_not(new_server):
    server = new_server("--no-agent", "--flush-seconds", "1").start()
    server.manage(".create table T (TimeGenerated: datetime, N: long, S: string)")
    put(server, "T", [{"TimeGenerated": ago(n % 3), "N": n, "S": "odd" if n % 2 else None} for n in range(10)])
    put(server, "T", [{"TimeGenerated": ago(0), "S": "no number"}])
    condition = "T | where N % 2 == 1 | where S == 'odd' and N != 3"
    tried = server.manage(f".delete table T records with (whatif=true) <| {condition}")
    assert tried.rows == [["T", 4, 0]]
    assert server.kusto("T | count").value == 11
    assert server.manage(f".delete table T records <| {condition}").rows[0][:2] == ["T", 4]
    rest = [None, 0, 2, 3, 4, 6, 8]
    assert numbers(server, "T") == rest
    # A condition that is null of a row does not hit it, and neither does its opposite.
    assert server.manage(".delete table T records <| T | where not(N != 0)").rows[0][:2] == ["T", 1]
    rest.remove(0)
    server.kill()
    server.start()
    assert numbers(server, "T") == rest
    asked = server.manage(".purge table T records in database default <| where N == 4")
    assert asked.rows[0][0] == 1
    assert numbers(server, "T") == rest
    token = asked.rows[0][2]
    done = server.manage(f".purge table T records in database default with (verificationtoken='{token}') <| where N == 4")
    assert done.rows[0][7] == "Completed"
    rest.remove(4)
    assert numbers(server, "T") == rest
    server.manage(".purge table T records with (noregrets='true') <| T | where N == 6")
    rest.remove(6)
    assert numbers(server, "T") == rest


def test_deleted_values_are_in_no_file(new_server):
    server = new_server("--no-agent").start()
    server.manage(".create table T (N: long, S: string)")
    put(server, "T", [{"N": 1, "S": "a-secret-value"}, {"N": 2, "S": "stays"}])
    server.manage(".delete table T records <| T | where N == 1")
    wait_until(lambda: files_with(server, b"a-secret-value") == [], 30, "the value is in no file")
    assert server.kusto("T | project S").values == ["stays"]


def files_with(server, value: bytes) -> list:
    files = (path for path in (server.data / "workspace").rglob("*") if path.is_file())
    return [path for path in files if value in path.read_bytes()]


def test_a_database_takes_no_more_than_its_quota_and_finds_go_on(new_server):
    server = new_server("--no-agent").start()
    server.manage(".create table T (S: string)")
    server.manage(".alter database default policy daily_quota '{\"DailyQuotaGb\": 0.00001}'")
    put(server, "T", [{"S": "x" * 6000}])
    put(server, "T", [{"S": "x" * 6000}])
    refused = server.ingest("T", json.dumps({"S": "x"}))
    assert refused.status == 429
    assert int(refused.headers["retry-after"]) >= 60
    assert "has taken its 10000 bytes of this day" in refused.json["error"]["@message"]
    server.kill()
    server.start()
    assert server.ingest("T", json.dumps({"S": "x"})).status == 429, "a restart lifts no quota"
    shown = json.loads(server.manage(".show database default policy daily_quota").rows[0][2])
    assert shown["DailyQuotaGb"] == 0.00001 and shown["TakenTodayGb"] >= 0.000012
    server.manage(".delete database default policy daily_quota")
    put(server, "T", [{"S": "again"}])
    assert server.kusto("T | count").value == 3
