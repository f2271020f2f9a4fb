"""The promise: the command line answers in the form that was asked for, its exit code says whether it worked, and its
refusals say what to do.
"""

import csv
import io
import json

import pytest
from security_messages import message, process_start, reverse_shell
from turnstone_server import Server, environment, run, turnstone, wait_until

WRONG_USE = 2


@pytest.fixture(scope="module")
def server(servers) -> Server:
    return servers("--no-agent")


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """A small table as files of each form."""
    folder = tmp_path_factory.mktemp("files")
    rows = [{"A": 1, "B": "x"}, {"A": 2, "B": 'y, "z" | w'}]
    (folder / "t.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with (folder / "t.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["A", "B"])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def works(*arguments, **options) -> str:
    """What a command that must work prints."""
    outcome = turnstone(*arguments, **options)
    assert outcome.returncode == 0, f"exit code {outcome.returncode}: {outcome.stderr}"
    return outcome.stdout


# Query

QUERY = "datatable(A: long, B: string, D: dynamic) [1, 'x', dynamic({'k': 1}), 2, 'y, \"z\" | w', dynamic(null)]"


def test_json_is_one_object_a_row(server):
    assert json.loads(works("query", QUERY, "--format", "json", "--data", server.data)) == [
        {"A": 1, "B": "x", "D": {"k": 1}},
        {"A": 2, "B": 'y, "z" | w', "D": None},
    ]


def test_csv_is_read_back_by_any_reader(server):
    printed = works("query", QUERY, "--format", "csv", "--data", server.data)
    assert list(csv.reader(io.StringIO(printed))) == [["A", "B", "D"], ["1", "x", '{"k":1}'], ["2", 'y, "z" | w', ""]]


def test_csv_is_what_another_program_gets_unasked(server):
    assert works("query", QUERY, "--data", server.data) == works("query", QUERY, "--format", "csv", "--data", server.data)


def test_markdown_is_a_table(server):
    lines = works("query", QUERY, "--format", "markdown", "--data", server.data).splitlines()
    assert lines[0] == "| A | B | D |"
    assert set(lines[1]) <= set("|-: ")
    assert lines[2] == '| 1 | x | {"k":1} |'
    assert lines[3] == '| 2 | y, "z" \\| w |  |'


def test_a_table_for_people_has_names_cells_and_the_number_of_rows(server):
    printed = works("query", QUERY, "--format", "table", "--data", server.data)
    lines = printed.splitlines()
    assert any(line.split() == ["A", "B", "D"] for line in lines)
    assert any(line.split() == ["1", "x", '{"k":1}'] for line in lines)
    assert lines[-1] == "2 rows"
    assert "\x1b" not in printed, "no colours where there is no terminal"


def test_a_query_is_read_from_standard_input(server):
    assert works("query", "-", "--data", server.data, text_input="print x = 1\n") == "x\n1\n"


def test_another_workspace_is_queried_by_name(server):
    server.manage(".create database other")
    assert works("query", ".show tables", "--workspace", "other", "--data", server.data).count("\n") == 1
    assert turnstone("query", "SecurityAlert", "--workspace", "other", "--data", server.data).returncode == WRONG_USE


def test_a_wrong_query_is_shown_with_a_caret_under_the_fault(server):
    outcome = turnstone("query", "SecurityAlert\n| wher x == 1", "--data", server.data)
    assert outcome.returncode == WRONG_USE
    assert outcome.stdout == ""
    lines = outcome.stderr.splitlines()
    shown = next(i for i, line in enumerate(lines) if "| wher x == 1" in line)
    fault, carets = lines[shown], lines[shown + 1]
    assert fault[carets.index("^") : carets.rindex("^") + 1] == "wher"
    assert "line 2, column 3" in outcome.stderr
    assert "'where'" in outcome.stderr, "the likely word is named"


def test_a_column_that_is_not_there_is_shown_with_a_caret_too(server):
    outcome = turnstone("query", "SecurityAlert\n| project AlertSeverty", "--data", server.data)
    assert outcome.returncode == WRONG_USE
    lines = outcome.stderr.splitlines()
    assert "'AlertSeverty'" in outcome.stderr
    shown = [i for i, line in enumerate(lines) if "| project AlertSeverty" in line]
    assert shown, outcome.stderr
    carets = lines[shown[0] + 1]
    assert lines[shown[0]][carets.index("^") : carets.rindex("^") + 1] == "AlertSeverty"


