"""A Turnstone server as the tests see it: a process, its ready line, and the addresses named there.

The programs are found in the folder TURNSTONE_BIN, by default where cargo puts debug builds. A build that runs at the
same time takes a program away for a moment, so starting one is tried again for a while.
"""

import base64
import hashlib
import hmac
import http.client
import json
import os
import queue
import re
import signal
import ssl
import subprocess
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

READY_SECONDS = 60
# SIGTERM ends the program within ten seconds; a little more for a slow machine that is busy otherwise.
STOP_SECONDS = 12
REQUEST_SECONDS = 60
PROGRAM_SECONDS = 90
SECURITY_INTERFACE = "urn:azureiot:Security:SecurityAgent:1"
API_VERSION = "2020-03-13"


def programs() -> Path:
    """The folder of the built programs."""
    if folder := os.environ.get("TURNSTONE_BIN"):
        return Path(folder)
    target = os.environ.get("CARGO_TARGET_DIR") or Path.home() / ".cache/turnstone-target"
    return Path(target) / "debug"


def environment(**more: str) -> dict[str, str]:
    """The environment without anything that would change what the programs do."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TURNSTONE_")}
    return {**kept, **more}


def wait_until(condition, seconds: float, what: str, pause: float = 0.05):
    """The first true answer of `condition`; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}; last seen: {answer!r}")
        time.sleep(pause)


def launch(name: str, *arguments, **options) -> subprocess.Popen:
    """Starts a program, waiting for it when a build is just replacing it."""
    command = [str(programs() / name), *map(str, arguments)]
    deadline = time.monotonic() + PROGRAM_SECONDS
    while True:
        try:
            return subprocess.Popen(command, **options)
        except OSError as error:
            if time.monotonic() > deadline:
                raise AssertionError(f"cannot start {command[0]}: {error}; build it, or set TURNSTONE_BIN") from error
            time.sleep(0.2)


