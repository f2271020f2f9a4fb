"""The promise: what was acknowledged is there, once, whatever happens to the program; and so is the alert about it.

The program is killed at random moments, also while it starts, and what devices then do is done: some messages are sent
again until they are taken, some never. TURNSTONE_KILL_ROUNDS sets the number of rounds, TURNSTONE_SEED repeats a run.
"""

import gzip
import http.client
import json
import os
import random
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from security_messages import failed_logins, listening_ports, message, new_id, process_start, reverse_shell
from turnstone_server import Server, wait_until

ROUNDS = int(os.environ.get("TURNSTONE_KILL_ROUNDS", "5"))
SEED = os.environ.get("TURNSTONE_SEED") or uuid.uuid4().hex[:8]
SENDERS = 3
INGESTERS = 2
BATCH_ROWS = 20
BACK_OFF_SECONDS = 0.05


class Load(threading.Thread):
    """Something that sends to the server all the time, through its deaths."""

    def __init__(self, server: Server, seed: str):
        super().__init__(daemon=True)
        self.server = server
        self.random = random.Random(seed)
        self.stopping = threading.Event()
        self.acknowledged: list = []
        self.given_up: list = []
        self.unexpected: list[str] = []

    def attempt(self, send) -> bool | None:
        """True when acknowledged, False when refused for now, None when nobody knows."""
        try:
            answer = send()
        except (OSError, http.client.HTTPException):
            return None
        if answer.status in (200, 204):
            return True
        if answer.status not in (429, 503):
            self.unexpected.append(f"{answer.status} {answer.text[:300]}")
        return False

    def deliver(self, send, what, is_repeatable: bool):
        """Sends until acknowledged or, half of the time, until the first failure."""
        while not self.stopping.is_set():
            outcome = self.attempt(send)
            if outcome:
                self.acknowledged.append(what)
                return
            if outcome is None and (not is_repeatable or self.random.random() < 0.5):
                break
            self.stopping.wait(BACK_OFF_SECONDS)
        self.given_up.append(what)

    def run(self):
        while not self.stopping.is_set():
            self.one()


class Sender(Load):
    """A device that sends messages of one to three events, every fourth event a reverse shell."""

    def __init__(self, server: Server, seed: str, name: str):
        super().__init__(server, seed)
        self.device = server.create_device(name)
        self.secure = self.random.random() < 0.5
        self.attacks: dict[str, str] = {}

    def one(self):
        events = []
        for _ in range(self.random.randint(1, 3)):
            event_id = new_id()
            is_attack = self.random.random() < 0.25
            if is_attack:
                self.attacks[event_id] = event_id
            start = reverse_shell(event_id, event_id=event_id) if is_attack else process_start("true", event_id=event_id)
            events.append(start)
        ids = [event["Id"] for event in events]
        sent = message(*events)
        self.deliver(lambda: self.server.send(self.device, sent, secure=self.secure), ids, is_repeatable=True)


class Ingester(Load):
    """A program that puts batches of rows into a table of its own."""

    def one(self):
        batch = new_id()
        rows = "\n".join(f'{{"Batch":"{batch}","Number":{i}}}' for i in range(BATCH_ROWS))
        # Rows have no id that would tell a repeat, so a batch whose fate is unknown is not sent again.
        self.deliver(lambda: self.server.ingest("Measurement", rows), batch, is_repeatable=False)


def count_by(server: Server, query: str) -> dict:
    return {row[0]: row[1] for row in server.kusto(query).rows}


