"""What the tests of signing in and of management share: ids of resources, principals with roles, and devices that have
been attacked.
"""

import functools
import time
import uuid
from dataclasses import dataclass

import pytest
from azure.core.credentials import AccessToken
from azure.identity import ClientSecretCredential
from security_messages import failed_check, failed_logins, listening_ports, message, process_start, reverse_shell
from turnstone_server import Answer, Server, wait_until

# What the first start makes.
GROUP = "default"
HUB = "hub"
WORKSPACE = "default"
SOLUTION = "default"

# The tenant that makes libraries for signing in ask the server itself, and nobody else.
TENANT = "adfs"
NOWHERE = "00000000-0000-4000-8000-000000000000"
DETECTION_SECONDS = 30


def unique(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}{uuid.uuid4().hex[:10]}"


@functools.cache
def subscription_of(server: Server) -> str:
    answer = server.admin("GET", "/subscriptions?api-version=2022-12-01")
    assert answer.status == 200, f"{answer.status} {answer.text}"
    return answer.json["value"][0]["subscriptionId"]


@dataclass(frozen=True)
class Ids:
    """Resource ids, which are the scopes of roles too."""

    subscription: str

    @property
    def root(self) -> str:
        return f"/subscriptions/{self.subscription}"

    @property
    def group(self) -> str:
        return f"{self.root}/resourceGroups/{GROUP}"

    @property
    def hub(self) -> str:
        return f"{self.group}/providers/Microsoft.Devices/IotHubs/{HUB}"

    @property
    def solution(self) -> str:
        return f"{self.group}/providers/Microsoft.Security/iotSecuritySolutions/{SOLUTION}"

    def workspace(self, name: str = WORKSPACE) -> str:
        return f"{self.group}/providers/Microsoft.OperationalInsights/workspaces/{name}"

    def rule(self, name: str) -> str:
        return f"{self.group}/providers/Microsoft.Insights/dataCollectionRules/{name}"


@pytest.fixture
def ids(server) -> Ids:
    return Ids(subscription_of(server))


def accepted(answer: Answer, *statuses: int):
    """The body of an answer that must have one of these statuses."""
    assert answer.status in statuses, f"{answer.status} {answer.text}"
    return answer.json if answer.body else None


# Who may do what


class Bearer:
    """Gives one token, as a library for signing in would."""

    def __init__(self, token: str):
        self.token = token

    def get_token(self, *scopes, **options) -> AccessToken:
        return AccessToken(self.token, int(time.time()) + 3600)


@dataclass
class Principal:
    """An application that is registered at the server, with a secret to sign in with."""

    server: Server
    id: str
    app_id: str
    secret_id: str
    secret: str

    @property
    def path(self) -> str:
        return f"/api/v1/servicePrincipals/{self.id}"

    def credential(self, secret: str | None = None) -> ClientSecretCredential:
        return ClientSecretCredential(TENANT, self.app_id, secret or self.secret, authority=self.server.https)

    def grant(self, role: str, scope: str) -> str:
        """Gives a role; the id of the assignment."""
        body = {"principalId": self.id, "role": role, "scope": scope}
        return accepted(self.server.admin("POST", "/api/v1/roleAssignments", body), 201)["id"]

    def revoke(self, assignment: str):
        accepted(self.server.admin("DELETE", f"/api/v1/roleAssignments/{assignment}"), 200, 204)

    def add_secret(self, days: int = 90) -> dict:
        return accepted(self.server.admin("POST", f"{self.path}/secrets", {"days": days}), 201)

    def delete_secret(self, secret_id: str):
        accepted(self.server.admin("DELETE", f"{self.path}/secrets/{secret_id}"), 200, 204)

    def delete(self):
        accepted(self.server.admin("DELETE", self.path), 200, 204)


def register(server: Server, *grants: tuple[str, str]) -> Principal:
    """Registers an application and gives it roles, each with its scope."""
    made = accepted(server.admin("POST", "/api/v1/servicePrincipals", {"displayName": unique("app-")}), 201)
    secret = made["secret"]
    principal = Principal(server, made["id"], made["appId"], secret["keyId"], secret["secretText"])
    for role, scope in grants:
        principal.grant(role, scope)
    return principal


@pytest.fixture
def nobody(server) -> Principal:
    """Who can sign in, and has no role."""
    return register(server)


# Resources


def make_workspace(server: Server, ids: Ids, name: str) -> str:
    """Makes a workspace; the GUID that queries name it by."""
    path = f"{ids.workspace(name)}?api-version=2023-09-01"
    return accepted(server.admin("PUT", path, {"location": "local"}), 200, 201)["properties"]["customerId"]


def make_hub(server: Server, ids: Ids, name: str) -> str:
    """Makes a hub; its id."""
    path = f"{ids.group}/providers/Microsoft.Devices/IotHubs/{name}"
    return accepted(server.admin("PUT", f"{path}?api-version=2023-06-30", {"location": "local"}), 200, 201)["id"]


def make_rule(server: Server, ids: Ids, name: str, table: str, workspace: str = WORKSPACE) -> str:
    """Makes a rule by which records of the stream `Custom-Raw` become rows of a table; what senders name it by."""
    columns = [{"name": "Number", "type": "long"}]
    properties = {
        "streamDeclarations": {"Custom-Raw": {"columns": columns}},
        "destinations": {"logAnalytics": [{"name": "here", "workspaceResourceId": ids.workspace(workspace)}]},
        "dataFlows": [{"streams": ["Custom-Raw"], "destinations": ["here"], "outputStream": f"Custom-{table}"}],
    }
    path = f"{ids.rule(name)}?api-version=2023-03-11"
    made = accepted(server.admin("PUT", path, {"location": "local", "properties": properties}), 200, 201)
    return made["properties"]["immutableId"]


# Devices that tell of attacks


@functools.cache
def attack(server: Server) -> Server:
    """Raises alerts and recommendations on the server, once, by what three devices tell:

    fleet-01: two reverse shells, twelve failed logins; port 22 open and a failed check of the baseline.
    fleet-02: one reverse shell; port 23 open.
    fleet-03: two miners, which only the test of dismissing asks for.
    """
    one, two, three = (server.create_device(f"fleet-0{number}") for number in (1, 2, 3))
    server.accept(one, message(reverse_shell("first")))
    server.accept(one, message(reverse_shell("second")))
    server.accept(one, message(*failed_logins("198.51.100.23")))
    server.accept(one, message(listening_ports("0.0.0.0:22"), failed_check()))
    server.accept(two, message(reverse_shell("third")))
    server.accept(two, message(listening_ports("0.0.0.0:23")))
    for pool in ("first", "second"):
        server.accept(three, message(process_start(f"xmrig --donate-level 1 # {pool}")))

    def count(query: str) -> int:
        return server.kusto(f"{query} | count").value

    alerts = "SecurityAlert | where ExtendedProperties contains 'fleet-0'"
    wait_until(lambda: count(alerts) >= 6, DETECTION_SECONDS, "six alerts")
    recommendations = "SecurityRecommendation | where RecommendationState == 'Active' and DeviceId startswith 'fleet-0'"
    wait_until(lambda: count(recommendations) >= 3, DETECTION_SECONDS, "three recommendations")
    return server


@pytest.fixture
def attacked(server) -> Server:
    """The server, with the alerts and recommendations of the fleet."""
    return attack(server)