def test_all_that_is_wrong_is_shown(server):
    query = "SecurityAlert | where AlertSeverty == 'High'\n| extend x = strcat(Nme, tolowr('a'))"
    outcome = turnstone("query", query, "--data", server.data)
    assert outcome.returncode == WRONG_USE
    for wrong in ("AlertSeverty", "Nme", "tolowr"):
        assert f"named '{wrong}'" in outcome.stderr
    carets = [line.split("|")[-1].strip() for line in outcome.stderr.splitlines() if "^" in line]
    assert [len(line) for line in carets] == [len(wrong) for wrong in ("AlertSeverty", "Nme", "tolowr")]


def test_a_query_is_sent_over_tls_with_a_token_and_an_authority(server):
    arguments = ("query", "print x = 1", "--url", server.https, "--token", server.token)
    assert works(*arguments, "--ca", server.ca) == "x\n1\n"
    wrong = turnstone("query", "print 1", "--url", server.https, "--token", "wrong", "--ca", server.ca)
    assert wrong.returncode != 0 and "token" in wrong.stderr


def test_a_token_that_begins_with_a_hyphen_is_a_token(new_server):
    server = new_server("--no-agent")
    server.data.mkdir()
    (server.data / "admin-token").write_text("-V-is-no-flag\n")
    with server:
        arguments = ("query", "print x = 1", "--url", server.https, "--ca", server.ca)
        assert works(*arguments, "--token", server.token) == "x\n1\n"


def test_a_new_token_is_known_as_one_by_its_beginning(server):
    assert server.token.startswith("tst_")


def test_a_server_whose_authority_is_not_known_is_not_trusted(server, tmp_path):
    outcome = turnstone("query", "print 1", "--url", server.https, "--token", server.token, "--data", tmp_path)
    assert outcome.returncode == 1
    assert "certificate" in outcome.stderr or "--ca" in outcome.stderr
    assert "panicked" not in outcome.stderr


def test_the_environment_names_a_server(server):
    env = environment(TURNSTONE_URL=server.https, TURNSTONE_TOKEN=server.token, TURNSTONE_CA=str(server.ca))
    assert works("query", "print x = 1", env=env) == "x\n1\n"


def test_a_server_that_does_not_run_is_told(tmp_path):
    outcome = turnstone("query", "print 1", "--data", tmp_path)
    assert outcome.returncode == 1
    assert "turnstone up" in outcome.stderr
    outcome = turnstone("query", "print 1", "--url", "http://127.0.0.1:1", "--token", "x")
    assert outcome.returncode == 1
    assert "127.0.0.1:1" in outcome.stderr


# Files alone


@pytest.mark.parametrize("name", ["t.csv", "t.json"])
def test_a_file_is_queried_without_a_server(events, name):
    printed = works("query", "--file", f"T={events / name}", "T | where A > 1", "--format", "json")
    assert json.loads(printed) == [{"A": 2, "B": 'y, "z" | w'}]


def test_several_files_are_joined(events):
    query = "T | join kind=inner U on A | summarize count()"
    printed = works("query", "--file", f"T={events / 't.csv'}", "--file", f"U={events / 't.json'}", query)
    assert printed.splitlines()[1] == "2"


def test_a_wrong_query_on_a_file_shows_a_caret(events):
    outcome = turnstone("query", "--file", f"T={events / 't.csv'}", "T | project Q")
    assert outcome.returncode == WRONG_USE
    lines = outcome.stderr.splitlines()
    shown = next(i for i, line in enumerate(lines) if "T | project Q" in line)
    assert lines[shown][lines[shown + 1].index("^")] == "Q"


def test_a_file_that_cannot_be_read_is_named(events):
    for argument in (f"T={events / 'nothing.csv'}", "T", f"T={events / 't.xml'}"):
        outcome = turnstone("query", "--file", argument, "T")
        assert outcome.returncode == WRONG_USE
        assert argument.split("=")[-1] in outcome.stderr


# Ingest


@pytest.mark.parametrize("name", ["t.csv", "t.json"])
def test_the_rows_of_a_file_go_into_a_table(server, events, name):
    table = "Ingested" + name.removeprefix("t.")
    server.manage(f".create-merge table {table} (A: long, B: string)")
    outcome = turnstone("ingest", "-t", table, events / name, "--data", server.data)
    assert outcome.returncode == 0, outcome.stderr
    assert "2 rows" in outcome.stderr
    assert server.kusto(f"{table} | order by A asc").rows == [[1, "x"], [2, 'y, "z" | w']]