def check(server: Server, senders: list[Sender], ingesters: list[Ingester]):
    events = count_by(server, "SecurityIoTRawEvent | summarize count() by IoTRawEventId")
    sure = [i for s in senders for ids in s.acknowledged for i in ids]
    unsure = [ids for s in senders for ids in s.given_up]
    assert [i for i in sure if i not in events] == [], f"acknowledged events are lost (seed {SEED})"
    assert {i: n for i, n in events.items() if n != 1} == {}, f"events are stored more than once (seed {SEED})"
    assert set(events) <= {*sure, *(i for ids in unsure for i in ids)}
    torn = [ids for ids in unsure if len({i in events for i in ids}) > 1]
    assert torn == [], f"messages are stored in part (seed {SEED})"

    attacks = {i for s in senders for i in s.attacks if i in events}
    query = """SecurityAlert | where AlertType == 'IoT_ReverseShell'
        | extend Mark = extract('# ([0-9a-f-]{36})', 1, tostring(parse_json(ExtendedProperties).CommandLine))
        | summarize count() by Mark"""
    wait_until(lambda: attacks <= set(count_by(server, query)), 60, f"an alert for each of {len(attacks)} attacks (seed {SEED})", 0.5)
    alerts = count_by(server, query)
    assert {i: n for i, n in alerts.items() if n != 1} == {}, f"alerts are raised more than once (seed {SEED})"
    assert set(alerts) == attacks

    rows = count_by(server, "Measurement | summarize count() by Batch")
    assert [b for i in ingesters for b in i.acknowledged if rows.get(b) != BATCH_ROWS] == [], f"rows are lost (seed {SEED})"
    assert {b: n for b, n in rows.items() if n != BATCH_ROWS} == {}, f"batches are stored in part (seed {SEED})"


def test_what_was_acknowledged_outlives_kills_at_random_moments(new_server):
    chance = random.Random(SEED)
    # Flushes and merges are cut off too.
    server = new_server("--no-agent", "--raw-events", "--flush-seconds", "1", "--maintenance-seconds", "1").start()
    server.manage(".create-merge table Measurement (Batch: string, Number: long)")
    senders = [Sender(server, f"{SEED} {i}", f"pump-{i}") for i in range(SENDERS)]
    ingesters = [Ingester(server, f"{SEED} ingest {i}") for i in range(INGESTERS)]
    load = [*senders, *ingesters]
    for one in load:
        one.start()
    try:
        for round_number in range(ROUNDS):
            before = [len(one.acknowledged) for one in load]
            wait_until(
                lambda: all(len(one.acknowledged) > b for one, b in zip(load, before)),
                30,
                f"acknowledgements in round {round_number} (seed {SEED})",
            )
            # The moment of the kill is chance; nothing is waited for.
            time.sleep(chance.uniform(0, 1.5))
            server.kill()
            if round_number % 2:
                server.start_and_kill(chance.uniform(0, 0.6))
            server.start()
    finally:
        for one in load:
            one.stopping.set()
        for one in load:
            one.join(timeout=60)
    assert [u for one in load for u in one.unexpected] == []
    assert sum(len(s.acknowledged) for s in senders) >= ROUNDS * SENDERS
    check(server, senders, ingesters)
    # The same again after an orderly end.
    assert server.stop() == 0
    server.start()
    check(server, senders, ingesters)


def test_sigterm_under_load_ends_within_ten_seconds_and_loses_nothing(new_server):
    server = new_server("--no-agent", "--raw-events").start()
    server.manage(".create-merge table Measurement (Batch: string, Number: long)")
    sender, ingester = Sender(server, SEED, "pump-1"), Ingester(server, SEED)
    load = [sender, ingester]
    for one in load:
        one.start()
    try:
        wait_until(lambda: all(len(one.acknowledged) > 10 for one in load), 30, "acknowledgements")
        begin = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begin < 10
        server.start()
    finally:
        for one in load:
            one.stopping.set()
        for one in load:
            one.join(timeout=60)
    assert [u for one in load for u in one.unexpected] == []
    check(server, [sender], [ingester])


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_repeated_event_is_stored_once_also_across_a_restart(new_server, end):
    server = new_server("--no-agent", "--raw-events").start()
    device, other = server.create_device("pump-1"), server.create_device("pump-2")
    single = message(reverse_shell("once"))
    several = message(listening_ports("0.0.0.0:22", "0.0.0.0:23", "0.0.0.0:24"))
    for sent in (single, several, single, several):
        server.accept(device, sent)
    getattr(server, end)()
    server.start()
    for sent in (single, several):
        server.accept(device, sent)
    # A repeat beside something new: the new is stored.
    new = process_start("true")
    server.accept(device, message(*single["Events"], new))
    # Ids are a device's own: another's event of the same id is another event.
    server.accept(other, single)

    def stored(events: dict) -> dict:
        event_id = events["Events"][0]["Id"]
        return count_by(server, f"SecurityIoTRawEvent | where IoTRawEventId == '{event_id}' | summarize count() by DeviceId")

    assert stored(single) == {"pump-1": 1, "pump-2": 1}
    assert stored(several) == {"pump-1": 3}
    assert stored(message(new)) == {"pump-1": 1}
    alerts = "SecurityAlert | summarize count() by CompromisedEntity"
    wait_until(lambda: len(count_by(server, alerts)) == 2, 30, "an alert for each device")
    assert sorted(count_by(server, alerts).values()) == [1, 1]


