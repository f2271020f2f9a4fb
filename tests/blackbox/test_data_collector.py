"""The HTTP Data Collector interface, as older senders use it: records signed with a shared key of a workspace become
rows whose columns say their types.
"""

import base64
import hashlib
import hmac
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from turnstone_server import Answer, Server

PATH = "/api/logs?api-version=2016-04-01"
WORKSPACE = "/providers/Microsoft.OperationalInsights/workspaces"
OTHER_KEY = base64.b64encode(b"k" * 64).decode()


@pytest.fixture(scope="module")
def server(servers) -> Server:
    return servers("--no-agent")


class Workspace:
    """A workspace as its senders know it: a GUID and two keys."""

    def __init__(self, server: Server, name: str):
        self.server, self.name = server, name
        found = server.admin("GET", "/subscriptions?api-version=2022-12-01").json["value"][0]
        self.path = f"/subscriptions/{found['subscriptionId']}/resourceGroups/default{WORKSPACE}/{name}"
        shown = server.admin("PUT", f"{self.path}?api-version=2023-09-01", {"location": "local"})
        assert shown.status in (200, 201), shown.text
        self.id = shown.json["properties"]["customerId"]
        self.keys = self.ask("sharedKeys")

    def ask(self, action: str) -> tuple[str, str]:
        answer = self.server.admin("POST", f"{self.path}/{action}?api-version=2020-08-01")
        assert answer.status == 200, f"{answer.status} {answer.text}"
        return answer.json["primarySharedKey"], answer.json["secondarySharedKey"]

    def rows(self, table: str) -> list[dict]:
        return self.server.kusto(table, self.name).records

    def count(self, table: str) -> int:
        """How many rows there are; none where there is no such table."""
        names = self.server.manage(".show tables | project TableName", self.name).values
        return self.server.kusto(f"{table} | count", self.name).value if table in names else 0

    def send(self, log_type: str | None, body, *, key: str | None = None, as_id: str | None = None,
             date: datetime | None = None, signed: bytes | None = None, secure: bool = False, **headers: str) -> Answer:
        """A request as the interface's documentation says. `signed` is what is signed in the place of the body."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        date_text = format_datetime((date or datetime.now(timezone.utc)).astimezone(timezone.utc), usegmt=True)
        length = len(signed if signed is not None else body)
        text = f"POST\n{length}\napplication/json\nx-ms-date:{date_text}\n/api/logs"
        digest = hmac.digest(base64.b64decode(key or self.keys[0]), text.encode(), hashlib.sha256)
        all_headers = {
            "Authorization": f"SharedKey {as_id or self.id}:{base64.b64encode(digest).decode()}",
            "Content-Type": "application/json",
            "x-ms-date": date_text,
            **({"Log-Type": log_type} if log_type is not None else {}),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return self.server.request("POST", PATH, body, all_headers, secure)

    def accept(self, log_type: str, body, **options):
        answer = self.send(log_type, body, **options)
        assert (answer.status, answer.body) == (200, b""), f"{answer.status} {answer.text}"


@pytest.fixture(scope="module")
def workspace(server) -> Workspace:
    return Workspace(server, "default")


@pytest.fixture(scope="module")
def other(server) -> Workspace:
    return Workspace(server, "other")


def log_type() -> str:
    """A type that no other test uses."""
    return f"T{uuid.uuid4().hex}"


def refusal(answer: Answer, status: int, code: str) -> str:
    """The text of a refusal in the shape of this interface."""
    assert answer.status == status, f"{answer.status} {answer.text}"
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json["Error"] == code and answer.json["Message"], answer.text
    return answer.json["Message"]


# What is taken


def test_members_become_columns_whose_endings_say_their_types(workspace):
    of, guid = log_type(), str(uuid.uuid4())
    record = {
        "Text": "it's", "Number": 1.5, "Whole": 7, "Flag": True, "Id": guid, "When": "2026-03-02T10:00:00.125Z",
        "Bag": {"k": [1, "x"]}, "List": [1, 2], "Nothing": None,
    }
    workspace.accept(of, [record])
    result = workspace.server.kusto(f"{of}_CL")
    types = dict(zip(result.columns, result.types))
    wanted = {
        "TimeGenerated": "datetime", "Type": "string", "Text_s": "string", "Number_d": "real", "Whole_d": "real",
        "Flag_b": "bool", "Id_g": "guid", "When_t": "datetime", "Bag_s": "string", "List_s": "string",
    }
    assert {name: types.get(name) for name in wanted} == wanted
    assert not [name for name in types if name.startswith("Nothing")]
    (row,) = result.records
    assert (row["Text_s"], row["Number_d"], row["Whole_d"], row["Flag_b"], row["Id_g"]) == ("it's", 1.5, 7, True, guid)
    assert row["Type"] == f"{of}_CL"
    assert json.loads(row["Bag_s"]) == {"k": [1, "x"]} and json.loads(row["List_s"]) == [1, 2]
    assert row["When_t"].rstrip("Z0") == "2026-03-02T10:00:00.125"


def test_a_time_is_that_of_the_arrival_where_nothing_is_said(workspace):
    of = log_type()
    workspace.accept(of, [{"N": 1}])
    assert workspace.server.kusto(f"{of}_CL | where TimeGenerated between (ago(5m) .. now()) | count").value == 1


def test_the_field_that_is_named_gives_the_time(workspace):
    of = log_type()
    records = [{"When": "2026-03-02T10:00:00Z", "N": 1}, {"When": "no time", "N": 2}, {"N": 3}]
    workspace.accept(of, records, time_generated_field="When")
    rows = {row["N_d"]: row for row in workspace.rows(f"{of}_CL")}
    assert rows[1]["TimeGenerated"].startswith("2026-03-02T10:00:00")
    # What is no time says nothing, and is kept as it is.
    assert rows[2]["When_s"] == "no time"
    late = workspace.server.kusto(f"{of}_CL | where TimeGenerated > ago(5m) | project N_d").values
    assert sorted(late) == [2, 3]


def test_a_second_batch_adds_columns(workspace):
    of = log_type()
    workspace.accept(of, [{"A": 1}])
    workspace.accept(of, [{"A": "text", "B": True}, {"C": 2}])
    sorting = "order by A_d asc nulls last, C_d asc nulls first"
    result = workspace.server.kusto(f"{of}_CL | project A_d, A_s, B_b, C_d | {sorting}")
    empty = {"A_d": None, "A_s": "", "B_b": None, "C_d": None}
    assert result.records == [{**empty, "A_d": 1}, {**empty, "A_s": "text", "B_b": True}, {**empty, "C_d": 2}]


def test_a_record_needs_no_list_around_it(workspace):
    of = log_type()
    workspace.accept(of, {"N": 1})
    assert workspace.count(f"{of}_CL") == 1


def test_a_batch_of_many_records_is_stored_whole(workspace):
    of = log_type()
    workspace.accept(of, [{"N": number, "S": f"line {number}"} for number in range(5000)])
    found = workspace.server.kusto(f"{of}_CL | summarize count(), sum(N_d), dcount(S_s)").rows[0]
    assert found[:2] == [5000, sum(range(5000))]


def test_both_keys_are_as_good_over_tls_too(workspace):
    of = log_type()
    for key in workspace.keys:
        workspace.accept(of, [{"N": 1}], key=key, secure=True)
    assert workspace.count(f"{of}_CL") == 2


def test_records_go_to_the_workspace_whose_key_has_signed_them(workspace, other):
    of = log_type()
    other.accept(of, [{"N": 1}])
    assert other.count(f"{of}_CL") == 1 and workspace.count(f"{of}_CL") == 0


def test_letters_beyond_ascii_are_counted_in_octets(workspace):
    of = log_type()
    body = json.dumps([{"S": "größer €"}], ensure_ascii=False).encode()
    workspace.accept(of, body)
    assert workspace.rows(f"{of}_CL")[0]["S_s"] == "größer €"


def test_senders_that_add_columns_at_once_lose_nothing(workspace):
    of, count = log_type(), 8
    with ThreadPoolExecutor(count) as senders:
        batches = [[{f"Own{number}": number, "Same": "x"}] for number in range(count)]
        answers = list(senders.map(lambda batch: workspace.send(of, batch), batches))
    assert [answer.status for answer in answers] == [200] * count, [answer.text for answer in answers]
    rows = workspace.rows(f"{of}_CL")
    filled = [[one for one in row.items() if one[1] is not None] for row in rows]
    own = [[(name, value) for name, value in row if name.startswith("Own")] for row in filled]
    assert sorted(own) == [[(f"Own{number}_d", number)] for number in range(count)]


def test_a_column_of_another_type_is_not_overwritten(workspace):
    of = log_type()
    workspace.server.manage(f".create table {of}_CL (TimeGenerated: datetime, A_s: long)")
    assert "A_s" in refusal(workspace.send(of, [{"A": "text"}]), 400, "InvalidDataFormat")
    assert workspace.count(f"{of}_CL") == 0


def test_what_is_taken_outlives_a_kill(new_server):
    server = new_server("--no-agent").start()
    workspace = Workspace(server, "default")
    workspace.accept("Kept", [{"N": 1}])
    server.kill()
    server.start()
    # Keys stay too.
    workspace.accept("Kept", [{"N": 2}])
    assert sorted(row["N_d"] for row in workspace.rows("Kept_CL")) == [1, 2]


# Who is not let in


def test_a_wrong_signature_is_refused(workspace):
    of = log_type()
    refusal(workspace.send(of, [{"N": 1}], key=OTHER_KEY), 403, "InvalidAuthorization")
    assert workspace.count(f"{of}_CL") == 0


def test_a_signature_of_another_length_is_refused(workspace):
    of = log_type()
    refusal(workspace.send(of, [{"N": 1}], signed=b"[]"), 403, "InvalidAuthorization")
    assert workspace.count(f"{of}_CL") == 0


@pytest.mark.parametrize("minutes", [-20, 20, -60 * 24 * 365])
def test_a_date_that_is_far_from_now_is_refused(workspace, minutes):
    of = log_type()
    date = datetime.now(timezone.utc) + timedelta(minutes=minutes)
    assert "x-ms-date" in refusal(workspace.send(of, [{"N": 1}], date=date), 403, "InvalidAuthorization")
    assert workspace.count(f"{of}_CL") == 0


def test_clocks_may_differ_a_little(workspace):
    of = log_type()
    for minutes in (-10, 10):
        workspace.accept(of, [{"N": 1}], date=datetime.now(timezone.utc) + timedelta(minutes=minutes))
    assert workspace.count(f"{of}_CL") == 2


def test_another_date_than_the_signed_one_is_refused(workspace):
    of = log_type()
    earlier = format_datetime(datetime.now(timezone.utc) - timedelta(minutes=1), usegmt=True)
    refusal(workspace.send(of, [{"N": 1}], x_ms_date=earlier), 403, "InvalidAuthorization")


def test_the_key_of_another_workspace_is_refused(workspace, other):
    of = log_type()
    for key in other.keys:
        refusal(workspace.send(of, [{"N": 1}], key=key), 403, "InvalidAuthorization")
    for key in workspace.keys:
        refusal(other.send(of, [{"N": 1}], key=key), 403, "InvalidAuthorization")
    assert workspace.count(f"{of}_CL") == other.count(f"{of}_CL") == 0


def test_an_unknown_workspace_is_refused_with_the_words_of_a_wrong_key(workspace):
    """A stranger does not learn which workspaces there are."""
    of = log_type()
    unknown = refusal(workspace.send(of, [{"N": 1}], as_id=str(uuid.uuid4())), 403, "InvalidAuthorization")
    assert unknown == refusal(workspace.send(of, [{"N": 1}], key=OTHER_KEY), 403, "InvalidAuthorization")


@pytest.mark.parametrize("given", ["", "SharedKey", "SharedKey x", "SharedKey x:y", "Bearer x", "SharedKey :"])
def test_nonsense_for_a_signature_is_refused(workspace, given):
    refusal(workspace.send(log_type(), [{"N": 1}], Authorization=given), 403, "InvalidAuthorization")


def test_the_admin_token_is_no_signature(workspace):
    answer = workspace.send(log_type(), [{"N": 1}], Authorization=f"Bearer {workspace.server.token}")
    refusal(answer, 403, "InvalidAuthorization")


def test_a_workspace_whose_keys_nobody_has_asked_for_takes_nothing(server, workspace):
    path = f"{workspace.path.rsplit('/', 1)[0]}/quiet?api-version=2023-09-01"
    made = server.admin("PUT", path, {"location": "local"})
    guid = made.json["properties"]["customerId"]
    for key in (OTHER_KEY, base64.b64encode(b"").decode(), *workspace.keys):
        refusal(workspace.send(log_type(), [{"N": 1}], as_id=guid, key=key or "=="), 403, "InvalidAuthorization")


def test_keys_that_are_made_anew_make_the_old_ones_useless(server):
    workspace = Workspace(server, "renewed")
    old = workspace.keys
    assert workspace.ask("sharedKeys") == old
    workspace.keys = workspace.ask("regenerateSharedKey")
    assert not set(old) & set(workspace.keys)
    assert workspace.ask("sharedKeys") == workspace.keys
    of = log_type()
    for key in old:
        refusal(workspace.send(of, [{"N": 1}], key=key), 403, "InvalidAuthorization")
    for key in workspace.keys:
        workspace.accept(of, [{"N": 1}], key=key)
    assert workspace.count(f"{of}_CL") == 2


def test_keys_are_shown_to_who_may_see_them_alone(server, workspace):
    for role, status in (("Log Analytics Reader", 403), ("Security Admin", 403), ("Log Analytics Contributor", 200)):
        made = server.admin("POST", "/api/v1/tokens", {"name": role, "role": role, "scope": "/"})
        headers = {"Authorization": f"Bearer {made.json['token']}"}
        answer = server.admin("POST", f"{workspace.path}/sharedKeys?api-version=2020-08-01", headers=headers)
        assert answer.status == status, f"{role}: {answer.status} {answer.text}"
    # Nor are they part of what is shown of the workspace.
    shown = server.admin("GET", f"{workspace.path}?api-version=2023-09-01").text
    listed = server.admin("GET", f"{workspace.path.rsplit('/', 1)[0]}?api-version=2023-09-01").text
    group = workspace.path.split("/providers")[0]
    resources = server.admin("GET", f"{group}/resources?api-version=2021-04-01").text
    tables = server.admin("POST", "/v1/rest/query", {"db": "default", "csl": "AzureActivity"}).text
    for key in workspace.keys:
        assert all(key not in text for text in (shown, listed, resources, tables, server.log_text()))


# What is refused


BAD_BODIES = {
    "nothing": b"",
    "half an object": b'[{"N": 1}',
    "no records": b"7",
    "a text": b'"N"',
    "a record that is none": b'[{"N": 1}, 2]',
    "a name that is none": b'[{"a b": 1}]',
    "an empty name": b'[{"": 1}]',
    "no UTF-8": b'[{"N": "\xff"}]',
    "too deep": b"[" * 100_000,
}


@pytest.mark.parametrize("what", BAD_BODIES)
def test_a_body_that_is_no_batch_of_records_is_refused_whole(workspace, what):
    of = log_type()
    refusal(workspace.send(of, BAD_BODIES[what]), 400, "InvalidDataFormat")
    assert workspace.count(f"{of}_CL") == 0


@pytest.mark.parametrize("of", [None, "", "a b", "a-b", "x" * 101, "1x", "größe"])
def test_a_type_that_is_none_is_refused(workspace, of):
    given = of.encode().decode("latin-1") if of else of
    refusal(workspace.send(given, [{"N": 1}]), 400, "InvalidCustomLogName")


def test_a_record_of_too_many_members_is_refused(workspace):
    of = log_type()
    refusal(workspace.send(of, [{f"M{number}": number for number in range(600)}]), 400, "InvalidDataFormat")
    assert workspace.count(f"{of}_CL") == 0


def test_a_body_that_is_too_large_is_refused(workspace):
    of = log_type()
    body = json.dumps([{"S": "x" * 1000}] * 70_000).encode()
    assert len(body) > 64 * 2**20
    refusal(workspace.send(of, body), 413, "MaxDataSizeExceeded")
    assert workspace.count(f"{of}_CL") == 0


def test_only_posts_are_taken(server):
    for method in ("GET", "PUT", "DELETE"):
        assert server.admin(method, PATH).status == 405