def run(name: str, *arguments, text_input: str | None = None, env: dict | None = None, seconds: float = 60):
    """Runs a program to its end; its exit code and what it printed."""
    process = launch(
        name,
        *arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env or environment(),
    )
    try:
        stdout, stderr = process.communicate(text_input or "", timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def turnstone(*arguments, **options):
    """Runs `turnstone` to its end."""
    return run("turnstone", *arguments, **options)


@dataclass(frozen=True)
class Device:
    """A device as its connection string describes it."""

    id: str
    key: str
    connection_string: str


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Result:
    """The first table of a query's answer."""

    columns: list[str]
    types: list[str]
    rows: list[list]
    tables: list[dict] = field(repr=False)

    @property
    def records(self) -> list[dict]:
        return [dict(zip(self.columns, row)) for row in self.rows]

    @property
    def value(self):
        """The one cell of a one-cell answer."""
        assert len(self.rows) == 1 and len(self.columns) == 1, self
        return self.rows[0][0]

    @property
    def values(self) -> list:
        """The first column."""
        return [row[0] for row in self.rows]


class Server:
    """`turnstone up` on a data folder. It may be started, stopped and started again."""

    def __init__(self, data: Path, *arguments: str, log_level: str | None = None):
        self.data = Path(data)
        self.arguments = arguments
        self.environment = environment(**({"TURNSTONE_LOG": log_level} if log_level else {}))
        # What the server writes to standard error, over all its starts.
        self.log = self.data.with_name(self.data.name + ".log")
        self.process: subprocess.Popen | None = None
        self.http = self.https = None
        self._tls: ssl.SSLContext | None = None

    # The process

    def _launch(self):
        assert self.process is None, "the server runs already"
        self.data.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = launch(
                "turnstone",
                *("up", "--data", self.data, "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", *self.arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self.environment,
            )

    def start(self) -> "Server":
        """Starts the program and reads its addresses from the ready line."""
        self._launch()
        # What the program writes to standard output, line by line, and None at its end.
        self.output = lines = queue.Queue()
        stdout = self.process.stdout

        def read():
            for line in stdout:
                lines.put(line.decode())
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        try:
            self.ready_line = lines.get(timeout=READY_SECONDS)
        except queue.Empty:
            self.kill()
            raise AssertionError(f"no ready line within {READY_SECONDS} s; {self.log_tail()}") from None
        if self.ready_line is None:
            code = self.process.wait(timeout=STOP_SECONDS)
            self.process = None
            raise AssertionError(f"the server ended with code {code} instead of being ready; {self.log_tail()}")
        assert self.ready_line.startswith("turnstone is ready"), self.ready_line
        self.http = re.search(r"http://\S+", self.ready_line).group().rstrip(".,;")
        self.https = re.search(r"https://\S+", self.ready_line).group().rstrip(".,;")
        return self

    def start_and_kill(self, after_seconds: float):
        """Starts the program and kills it, ready or not, after a moment."""
        self._launch()
        try:
            self.process.wait(timeout=after_seconds)
            raise AssertionError(f"the server ended by itself; {self.log_tail()}")
        except subprocess.TimeoutExpired:
            self.kill()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the server did not end within {STOP_SECONDS} s of SIGTERM; {self.log_tail()}") from None

    def kill(self):
        """SIGKILL."""
        process, self.process = self.process, None
        process.kill()
        process.wait()

    def agents(self) -> list[int]:
        """The processes of agents that keep their state in this data folder."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                except OSError:
                    continue
                if words[0].endswith("turnstone-agent") and str(self.data / "agent") in words:
                    found.append(int(entry.name))
        return found

    def end(self):
        """Stops the program if it runs, and agents that it has left behind."""
        try:
            if self.process is not None:
                self.stop()
        finally:
            for pid in self.agents():
                try:
                    os.kill(pid, signal.SIGTERM)
                except ProcessLookupError:
                    pass

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *_):
        self.end()

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def log_tail(self) -> str:
        return f"the end of its log:\n{self.log_text()[-2000:]}"

    # Its web addresses

    @property
    def token(self) -> str:
        return (self.data / "admin-token").read_text().strip()

    @property
    def ca(self) -> Path:
        return self.data / "ca.pem"

    def _connection(self, secure: bool) -> http.client.HTTPConnection:
        if not secure:
            return http.client.HTTPConnection(self.http.removeprefix("http://"), timeout=REQUEST_SECONDS)
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=str(self.ca))
        host = self.https.removeprefix("https://")
        return http.client.HTTPSConnection(host, timeout=REQUEST_SECONDS, context=self._tls)

    def request(self, method: str, path: str, body=None, headers: dict | None = None, secure: bool = False) -> Answer:
        """One request as it is given; nothing is added."""
        connection = self._connection(secure)
        try:
            try:
                connection.request(method, path, body=body, headers=headers or {})
            except (BrokenPipeError, ConnectionResetError):
                # The server may answer, and close, before it has read all of a body; but not before there is a connection.
                if connection.sock is None:
                    raise
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def admin(self, method: str, path: str, body=None, headers: dict | None = None) -> Answer:
        """A request with the admin token; a body that is no text or bytes is sent as JSON."""
        headers = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        return self.request(method, path, body, headers)

    # Kusto

    def kusto(self, query: str, database: str = "default", path: str = "/v1/rest/query") -> Result:
        answer = self.admin("POST", path, {"db": database, "csl": query})
        assert answer.status == 200, f"{answer.status} {answer.text}"
        tables = answer.json["Tables"]
        columns = tables[0]["Columns"]
        names, types = [c["ColumnName"] for c in columns], [c["ColumnType"] for c in columns]
        return Result(names, types, tables[0]["Rows"], tables)

    def manage(self, command: str, database: str = "default") -> Result:
        return self.kusto(command, database, "/v1/rest/mgmt")

    def ingest(self, table: str, body, form: str = "json", database: str = "default", **headers: str) -> Answer:
        """Streaming ingestion."""
        body = body.encode() if isinstance(body, str) else body
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.admin("POST", f"/v1/rest/ingest/{database}/{table}?streamFormat={form}", body, headers)

    # The hub

    def create_device(self, device_id: str) -> Device:
        made = turnstone("device", "create", device_id, "--data", self.data)
        assert made.returncode == 0, made.stderr
        text = made.stdout.strip()
        parts = dict(part.split("=", 1) for part in text.split(";"))
        assert parts["DeviceId"] == device_id, text
        return Device(device_id, parts["SharedAccessKey"], text)

    def sas(self, device: str, key: str, seconds: int = 3600, resource: str | None = None) -> str:
        """A shared access signature, as the device SDKs make it."""
        resource = urllib.parse.quote(resource or f"localhost/devices/{device}", safe="")
        expiry = int(time.time()) + seconds
        signed = hmac.digest(base64.b64decode(key), f"{resource}\n{expiry}".encode(), hashlib.sha256)
        signature = urllib.parse.quote(base64.b64encode(signed), safe="")
        return f"SharedAccessSignature sr={resource}&sig={signature}&se={expiry}"

    def send(self, device: Device, message, *, token: str | None = "", module: str | None = None, secure: bool = True,
             path_id: str | None = None, **headers: str | None) -> Answer:
        """Posts a message, a bag or bytes. `token` None sends no Authorization; a header that is None is left out."""
        token = self.sas(device.id, device.key) if token == "" else token
        all_headers = {
            "Authorization": token,
            "iothub-interface-id": SECURITY_INTERFACE,
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        path = f"/devices/{path_id or device.id}" + (f"/modules/{module}" if module else "")
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        kept = {name: value for name, value in all_headers.items() if value is not None}
        return self.request("POST", f"{path}/messages/events?api-version={API_VERSION}", body, kept, secure)

    def accept(self, device: Device, message, **options):
        """Posts a message that must be taken."""
        answer = self.send(device, message, **options)
        assert answer.status == 204, f"{answer.status} {answer.text}"