def test_a_large_file_goes_in_whole(server, tmp_path):
    server.manage(".create-merge table Numbers (A: long, B: string)")
    file = tmp_path / "numbers.csv"
    # Line breaks within quotes fall where batches are cut.
    file.write_text("A,B\n" + "".join(f'{n},"line one\nline two {n}"\n' for n in range(100_000)))
    assert "100000 rows" in turnstone("ingest", "-t", "Numbers", file, "--data", server.data).stderr
    assert server.kusto("Numbers | summarize count(), sum(A), countif(B endswith strcat('two ', A))").rows == [
        [100_000, 4_999_950_000, 100_000]
    ]


def test_ingestion_into_a_table_that_is_not_there_is_refused(server, events):
    outcome = turnstone("ingest", "-t", "Nowhere", events / "t.csv", "--data", server.data)
    assert outcome.returncode == WRONG_USE
    assert "'Nowhere'" in outcome.stderr


# Devices


def test_devices_are_made_listed_shown_and_deleted(server):
    made = works("device", "create", "pump-07", "--host", "hub.example:8443", "--data", server.data).strip()
    assert made.startswith("HostName=hub.example:8443;DeviceId=pump-07;SharedAccessKey=")
    listed = json.loads(works("device", "list", "--format", "json", "--data", server.data))
    assert [d["DeviceId"] for d in listed if d["IsEnabled"]] == ["pump-07"]
    assert "SharedAccessKey" not in works("device", "list", "--data", server.data)
    assert works("device", "show", "pump-07", "--host", "hub.example:8443", "--data", server.data).strip() == made
    works("device", "delete", "pump-07", "--data", server.data)
    for command in ("show", "delete"):
        gone = turnstone("device", command, "pump-07", "--data", server.data)
        assert gone.returncode == WRONG_USE and "'pump-07'" in gone.stderr


def test_a_device_is_made_once(server):
    works("device", "create", "pump-08", "--data", server.data)
    again = turnstone("device", "create", "pump-08", "--data", server.data)
    assert again.returncode == WRONG_USE and "'pump-08'" in again.stderr
    bad = turnstone("device", "create", "a b", "--data", server.data)
    assert bad.returncode == WRONG_USE and "'a b'" in bad.stderr


# Rules


def test_the_built_in_rules_do_what_their_tests_say():
    last = works("rule", "test").splitlines()[-1]
    passed, failed = last.split(", ")
    assert failed == "0 failed"
    assert int(passed.removesuffix(" passed")) > 20


def test_a_rule_of_ones_own_is_tested(tmp_path):
    rule = tmp_path / "rule.yaml"
    text = """id: 0e7f9c0a-7d0f-4b7e-8f8e-111111111111
name: Telnet started
description: A telnet server was started on the device.
severity: Low
alertType: Custom_Telnet
kind: NRT
version: 1.0.0
tactics: [InitialAccess]
relevantTechniques: [T1133]
remediationSteps: [Stop it.]
query: |
  SecurityIoTRawEvent
  | where RawEventName == "ProcessCreate"
  | extend d = parse_json(EventDetails)
  | where tostring(d.CommandLine) has "telnetd"
  | project TimeStamp, DeviceId, EventId = IoTRawEventId, CommandLine = tostring(d.CommandLine)
alertKey: [EventId]
customDetails:
  CommandLine: CommandLine
tests:
  - name: it starts
    events:
      - name: ProcessCreate
        item: { Executable: /usr/sbin/telnetd, ProcessId: 1, ParentProcessId: 1, UserId: "0", CommandLine: telnetd -F }
    alerts:
      - { CommandLine: WANTED }
"""
    rule.write_text(text.replace("WANTED", "telnetd -F"))
    assert works("rule", "test", rule).splitlines()[-1] == "1 passed, 0 failed"
    assert works("rule", "test", tmp_path).splitlines()[-1] == "1 passed, 0 failed"
    rule.write_text(text.replace("WANTED", "something else"))
    outcome = turnstone("rule", "test", rule)
    assert outcome.returncode == 1
    assert outcome.stdout.splitlines()[-1] == "0 passed, 1 failed"
    rule.write_text(text.replace("| where", "| wher"))
    outcome = turnstone("rule", "test", rule)
    assert outcome.returncode == 1 and "wher" in outcome.stdout


