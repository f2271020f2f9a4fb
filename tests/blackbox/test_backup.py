"""Back-ups: made while rows come, restored to what was acknowledged, also by folders of older versions."""

import json
import shutil
import threading
from pathlib import Path

import pytest
from security_messages import message, process_start
from turnstone_server import Server, turnstone, wait_until

OLD_FOLDERS = Path(__file__).parent / "folders"


def backup(server, folder, *arguments):
    outcome = turnstone("backup", folder, *arguments, "--data", server.data)
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


def restored(new_server, folder, *arguments) -> Server:
    server = new_server("--no-agent", "--raw-events")
    outcome = turnstone("restore", folder, "--data", server.data, *arguments)
    assert outcome.returncode == 0, outcome.stderr
    return server.start()


def test_a_backup_under_load_holds_what_was_acknowledged_before_it(new_server, tmp_path):
    server = new_server("--no-agent", "--raw-events", "--flush-seconds", "1", "--maintenance-seconds", "1").start()
    server.manage(".create table T (Number: long)")
    server.manage(".create function Twice(x: long) { x * 2 }")
    device = server.create_device("pump-1")
    stopping, acknowledged = threading.Event(), []

    def load():
        while not stopping.is_set():
            number = len(acknowledged)
            assert server.ingest("T", json.dumps({"Number": number})).status == 200
            acknowledged.append(number)

    sender = threading.Thread(target=load)
    sender.start()
    try:
        sent = message(process_start("true"))
        server.accept(device, sent)
        folder, before = tmp_path / "backups", []
        for _ in range(3):
            wait_until(lambda: len(acknowledged) > (before[-1] if before else 0) + 20, 30, "more rows")
            before.append(len(acknowledged))
            said = backup(server, folder)
            assert "are new" in said
    finally:
        stopping.set()
        sender.join()
    listed = turnstone("backup", folder, "--list").stdout.splitlines()
    assert len(listed) == 3
    for line, count in zip(listed, before):
        again = restored(new_server, folder, "--generation", line.split()[0])
        numbers = again.kusto("T | sort by Number asc | project Number").values
        assert len(numbers) >= count and numbers == list(range(len(numbers))), "all that was acknowledged, each once"
        assert again.kusto("print Twice(21)").value == 42
        # Who may send, and what was sent, are as they were.
        again.accept(device, sent)
        assert again.kusto("SecurityIoTRawEvent | count").value == 1
        assert again.token == server.token
        again.stop()
    # Only what is new takes room, and what nobody needs any more goes.
    size = lambda: sum(path.stat().st_size for path in (folder / "objects").rglob("*") if path.is_file())
    whole = size()
    backup(server, folder)
    assert size() - whole < whole
    backup(server, folder, "--keep", "1")
    assert len(turnstone("backup", folder, "--list").stdout.splitlines()) == 1
    restored(new_server, folder)


def test_what_is_wrong_with_a_backup_is_said(new_server, tmp_path):
    server = new_server("--no-agent").start()
    folder = tmp_path / "backups"
    backup(server, folder)
    inside = turnstone("backup", server.data / "backups", "--data", server.data)
    assert inside.returncode == 2 and "within the data folder" in inside.stderr
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("of somebody else")
    other = turnstone("backup", tmp_path / "other", "--data", server.data)
    assert other.returncode == 2 and "no back-up" in other.stderr
    full = turnstone("restore", folder, "--data", server.data)
    assert full.returncode == 2 and "is not empty" in full.stderr
    missing = turnstone("restore", folder, "--data", tmp_path / "new", "--generation", "yesterday")
    assert missing.returncode == 2 and "'yesterday'" in missing.stderr
    damaged = max((folder / "objects").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    broken = turnstone("restore", folder, "--data", tmp_path / "broken")
    assert broken.returncode == 2 and "is damaged" in broken.stderr


@pytest.mark.parametrize("version", sorted(path.name for path in OLD_FOLDERS.iterdir()))
def test_a_folder_of_an_older_version_opens_with_all_its_rows(new_server, version):
    """Kept as that version left it, killed: rows in files, rows in the log alone, a mapping, a function, a device."""
    server = new_server("--no-agent", "--raw-events")
    shutil.copytree(OLD_FOLDERS / version, server.data)
    server.start()
    wanted = json.loads((OLD_FOLDERS / version / "expected.json").read_text())
    for query, rows in wanted.items():
        assert server.kusto(query).rows == rows, query
    assert server.ingest("T", '{"Number": 100}').status == 200
    server.kill()
    server.start()
    assert server.kusto("T | where Number == 100 | count").value == 1
