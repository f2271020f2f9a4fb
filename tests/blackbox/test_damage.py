"""What disks and clocks do to a server: no acknowledged row is lost or doubled, and what is wrong is said by name.

The promises are in docs/durability.md. Some tests mount a small file system and need root for it.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from security_messages import message, process_start, reverse_shell
from turnstone_server import wait_until

FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
ROW_BYTES = 2000


def row(number: int) -> str:
    return json.dumps({"Number": number, "Text": os.urandom(ROW_BYTES // 2).hex()})


def numbers(server) -> list:
    return server.kusto("T | sort by Number asc | project Number").values


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MB of its own, and what mounts it read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def put_on(server, folder):
    server.data = folder / "data"
    server.log = folder.with_name("log")
    return server


def test_a_full_disk_refuses_rows_and_takes_them_again_when_there_is_room(new_server, small_disk):
    server = put_on(new_server("--no-agent", "--raw-events", "--flush-seconds", "1"), small_disk).start()
    server.manage(".create table T (Number: long, Text: string)")
    device = server.create_device("pump-1")
    acknowledged = []

    def send_until(is_wanted, at_most: int = 5000):
        for number in range(len(acknowledged), len(acknowledged) + at_most):
            answer = server.ingest("T", row(number))
            if is_wanted(answer):
                return answer
            assert answer.status == 200, answer.text
            acknowledged.append(number)
        raise AssertionError("the disk was never full")

    filler = small_disk / "filler"
    filler.write_bytes(bytes(14 << 20))
    refused = send_until(lambda answer: answer.status != 200)
    assert refused.status == 503, refused.text
    error = refused.json["error"]
    assert "the disk is full" in error["@message"] and not error["@permanent"]
    assert int(refused.headers["retry-after"]) > 0
    assert acknowledged, "nothing was taken at all"

    def is_device_refused():
        # Rows that go from the log to a file make room again.
        send_until(lambda answer: answer.status == 503)
        return server.send(device, message(process_start("true"))).status in (429, 503)

    wait_until(is_device_refused, 60, "devices are asked to come again")
    assert numbers(server) == acknowledged, "queries go on"
    filler.unlink()
    wait_until(lambda: server.ingest("T", row(len(acknowledged))).status == 200, 30, "rows are taken again")
    acknowledged.append(len(acknowledged))
    assert server.send(device, message(process_start("true"))).status == 204
    # Now to the last byte, past what the server holds back, and killed there.
    filler.write_bytes(b"")
    with filler.open("wb") as file:
        try:
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        except OSError:
            pass
    assert server.ingest("T", row(-1)).status == 503
    server.kill()
    filler.unlink()
    server.start()
    assert numbers(server) == acknowledged
    assert server.ingest("T", row(len(acknowledged))).status == 200


def test_a_folder_that_cannot_be_written_is_named(new_server, small_disk):
    server = put_on(new_server("--no-agent"), small_disk).start()
    server.manage(".create table T (Number: long, Text: string)")
    assert server.ingest("T", row(1)).status == 200
    server.stop()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(AssertionError, match="ended with code"):
        server.start()
    said = server.log_text().strip().splitlines()[-1]
    assert str(server.data) in said and "Read-only file system" in said
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert numbers(server.start()) == [1]


def log_segment(server) -> Path:
    """The segment of the log that holds rows."""
    return max((server.data / "workspace" / "log").glob("*.log"), key=lambda path: path.stat().st_size)


def with_three_rows(server):
    server.start()
    server.manage(".create table T (Number: long, Text: string)")
    for number in range(3):
        assert server.ingest("T", row(number)).status == 200
    server.kill()
    return server


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"TSFR", b"TSFR" + os.urandom(60)], ids=["zeros", "a word", "noise"])
def test_a_torn_tail_of_the_log_is_cut_off(new_server, tail):
    server = with_three_rows(new_server("--no-agent"))
    with log_segment(server).open("ab") as file:
        file.write(tail)
    assert numbers(server.start()) == [0, 1, 2]
    assert "cut off before it was acknowledged" in server.log_text()
    assert server.ingest("T", row(3)).status == 200
    server.kill()
    assert numbers(server.start()) == [0, 1, 2, 3]


def test_a_damaged_block_of_the_log_is_named_and_the_way_out_with_it(new_server):
    server = with_three_rows(new_server("--no-agent"))
    segment = log_segment(server)
    good = segment.read_bytes()
    place = good.index(b"TSFR", good.index(b"TSFR") + 4) + 100
    segment.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
    with pytest.raises(AssertionError, match="ended with code"):
        server.start()
    said = server.log_text().strip().splitlines()[-1]
    assert str(segment) in said and "is damaged at byte" in said and "move the file away" in said
    segment.write_bytes(good)
    assert numbers(server.start()) == [0, 1, 2], "an attempt to start has changed nothing"


def test_a_damaged_table_file_is_named_by_the_queries_that_need_it_alone(new_server):
    server = new_server("--no-agent", "--flush-seconds", "1").start()
    server.manage(".create table T (TimeGenerated: datetime, Number: long)")
    server.manage(".create table Other (Number: long)")
    for day in (1, 2):
        assert server.ingest("T", json.dumps({"TimeGenerated": f"2026-03-0{day}", "Number": day})).status == 200
    assert server.ingest("Other", '{"Number": 7}').status == 200
    files = lambda: list((server.data / "workspace").rglob("_Day=2026-03-0*/*.parquet"))
    wait_until(lambda: len(files()) == 2, 30, "the rows are in files")
    server.stop()
    damaged = next(path for path in files() if "2026-03-01" in str(path))
    damaged.write_bytes(damaged.read_bytes()[:-12] + bytes(12))
    server.start()
    answer = server.admin("POST", "/v1/rest/query", {"db": "default", "csl": "T | count"})
    assert answer.status == 400 and damaged.name in answer.text and "footer" in answer.text
    assert server.kusto("T | where TimeGenerated > datetime(2026-03-02) - 1s | project Number").values == [2]
    assert server.kusto("Other | project Number").values == [7]
    assert server.ingest("T", '{"TimeGenerated": "2026-03-02T01:00:00Z", "Number": 3}').status == 200
    assert server.kusto("T | where TimeGenerated > datetime(2026-03-01T12:00:00Z) | summarize sum(Number)").value == 5


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed; make installs it")
def test_a_clock_that_is_set_back_loses_and_doubles_nothing(new_server, tmp_path):
    clock = tmp_path / "clock"
    clock.write_text("+0h")
    server = new_server("--no-agent", "--raw-events", "--flush-seconds", "1", "--maintenance-seconds", "1")
    server.environment.update(
        LD_PRELOAD=str(FAKETIME), FAKETIME_TIMESTAMP_FILE=str(clock), FAKETIME_NO_CACHE="1", FAKETIME_DONT_FAKE_MONOTONIC="1"
    )
    server.start()
    server.manage(".create table T (TimeGenerated: datetime, Number: long)")
    device = server.create_device("pump-1")
    sent = [message(reverse_shell("first"))]
    server.accept(device, sent[0])
    assert server.ingest("T", '{"Number": 0}').status == 200
    before = server.kusto("print now()").value
    for hours in (30, 100):
        clock.write_text(f"-{hours}h")
        assert server.kusto("print now()").value < before
        sent.append(message(reverse_shell(f"{hours} hours back")))
        for one in sent:
            server.accept(device, one)
        assert server.ingest("T", json.dumps({"Number": hours})).status == 200
        server.kill()
        server.start()
        for one in sent:
            server.accept(device, one)
    events = server.kusto("SecurityIoTRawEvent | summarize count() by IoTRawEventId").rows
    assert sorted(events) == sorted([one["Events"][0]["Id"], 1] for one in sent)
    assert numbers(server) == [0, 30, 100]
    files = lambda: list((server.data / "workspace" / "tables" / "default").glob("T-*/_Day=*/*.parquet"))
    wait_until(files, 30, "rows go on to files")
    assert numbers(server) == [0, 30, 100]
    wait_until(lambda: server.kusto("SecurityAlert | count").value == 3, 30, "an alert for each")