def test_an_event_that_is_sent_twice_at_the_same_time_is_stored_once(new_server):
    server = new_server("--no-agent", "--raw-events").start()
    device = server.create_device("pump-1")
    messages = [message(process_start("true")) for _ in range(20)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda sent: server.accept(device, sent, secure=False), [m for m in messages for _ in range(4)]))
    counts = count_by(server, "SecurityIoTRawEvent | summarize count() by IoTRawEventId")
    assert counts == {m["Events"][0]["Id"]: 1 for m in messages}


def test_rows_outlive_a_kill_before_and_after_they_move_into_files(new_server):
    """Enough rows that the table is written to its Delta files, while other tables' rows are in the log alone."""
    server = new_server("--no-agent", "--raw-events").start()
    device = server.create_device("pump-1")
    server.manage(".create-merge table Large (Number: long, Text: string)")
    sent = []

    def send():
        sent.append(message(process_start("true")))
        server.accept(device, sent[-1])

    send()
    server.stop()
    server.start()
    send()
    rows, parts = 300_000, 3
    for part in range(parts):
        numbers = range(part * rows // parts, (part + 1) * rows // parts)
        body = gzip.compress("".join(f"{n},x\n" for n in numbers).encode(), 1)
        answer = server.ingest("Large", body, "csv", Content_Encoding="gzip")
        assert answer.status == 200, answer.text
        send()

    def files() -> int:
        tables = (server.data / "workspace").glob("tables/default/Large-*")
        return sum(1 for table in tables for _ in table.rglob("*.parquet"))

    wait_until(files, 60, "the table's rows in a file")
    for _ in range(3):
        send()
        assert server.ingest("Large", "-1,late\n", "csv").status == 200
        server.kill()
        server.start()
    totals = server.kusto("Large | summarize count(), countif(Number == -1), max(Number)")
    assert totals.rows == [[rows + 3, 3, rows - 1]]
    assert server.kusto("Large | where Number >= 0 | summarize sum(Number)").value == rows * (rows - 1) // 2
    counts = Counter(server.kusto("SecurityIoTRawEvent | project IoTRawEventId").values)
    assert counts == Counter(m["Events"][0]["Id"] for m in sent)


def test_a_start_on_a_folder_that_was_just_killed_needs_no_help(new_server):
    """Deaths in quick succession, with nothing sent between them."""
    server = new_server("--no-agent", "--raw-events").start()
    device = server.create_device("pump-1")
    sent = message(reverse_shell("early"))
    server.accept(device, sent)
    for after_seconds in (0.02, 0.05, 0.1, 0.2, 0.4):
        if server.process:
            server.kill()
        server.start_and_kill(after_seconds)
    server.start()
    server.accept(device, sent)
    assert server.kusto("SecurityIoTRawEvent | count").value == 1
    wait_until(lambda: server.kusto("SecurityAlert | count").value, 30, "the alert")
    assert server.kusto("SecurityAlert | count").value == 1


@pytest.mark.parametrize("end", ["stop", "kill"])
@pytest.mark.parametrize("flags", [[], ["--raw-events"]], ids=["without raw events", "with raw events"])
def test_detection_goes_on_where_a_restart_cut_it(new_server, end, flags):
    server = new_server("--no-agent", *flags).start()
    device = server.create_device("pump-1")
    attempts = failed_logins("198.51.100.23", 15)

    def restart():
        getattr(server, end)()
        server.start()

    def alerts() -> int:
        return server.kusto("SecurityAlert | where AlertType == 'IoT_Bruteforce_Fail' | count").value

    def recommendations() -> list:
        query = "SecurityRecommendation | order by TimeGenerated asc | project RecommendationName, RecommendationState"
        return server.kusto(query).rows

    # Half of an attack, and a port that is open.
    for attempt in attempts[:6]:
        server.accept(device, message(attempt))
    server.accept(device, message(listening_ports("0.0.0.0:22")))
    wait_until(lambda: len(recommendations()) == 1, 30, "the recommendation")
    assert alerts() == 0
    restart()
    # The other half; the port is closed.
    for attempt in attempts[6:12]:
        server.accept(device, message(attempt))
    server.accept(device, message(listening_ports()))
    wait_until(lambda: alerts() == 1, 30, "one alert for an attack that a restart cut in two")
    wait_until(lambda: len(recommendations()) == 2, 30, "the recommendation's end")
    restart()
    # What was found is not found anew: a mark that comes last shows that all before it was judged.
    server.accept(device, message(*attempts[12:]))
    server.accept(device, message(reverse_shell("mark")))
    wait_until(lambda: server.kusto("SecurityAlert | where AlertType == 'IoT_ReverseShell' | count").value, 30, "the mark")
    assert alerts() == 1
    assert recommendations() == [["IoT_OpenPorts", "Active"], ["IoT_OpenPorts", "Inactive"]]


SIDE_FILE_ROWS = 40_000
SIDE_FILE_SECONDS = 60


def side_files(server: Server) -> list:
    return sorted((server.data / "workspace" / "tables").glob("default/Reading-*/_Day=*/_part-*.side"))


def readings(kill_round: int):
    """JSON lines, each with a name of its own."""
    return "\n".join(
        json.dumps({"TimeGenerated": "2026-03-02T10:00:00Z", "Details": json.dumps({"name": f"r{kill_round}n{i}", "kind": i % 5})})
        for i in range(SIDE_FILE_ROWS))


def test_queries_that_side_files_help_are_right_after_kills_at_random_moments(new_server):
    chance = random.Random(SEED)
    server = new_server("--no-agent", "--flush-seconds", "1", "--maintenance-seconds", "1").start()
    server.manage(".create-merge table Reading (TimeGenerated: datetime, Details: string)")
    for kill_round in range(ROUNDS):
        assert server.ingest("Reading", readings(kill_round)).status == 200
        # While its rows go to a table file, or its side file is made, or both are done.
        time.sleep(chance.uniform(0.5, 3))
        server.kill()
        server.start()
        for known in range(kill_round + 1):
            name = f"r{known}n{chance.randrange(SIDE_FILE_ROWS)}"
            assert server.kusto(f"Reading | where Details has '{name}' | count").value == 1, (name, SEED)
            assert server.kusto(f"Reading | where tostring(parse_json(Details).name) == '{name}' | count").value == 1, (name, SEED)
        assert server.kusto(f"search in (Reading) 'r{kill_round}n{SIDE_FILE_ROWS}' | count").value == 0, SEED
        kinds = count_by(server, "Reading | summarize count() by tostring(parse_json(Details).kind)")
        assert kinds == {str(kind): (kill_round + 1) * SIDE_FILE_ROWS // 5 for kind in range(5)}, SEED
    wait_until(lambda: side_files(server), SIDE_FILE_SECONDS, "a side file")
    server.kill()
    # Without them the answers are the same.
    for path in side_files(server):
        path.unlink()
    server.start()
    assert server.kusto("Reading | where Details has 'r0n7' | count").value == 1
    wait_until(lambda: side_files(server), SIDE_FILE_SECONDS, "a side file that is made again")
