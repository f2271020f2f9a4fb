"""The description of all interfaces is what the server does: requests made from it by schemathesis are answered as it
says, and everything in it asks who is there, but for what it calls open."""

import json
import re
import subprocess
import urllib.parse
from pathlib import Path

import pytest
import venvs
from turnstone_server import Answer, Server

EXAMPLES = 10
RUN_SECONDS = 1800
REQUEST_SECONDS = 60
METHODS = ("get", "put", "post", "delete", "patch", "head", "options")
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
#: Not to be called with made-up data: these end the server, write files where the caller says, or answer without end.
LEFT_OUT = r"(?i)/(backups?|restore|export|stop|shutdown|restart|live)(/|$)"
#: What may be open: how to sign in, signing in itself, and that the server is up.
MAY_BE_OPEN = re.compile(
    r"/(healthz|readyz|livez|adfs/.*|common/.*|organizations/.*|metadata/endpoints|v1/rest/auth/metadata|ui(/.*)?)?"
    r"|/api/v1/(openapi\.json|session|session/ways|session/link|session/oidc|session/oidc/callback)"
    r"|/(.*/)?(\.well-known/.*|oauth2/.*)"
)
#: Everybody who is signed in may ask who they are, end that, see to their own tokens, know what roles there are, how the
#: instance is set up, and whom to trust for it.
OWN_AFFAIRS = re.compile(r"/api/v1/(session|tokens(/\{\w+\})?|roles|settings|ca\.pem)")
NOTHING = "nothing-of-this-name"
NO_SUCH_ID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"


class Operation:
    """A method of a path, as it is described."""

    def __init__(self, description: dict, path: str, method: str):
        self.root = description
        self.path, self.method = path, method.upper()
        item = self.resolved(description["paths"][path])
        self.described = item[method]
        own = [self.resolved(parameter) for parameter in self.described.get("parameters", [])]
        named = {(parameter["name"], parameter["in"]) for parameter in own}
        shared = [self.resolved(parameter) for parameter in item.get("parameters", [])]
        self.parameters = own + [p for p in shared if (p["name"], p["in"]) not in named]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def resolved(self, node: dict) -> dict:
        while "$ref" in node:
            target = self.root
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[urllib.parse.unquote(part).replace("~1", "/").replace("~0", "~")]
            node = target
        return node

    @property
    def is_open(self) -> bool:
        return self.described.get("security", self.root.get("security")) == []

    @property
    def statuses(self) -> set[str]:
        return set(self.described["responses"])

    def value(self, parameter: dict, known: dict[str, str]) -> str:
        """Something that fits a parameter, and is there where that can be."""
        for part, value in known.items():
            if parameter["in"] == "path" and part in parameter["name"].lower():
                return value
        schema = self.resolved(parameter.get("schema", {}))
        examples = [parameter.get("example"), schema.get("example"), schema.get("default"), *schema.get("enum", [])]
        examples += schema.get("examples", [])
        for example in examples:
            if example is not None:
                return str(example)
        if schema.get("format") == "uuid":
            return NO_SUCH_ID
        return "1" if schema.get("type") in ("integer", "number") else NOTHING

    def call(self, server: Server, known: dict[str, str], token: str | None) -> Answer:
        """A request of the right form, as far as its address goes."""
        path, query = self.path, {}
        for parameter in self.parameters:
            if parameter["in"] == "path":
                value = urllib.parse.quote(self.value(parameter, known), safe="")
                path = path.replace("{" + parameter["name"] + "}", value)
            if parameter["in"] == "query" and parameter.get("required"):
                query[parameter["name"]] = self.value(parameter, known)
        assert "{" not in path, f"{self} has parameters in its path that are not described"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        body = None
        if "requestBody" in self.described:
            headers["Content-Type"] = next(iter(self.resolved(self.described["requestBody"])["content"]))
            body = "{}"
        if query:
            path += "?" + urllib.parse.urlencode(query)
        return server.request(self.method, path, body, headers)


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> Path:
    return venvs.environment(tmp_path_factory, "schemathesis")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server that made-up requests may change."""
    with Server(tmp_path_factory.mktemp("turnstone-openapi") / "data", "--no-agent") as server:
        yield server


@pytest.fixture(scope="module")
def description(server) -> dict:
    answer = server.admin("GET", "/api/v1/openapi.json")
    assert answer.status == 200, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    return answer.json


@pytest.fixture(scope="module")
def operations(description) -> list[Operation]:
    made = [
        Operation(description, path, method)
        for path, item in description["paths"].items()
        for method in METHODS
        if method in item
    ]
    assert made
    return made


@pytest.fixture(scope="module")
def known(server) -> dict[str, str]:
    """Names that are there from the first start, by a part of the parameter's name."""
    subscription = server.admin("GET", "/subscriptions?api-version=2022-12-01").json["value"][0]["subscriptionId"]
    given = {"group": "default", "database": "default", "hub": "hub", "solution": "default"}
    return {"subscription": subscription, **given}


