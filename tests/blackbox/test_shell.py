"""The shell of `turnstone query`, in a terminal of its own."""

import os
import pty
import re
import select
import signal
import stat
import subprocess
import time

import pytest
from turnstone_server import Server, environment, programs

ANSWER_SECONDS = 30
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")


@pytest.fixture(scope="module")
def server(servers) -> Server:
    server = servers("--no-agent")
    server.manage(".set Logins <| datatable(UserName: string, N: long) ['ada', 1, 'grace', 2]")
    server.manage(".create-or-alter function Busy(least: long) { Logins | where N >= least }")
    return server


class Shell:
    """A shell behind a terminal."""

    def __init__(self, *arguments: str, home):
        self.terminal, ours = pty.openpty()
        self.process = subprocess.Popen(
            [programs() / "turnstone", "query", *arguments],
            stdin=ours,
            stdout=ours,
            stderr=ours,
            env=environment(XDG_STATE_HOME=str(home), TERM="xterm"),
            start_new_session=True,
        )
        os.close(ours)
        self.shown = ""

    def wait_for(self, text: str) -> str:
        """What is shown, without colors, up to a text that comes."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while text not in ESCAPES.sub("", self.shown):
            assert time.monotonic() < deadline, f"no {text!r} in {self.shown!r}"
            if select.select([self.terminal], [], [], 0.2)[0]:
                try:
                    self.shown += os.read(self.terminal, 65536).decode(errors="replace")
                except OSError:
                    assert text in ESCAPES.sub("", self.shown), f"the shell ended: {self.shown!r}"
        before, _, self.shown = ESCAPES.sub("", self.shown).partition(text)
        return before + text

    def send(self, text: str):
        os.write(self.terminal, text.encode())

    def ask(self, line: str, text: str) -> str:
        """What is shown for a line, up to a text that comes; the shell waits for the next line then."""
        self.send(line)
        shown = self.wait_for(text)
        self.wait_for("kql> ")
        return shown

    def leave(self) -> int:
        self.send("\x04")
        return self.process.wait(ANSWER_SECONDS)

    def end(self):
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.terminal)


@pytest.fixture
def shell(server, tmp_path):
    made = []

    def make(*arguments: str) -> Shell:
        made.append(Shell(*(arguments or ("--data", str(server.data))), home=tmp_path))
        made[-1].wait_for("kql> ")
        return made[-1]

    yield make
    for one in made:
        one.end()


def test_queries_are_answered_one_after_the_other(shell):
    one = shell()
    assert "2" in one.ask("Logins | count\r", "1 row")
    assert "default" in one.ask(".show tables | where TableName == 'Logins' | project DatabaseName\r", "1 row")
    assert "grace" in one.ask("Busy(2)\r", "1 row")
    assert one.leave() == 0


def test_what_is_not_complete_goes_on_in_the_next_line(shell):
    one = shell()
    one.send("Logins |\r")
    assert "grace" in one.ask("where N == 2 | project UserName\r", "1 row")


def test_a_mistake_is_shown_where_it_is_and_ends_nothing(shell):
    one = shell()
    assert "Did you mean 'UserName'?" in one.ask("Logins | where UserNme == 'ada'\r", "^^^^^^^")
    one.ask("print after = 1\r", "1 row")


def test_names_are_completed_and_queries_remembered(shell, tmp_path):
    one = shell()
    assert "grace" in one.ask("Logins | project UserN\t\r", "2 rows")
    one.ask("Bus\t(1) | count\r", "1 row")
    assert one.leave() == 0
    history = tmp_path / "turnstone" / "query-history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    again = shell()
    again.send("\x1b[A\x1b[A\r")
    assert "grace" in again.wait_for("2 rows")


def test_files_have_a_shell_too(shell, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,x\n2,y\n")
    one = shell("--file", f"Rows={path}")
    assert "2" in one.ask("Rows | summarize max(a)\r", "1 row")


def test_without_a_terminal_the_query_is_read(server):
    ran = subprocess.run(
        [programs() / "turnstone", "query", "--data", server.data],
        input="print x = 41 + 1",
        capture_output=True,
        text=True,
        timeout=ANSWER_SECONDS,
        env=environment(),
    )
    assert (ran.returncode, ran.stdout) == (0, "x\n42\n")