def test_the_built_in_rules_are_listed():
    listed = works("rule", "list")
    for name in ("IoT_ReverseShell", "IoT_CryptoMiner", "IoT_OpenPorts", "IoT_Baseline"):
        assert name in listed


# Doctor


def test_the_doctor_finds_a_server_well_once_data_has_come(new_server):
    server = new_server("--no-agent").start()
    early = turnstone("doctor", "--data", server.data)
    assert early.returncode == 1
    assert "turnstone device create" in early.stdout, "it says what to do next"
    device = server.create_device("pump-07")
    server.accept(device, message(reverse_shell()))
    wait_until(lambda: server.kusto("SecurityAlert | count").value, 30, "the alert")
    well = turnstone("doctor", "--data", server.data)
    assert well.returncode == 0, well.stdout
    assert "FAIL" not in well.stdout
    server.send(device, b"{")
    sick = turnstone("doctor", "--data", server.data)
    assert sick.returncode == 1 and "refused" in sick.stdout
    server.stop()
    gone = turnstone("doctor", "--data", server.data)
    assert gone.returncode == 1 and "turnstone up" in gone.stdout


def test_the_doctor_is_content_with_a_healthy_device_that_does_nothing_wrong(new_server):
    """Without raw events a device that only tells of ordinary things leaves no row; data has come all the same."""
    server = new_server("--no-agent").start()
    server.accept(server.create_device("pump-07"), message(process_start("true")))
    outcome = turnstone("doctor", "--data", server.data)
    assert "nothing has come from any device" not in outcome.stdout, outcome.stdout


# Help

COMMANDS = [
    [], ["up"], ["query"], ["ingest"], ["device"], ["device", "create"], ["device", "list"], ["device", "show"],
    ["device", "delete"], ["rule"], ["rule", "test"], ["rule", "list"], ["doctor"],
]
WITH_EXAMPLES = [["up"], ["query"], ["ingest"], ["device", "create"], ["rule", "test"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(command):
    printed = works(*command, "--help")
    assert "Usage: turnstone" in printed
    if command in WITH_EXAMPLES:
        examples = printed[printed.index("Example") :].splitlines()[1:]
        assert all(line.strip().startswith(("turnstone ", "echo ")) for line in examples if line.strip())
        assert examples


def test_an_unknown_command_is_refused(tmp_path):
    for arguments in (["upp"], ["query", "--formt", "csv", "print 1"]):
        outcome = turnstone(*arguments)
        assert outcome.returncode == WRONG_USE
        assert outcome.stderr


# Up


def test_a_second_server_on_the_same_folder_is_refused(server):
    outcome = run(
        "turnstone", "up", "--data", server.data, "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--no-agent"
    )
    assert outcome.returncode not in (0, WRONG_USE)
    assert "in use by another process" in outcome.stderr.strip().splitlines()[-1]
    assert str(server.data) in outcome.stderr
    # The first is none the worse.
    assert works("query", "print x = 1", "--data", server.data) == "x\n1\n"


def test_an_address_that_is_taken_is_named(server, tmp_path):
    taken = server.http.removeprefix("http://")
    outcome = run("turnstone", "up", "--data", tmp_path / "data", "--http", taken, "--https", "127.0.0.1:0", "--no-agent")
    assert outcome.returncode != 0
    assert taken in outcome.stderr.strip().splitlines()[-1]


def test_the_ready_line_names_addresses_that_answer(server):
    assert server.ready_line.startswith("turnstone is ready")
    assert server.request("GET", "/healthz").status == 200
    assert server.request("GET", "/healthz", secure=True).status == 200


def test_the_ready_line_is_all_that_goes_to_standard_output(new_server):
    server = new_server("--no-agent").start()
    server.accept(server.create_device("pump-07"), message(reverse_shell()))
    assert server.stop() == 0
    assert server.output.get(timeout=10) is None


def test_sigterm_right_after_the_ready_line_ends_the_server_in_order(new_server):
    """What reads the ready line may stop the program at once; killed by the signal, it would leave its agent behind."""
    server = new_server()
    for _ in range(5):
        server.start()
        assert server.stop() == 0
        assert server.agents() == []


def test_the_log_of_a_healthy_first_start_holds_no_error(new_server):
    """A person who starts the program for the first time sees what to do next, not the troubles of its libraries."""
    server = new_server("--no-agent").start()
    server.kusto("SecurityAlert")
    server.stop()
    lines = server.log_text().splitlines()
    assert [line for line in lines if "ERROR" in line] == []
    assert len(lines) < 40