def named(operation: Operation, known: dict[str, str], server: Server) -> dict[str, str]:
    """A workspace has its id for a name in one interface, and its name in the other."""
    instance = json.loads((server.data / "instance.json").read_text())
    workspace = instance["workspace_id"] if operation.path.startswith("/v1/") else "default"
    return {**known, "workspace": workspace}


@pytest.fixture(scope="module")
def roleless(server) -> str:
    """The token of a service principal that may sign in and nothing else."""
    made = server.admin("POST", "/api/v1/servicePrincipals", {"displayName": "nobody"})
    assert made.status == 201, made.text
    form = {
        "grant_type": "client_credentials",
        "client_id": made.json["appId"],
        "client_secret": made.json["secret"]["secretText"],
        "scope": f"{server.https}/.default",
    }
    metadata = server.request("GET", "/adfs/.well-known/openid-configuration", secure=True).json
    path = metadata["token_endpoint"].removeprefix(server.https)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = server.request("POST", path, urllib.parse.urlencode(form), headers, secure=True)
    assert answer.status == 200, answer.text
    return answer.json["access_token"]


def test_the_description_has_its_form(description, operations):
    assert description["openapi"].startswith("3.1.")
    ids = [operation.described.get("operationId") for operation in operations]
    assert None not in ids and len(set(ids)) == len(ids), "every operation has a name of its own"
    for operation in operations:
        assert operation.described["responses"], operation
        described = {parameter["name"] for parameter in operation.parameters if parameter["in"] == "path"}
        assert described == set(re.findall(r"\{(.+?)\}", operation.path)), operation


def test_only_signing_in_is_open(operations):
    opened = [operation for operation in operations if operation.is_open]
    assert not [str(operation) for operation in opened if not MAY_BE_OPEN.fullmatch(operation.path)]
    assert len(opened) < len(operations)


@pytest.mark.parametrize("token", [None, "tst_wrong"])
def test_everything_else_asks_who_is_there(server, operations, known, token):
    problems = []
    for operation in operations:
        if operation.is_open:
            continue
        answer = operation.call(server, named(operation, known, server), token)
        if answer.status != 401:
            problems.append(f"{operation}: {answer.status} {answer.text[:200]}")
    assert not problems, "\n".join(problems)


def test_nothing_is_allowed_without_a_role(server, operations, known, roleless):
    problems = []
    for operation in operations:
        if operation.is_open or OWN_AFFAIRS.fullmatch(operation.path):
            continue
        allowed = {"403"} | ({"400", "404"} & operation.statuses)
        answer = operation.call(server, named(operation, known, server), roleless)
        if str(answer.status) not in allowed:
            problems.append(f"{operation}: {answer.status} {answer.text[:200]}")
    assert not problems, "\n".join(problems)


def test_the_server_does_what_the_description_says(server, description, operations, programs, tmp_path):
    location, report = tmp_path / "openapi.json", tmp_path / "report.json"
    location.write_text(json.dumps(description))
    command = [
        programs / "schemathesis", "run", location, "--url", server.http,
        "--header", f"Authorization: Bearer {server.token}",
        "--checks", CHECKS, "--exclude-path-regex", LEFT_OUT,
        # The same few requests in every run; nothing is kept from one run to the next.
        "--phases", "examples,fuzzing", "--max-examples", EXAMPLES, "--generation-deterministic",
        "--generation-with-security-parameters", "false", "--continue-on-failure", "--max-redirects", 0,
        "--request-timeout", REQUEST_SECONDS, "--warnings", "off", "--no-color",
        "--report", "json", "--report-json-path", report,
    ]
    ran = subprocess.run(
        list(map(str, command)),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )
    assert ran.returncode == 0, f"{ran.stdout[-20_000:]}\n{ran.stderr[-2000:]}"
    wanted = [operation for operation in operations if not re.search(LEFT_OUT, operation.path)]
    assert json.loads(report.read_text())["operations"]["tested"] == len(wanted)
