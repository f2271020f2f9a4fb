"""Clients of the Azure ecosystem, unmodified, against the real program over HTTPS."""

import sys
import time
from pathlib import Path

import pytest
from azure.core.credentials import AccessToken

sys.path.insert(0, str(Path(__file__).parent.parent / "blackbox"))

from turnstone_server import Server  # noqa: E402


class Credential:
    """Gives a token, as a library for signing in would."""

    def __init__(self, token: str):
        self.token = token

    def get_token(self, *scopes, **options) -> AccessToken:
        return AccessToken(self.token, int(time.time()) + 3600)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server with a table of three rows."""
    with Server(tmp_path_factory.mktemp("turnstone") / "data", "--no-agent") as server:
        server.manage(
            ".create table Sample (TimeGenerated: datetime, L: long, S: string, D: dynamic, T: timespan, G: guid,"
            " R: real, M: decimal, B: bool, I: int)"
        )
        server.ingest(
            "Sample",
            '{"TimeGenerated":"2026-03-02T10:00:00.1234567Z","L":9007199254740993,"S":"it\'s","D":{"k":[1,null]},'
            '"T":"1.02:03:04","G":"6f9619ff-8b86-d011-b42d-00c04fc964ff","R":0.5,"M":"0.1","B":true,"I":7}\n'
            '{"TimeGenerated":"2026-03-03T10:00:00Z","L":2,"S":"","D":"text","R":"NaN","B":false}\n'
            '{"TimeGenerated":"2026-03-04T10:00:00Z","L":3}',
        )
        yield server


@pytest.fixture(autouse=True)
def trust(server, monkeypatch):
    """The program's own certificate authority, as its users make their clients trust it."""
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(server.ca))


@pytest.fixture
def credential(server) -> Credential:
    return Credential(server.token)


@pytest.fixture
def stranger() -> Credential:
    return Credential("tst_wrong")
