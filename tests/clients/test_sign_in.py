"""azure-identity: applications sign in at the server itself, and each client has its own error when they may not."""

import datetime
import io
import json
from pathlib import Path

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import ClientSecretCredential, DefaultAzureCredential, EnvironmentCredential
from azure.kusto.data import DataFormat, KustoClient, KustoConnectionStringBuilder
from azure.kusto.data.exceptions import KustoApiError, KustoAuthenticationError
from azure.kusto.ingest import IngestionProperties, KustoStreamingIngestClient
from azure.mgmt.loganalytics import LogAnalyticsManagementClient
from azure.mgmt.security import SecurityCenter
from azure.monitor.ingestion import LogsIngestionClient
from azure.monitor.query import LogsBatchQuery, LogsQueryClient, LogsQueryError, LogsQueryStatus
from fleet import (  # noqa: F401
    GROUP,
    NOWHERE,
    SOLUTION,
    TENANT,
    WORKSPACE,
    Bearer,
    accepted,
    ids,
    make_rule,
    make_workspace,
    nobody,
    register,
    subscription_of,
    unique,
)
from turnstone_server import Server

READER = "Log Analytics Reader"
CONTRIBUTOR = "Log Analytics Contributor"
SENDER = "Monitoring Metrics Publisher"
FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


class Place:
    """A workspace with a table T of one row, and a rule by which records come into it."""

    def __init__(self, server, ids, name: str, number: int):
        self.name, self.id, self.number = name, ids.workspace(name), number
        self.customer_id = make_workspace(server, ids, name)
        server.manage(".create table T_CL (TimeGenerated: datetime, Number: long)", name)
        assert server.ingest("T_CL", json.dumps({"Number": number}), database=name).status == 200
        self.rule_id = ids.rule(f"{name}-rule")
        self.rule = make_rule(server, ids, f"{name}-rule", "T_CL", name)


@pytest.fixture
def place(server, ids) -> Place:
    return Place(server, ids, unique("team-"), 7)


@pytest.fixture
def reader(server, place):
    """Who may read one workspace."""
    return register(server, (READER, place.id))


def logs(server, credential) -> LogsQueryClient:
    return LogsQueryClient(credential, endpoint=server.https)


def by_key(principal, url: str | None = None) -> KustoConnectionStringBuilder:
    build = KustoConnectionStringBuilder.with_aad_application_key_authentication
    return build(url or principal.server.https, principal.app_id, principal.secret, TENANT)


def by_credential(principal) -> KustoConnectionStringBuilder:
    return KustoConnectionStringBuilder.with_azure_token_credential(
        principal.server.https, credential=principal.credential()
    )


def token_of(principal) -> str:
    return principal.credential().get_token(f"{principal.server.https}/.default").token


def found(answer) -> list[list]:
    """The rows of a query of Log Analytics."""
    assert answer.status == LogsQueryStatus.SUCCESS
    return [list(row) for row in answer.tables[0].rows]


def rows(answer) -> list[list]:
    """The rows of a query of Kusto."""
    return [list(row) for row in answer.primary_results[0]]


NUMBERS = "T_CL | project Number"


# Signing in


def test_an_application_signs_in_with_its_secret(server, place, reader):
    with logs(server, reader.credential()) as client:
        assert found(client.query_workspace(place.customer_id, NUMBERS, timespan=None)) == [[7]]
        assert found(client.query_resource(place.id, NUMBERS, timespan=None)) == [[7]]


@pytest.mark.parametrize("connect", [by_key, by_credential])
def test_an_application_signs_in_to_kusto(place, reader, connect):
    with KustoClient(connect(reader)) as client:
        assert rows(client.execute(place.name, NUMBERS)) == [[7]]
        assert [place.name] in rows(client.execute_mgmt(place.name, ".show databases | project DatabaseName"))
        streamed = client.execute_streaming_query(place.name, NUMBERS)
        assert [row[0] for row in next(streamed.iter_primary_results())] == [7]


def test_over_plain_http_a_client_is_sent_to_https_to_sign_in(server, place, reader):
    with KustoClient(by_key(reader, server.http)) as client:
        assert rows(client.execute(place.name, NUMBERS)) == [[7]]


@pytest.mark.parametrize("sign_in", [DefaultAzureCredential, EnvironmentCredential])
def test_an_application_signs_in_by_its_environment(server, place, reader, monkeypatch, sign_in):
    for name, value in {
        "AZURE_AUTHORITY_HOST": server.https,
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": reader.app_id,
        "AZURE_CLIENT_SECRET": reader.secret,
        # Nothing beyond this machine is asked when the server refuses.
        "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
    }.items():
        monkeypatch.setenv(name, value)
    with sign_in() as credential, logs(server, credential) as client:
        assert found(client.query_workspace(place.customer_id, NUMBERS, timespan=None)) == [[7]]


@pytest.mark.parametrize("slashes", ["/", "//"])
@pytest.mark.parametrize("resource", ["{url}", "https://api.loganalytics.io", "https://kusto.kusto.windows.net"])
def test_a_token_is_given_for_every_resource_that_clients_name(server, reader, place, resource, slashes):
    token = reader.credential().get_token(f"{resource.format(url=server.https)}{slashes}.default")
    with logs(server, Bearer(token.token)) as client:
        assert found(client.query_workspace(place.customer_id, NUMBERS, timespan=None)) == [[7]]
    left = token.expires_on - datetime.datetime.now().timestamp()
    assert 60 < left <= 24 * 3600, "a token ends within a day"


def test_a_token_is_given_to_clients_that_ask_for_continuous_evaluation(server, reader, place):
    """They send claims beside what everybody sends."""
    token = reader.credential().get_token(f"{server.https}/.default", enable_cae=True)
    with logs(server, Bearer(token.token)) as client:
        assert found(client.query_workspace(place.customer_id, NUMBERS, timespan=None)) == [[7]]


def test_the_server_says_where_to_sign_in(server):
    said = accepted(server.request("GET", f"/{TENANT}/.well-known/openid-configuration", secure=True), 200)
    for name in ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"):
        assert said[name].startswith(f"{server.https}/"), name
    cloud = accepted(server.request("GET", "/metadata/endpoints?api-version=latest", secure=True), 200)
    assert cloud["resourceManager"].rstrip("/") == server.https
    assert cloud["authentication"]["loginEndpoint"].rstrip("/") == server.https
    assert cloud["authentication"]["tenant"] == TENANT and cloud["authentication"]["identityProvider"] == "ADFS"


def test_a_secret_is_not_taken_over_plain_http(server, reader):
    form = f"client_id={reader.app_id}&client_secret={reader.secret}&grant_type=client_credentials&scope=x%2F.default"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    said = accepted(server.request("GET", f"/{TENANT}/.well-known/openid-configuration", secure=True), 200)
    path = said["token_endpoint"].removeprefix(server.https)
    assert server.request("POST", path, form, headers, secure=True).json["access_token"]
    refused = server.request("POST", path, form, headers)
    assert refused.status in (400, 401, 403, 404, 426) and "access_token" not in refused.text


# Secrets that are good no more


def refused(principal, secret: str | None = None):
    """No client gets in with the secret, and each says so in its own way.

    An application may be held off after many attempts, so this makes few.
    """
    server, secret = principal.server, secret or principal.secret
    with pytest.raises(ClientAuthenticationError) as raised:
        principal.credential(secret).get_token(f"{server.https}/.default")
    assert "Authentication failed" in raised.value.message and secret not in raised.value.message
    with SecurityCenter(
        principal.credential(secret),
        subscription_of(server),
        base_url=server.https,
        credential_scopes=[f"{server.https}/.default"],
    ) as client:
        with pytest.raises(ClientAuthenticationError):
            client.iot_security_solution.get(GROUP, SOLUTION)
    with logs(server, principal.credential(secret)) as client:
        with pytest.raises(ClientAuthenticationError):
            client.query_batch([LogsBatchQuery(WORKSPACE, "print 1", timespan=None)])
        # For a single query the client makes a general error of every error.
        with pytest.raises(HttpResponseError, match="Authentication failed"):
            client.query_workspace(WORKSPACE, "print 1", timespan=None)
    build = KustoConnectionStringBuilder.with_aad_application_key_authentication
    with KustoClient(build(server.https, principal.app_id, secret, TENANT)) as client:
        with pytest.raises(KustoAuthenticationError) as raised:
            client.execute("default", "print 1")
        assert "invalid_client" in str(raised.value) and secret not in str(raised.value)


@pytest.mark.parametrize("change", [lambda secret: secret + "x", lambda secret: secret[:-1]], ids=["longer", "shorter"])
def test_a_wrong_secret_is_refused(reader, change):
    refused(reader, change(reader.secret))


def test_an_unknown_application_is_refused(server):
    with ClientSecretCredential(TENANT, NOWHERE, "nothing", authority=server.https) as credential:
        with pytest.raises(ClientAuthenticationError):
            credential.get_token(f"{server.https}/.default")


def test_the_secret_of_another_application_is_refused(reader, nobody):
    refused(nobody, reader.secret)


def test_a_deleted_secret_is_refused_and_another_is_not(server, place, reader):
    second = reader.add_secret()
    assert second["keyId"] != reader.secret_id and second["secretText"] != reader.secret
    for secret in (reader.secret, second["secretText"]):
        with logs(server, reader.credential(secret)) as client:
            assert found(client.query_workspace(place.customer_id, NUMBERS, timespan=None)) == [[7]]
    reader.delete_secret(reader.secret_id)
    refused(reader)
    with logs(server, reader.credential(second["secretText"])) as client:
        assert found(client.query_workspace(place.customer_id, NUMBERS, timespan=None)) == [[7]]


def test_a_deleted_application_is_refused(reader):
    reader.delete()
    refused(reader)


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed; make installs it")
def test_an_expired_secret_is_refused_and_another_is_not(tmp_path, monkeypatch):
    clock = tmp_path / "clock"
    clock.write_text("+0d")
    own = Server(tmp_path / "data", "--no-agent")
    own.environment.update(
        LD_PRELOAD=str(FAKETIME),
        FAKETIME_TIMESTAMP_FILE=str(clock),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )
    with own:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(own.ca))
        principal = register(own)
        short = principal.add_secret(days=1)["secretText"]
        for secret in (short, principal.secret):
            assert principal.credential(secret).get_token(f"{own.https}/.default").token
        clock.write_text("+2d")
        refused(principal, short)
        assert principal.credential().get_token(f"{own.https}/.default").token


def test_secrets_are_shown_once(server, reader):
    for path in ("/api/v1/servicePrincipals", reader.path):
        answer = server.admin("GET", path)
        assert answer.status == 200 and reader.app_id in answer.text and reader.secret not in answer.text


# What a role is good for


#: Azure's management and Log Analytics say it in words of their own.
DENIED = ("AuthorizationFailed", "InsufficientAccessError")


def denied(error: type, ask):
    """The call must be refused for want of a right, by the error that its client has for it."""
    with pytest.raises(error) as raised:
        ask()
    assert type(raised.value) is error
    if error is KustoApiError:
        assert raised.value.http_response.status_code == 403
        assert raised.value.get_api_error().code and raised.value.get_api_error().description
    else:
        assert raised.value.status_code == 403
        assert raised.value.error.code in DENIED and raised.value.error.message


def stream(client: KustoStreamingIngestClient, database: str):
    client.ingest_from_stream(
        io.BytesIO(b'{"Number":1}'), IngestionProperties(database=database, table="T_CL", data_format=DataFormat.JSON)
    )


def upload(principal, rule: str):
    with LogsIngestionClient(endpoint=principal.server.https, credential=principal.credential()) as client:
        client.upload(rule_id=rule, stream_name="Custom-Raw", logs=[{"Number": 9}])


def test_every_client_says_in_its_own_way_that_a_role_is_missing(server, nobody, place):
    credential, scopes = nobody.credential(), [f"{server.https}/.default"]
    subscription = subscription_of(server)
    with logs(server, credential) as client:
        denied(HttpResponseError, lambda: client.query_workspace(place.customer_id, "print 1", timespan=None))
        denied(HttpResponseError, lambda: client.query_workspace(WORKSPACE, "print 1", timespan=None))
        denied(HttpResponseError, lambda: client.query_resource(place.id, "print 1", timespan=None))
        (answer,) = client.query_batch([LogsBatchQuery(place.customer_id, "print 1", timespan=None)])
        assert isinstance(answer, LogsQueryError) and answer.code == "InsufficientAccessError"
    for connection in (by_key(nobody), by_credential(nobody)):
        with KustoClient(connection) as client:
            denied(KustoApiError, lambda: client.execute(place.name, "print 1"))
            denied(KustoApiError, lambda: client.execute_mgmt(place.name, ".show tables"))
            denied(KustoApiError, lambda: client.execute_streaming_query(place.name, "print 1"))
    with KustoStreamingIngestClient(by_key(nobody)) as client:
        denied(KustoApiError, lambda: stream(client, place.name))
    denied(HttpResponseError, lambda: upload(nobody, place.rule))
    with SecurityCenter(credential, subscription, base_url=server.https, credential_scopes=scopes) as client:
        denied(HttpResponseError, lambda: client.iot_security_solution.get(GROUP, SOLUTION))
    with LogAnalyticsManagementClient(
        credential, subscription, base_url=server.https, credential_scopes=scopes
    ) as client:
        denied(HttpResponseError, lambda: client.workspaces.get(GROUP, place.name))
        denied(HttpResponseError, lambda: client.shared_keys.get_shared_keys(GROUP, place.name))


@pytest.mark.parametrize(
    "command",
    [
        ".create table Mine (A: long)",
        ".drop table T_CL",
        ".ingest inline into table T_CL <| 2026-03-02,1",
        ".set-or-append T_CL <| print TimeGenerated = now(), Number = 1",
        ".delete table T_CL records <| T_CL",
        ".alter-merge table T_CL policy retention softdelete = 1d",
        ".create function F() { 1 }",
        ".create database Mine",
    ],
)
def test_a_reader_of_kusto_reads_and_changes_nothing(server, place, reader, command):
    with KustoClient(by_key(reader)) as client:
        assert ["T_CL"] in rows(client.execute_mgmt(place.name, ".show tables | project TableName"))
        denied(KustoApiError, lambda: client.execute_mgmt(place.name, command))
        # Old clients send commands to the address of queries.
        headers = {"Authorization": f"Bearer {token_of(reader)}", "Content-Type": "application/json"}
        for path in ("/v1/rest/query", "/v2/rest/query"):
            answer = server.request("POST", path, json.dumps({"db": place.name, "csl": command}), headers)
            assert answer.status in (400, 403) and answer.json["error"]["@message"], path
        assert rows(client.execute(place.name, NUMBERS)) == [[7]]
    assert server.manage(".show tables | project TableName", place.name).values == ["T_CL"]
    assert "Mine" not in server.manage(".show databases | project DatabaseName").values


def test_a_reader_sends_no_rows(place, reader):
    with KustoStreamingIngestClient(by_key(reader)) as client:
        denied(KustoApiError, lambda: stream(client, place.name))
    denied(HttpResponseError, lambda: upload(reader, place.rule))
    with KustoClient(by_key(reader)) as client:
        assert rows(client.execute(place.name, NUMBERS)) == [[7]]


def test_a_contributor_sends_rows_and_changes_tables(server, place):
    contributor = register(server, (CONTRIBUTOR, place.id))
    with KustoStreamingIngestClient(by_key(contributor)) as client:
        stream(client, place.name)
    with KustoClient(by_credential(contributor)) as client:
        assert sorted(rows(client.execute(place.name, NUMBERS))) == [[1], [7]]
        client.execute_mgmt(place.name, ".create table Mine (A: long)")
        assert ["Mine"] in rows(client.execute_mgmt(place.name, ".show tables | project TableName"))


def test_who_may_only_send_cannot_read(server, place):
    sender = register(server, (SENDER, place.rule_id))
    upload(sender, place.rule)
    assert sorted(server.kusto(NUMBERS, place.name).values) == [7, 9]
    with logs(server, sender.credential()) as client:
        denied(HttpResponseError, lambda: client.query_workspace(place.customer_id, "print 1", timespan=None))
    with KustoClient(by_key(sender)) as client:
        denied(KustoApiError, lambda: client.execute(place.name, "print 1"))


# Where a role reaches


@pytest.fixture
def other(server, ids, place) -> Place:
    """A workspace whose name begins as the first one's."""
    return Place(server, ids, f"{place.name}-2", 11)


def test_a_role_at_one_workspace_does_not_reach_another(server, place, other, reader):
    with logs(server, reader.credential()) as client:
        assert found(client.query_workspace(place.customer_id, NUMBERS, timespan=None)) == [[7]]
        for name in (other.customer_id, other.name, WORKSPACE):
            denied(HttpResponseError, lambda name=name: client.query_workspace(name, "print 1", timespan=None))
        denied(HttpResponseError, lambda: client.query_resource(other.id, "print 1", timespan=None))
        batch = [LogsBatchQuery(one.customer_id, NUMBERS, timespan=None) for one in (place, other)]
        mine, theirs = client.query_batch(batch)
        assert found(mine) == [[7]]
        assert isinstance(theirs, LogsQueryError) and theirs.code == "InsufficientAccessError"
    with KustoClient(by_key(reader)) as client:
        denied(KustoApiError, lambda: client.execute(other.name, NUMBERS))
        databases = rows(client.execute_mgmt(place.name, ".show databases | project DatabaseName"))
        assert [place.name] in databases and [other.name] not in databases
        schema = client.execute_mgmt(place.name, ".show databases schema as json").primary_results[0][0][0]
        assert other.name not in json.loads(schema)["Databases"]


def test_a_role_does_not_reach_another_workspace_by_a_query(server, place, other, reader):
    for query in (
        f"database('{other.name}').T_CL",
        f"workspace('{other.name}').T_CL",
        f"workspace('{other.customer_id}').T_CL",
    ):
        for text in (query, f"union T_CL, {query}", f"T_CL | where Number !in (({query} | project Number))"):
            with KustoClient(by_key(reader)) as client, pytest.raises(KustoApiError) as raised:
                client.execute(place.name, text)
            assert raised.value.http_response.status_code in (400, 403), text
            with logs(server, reader.credential()) as client, pytest.raises(HttpResponseError) as raised:
                client.query_workspace(place.customer_id, text, timespan=None)
            assert raised.value.status_code in (400, 403), text
    with logs(server, reader.credential()) as client, pytest.raises(HttpResponseError) as raised:
        client.query_workspace(place.customer_id, NUMBERS, timespan=None, additional_workspaces=[other.customer_id])
    assert raised.value.status_code in (400, 403)


def test_a_role_reaches_what_lies_below_its_scope(server, ids, place, other):
    for scope in (ids.group, ids.root, ids.group.upper(), f"{ids.root}/"):
        reader = register(server, (READER, scope))
        with logs(server, reader.credential()) as client:
            for one in (place, other):
                assert found(client.query_workspace(one.customer_id, NUMBERS, timespan=None)) == [[one.number]], scope


def test_two_roles_reach_two_workspaces(server, place, other):
    reader = register(server, (READER, place.id), (READER, other.id))
    with KustoClient(by_key(reader)) as client:
        for one in (place, other):
            assert rows(client.execute(one.name, NUMBERS)) == [[one.number]]
        both = client.execute(place.name, f"union T_CL, database('{other.name}').T_CL | summarize sum(Number)")
        assert rows(both) == [[18]]


def test_a_role_that_is_taken_away_is_gone_at_once(server, place, nobody):
    """Also for who has signed in already."""
    assignment = nobody.grant(READER, place.id)
    with logs(server, Bearer(token_of(nobody))) as client:
        assert found(client.query_workspace(place.customer_id, NUMBERS, timespan=None)) == [[7]]
        nobody.revoke(assignment)
        denied(HttpResponseError, lambda: client.query_workspace(place.customer_id, NUMBERS, timespan=None))
        nobody.grant(READER, place.id)
        assert found(client.query_workspace(place.customer_id, NUMBERS, timespan=None)) == [[7]]


def test_a_reader_gives_itself_no_role(server, ids, place, reader):
    headers = {"Authorization": f"Bearer {token_of(reader)}", "Content-Type": "application/json"}
    body = json.dumps({"principalId": reader.id, "role": "Owner", "scope": ids.root})
    for method, path, sent in (
        ("POST", "/api/v1/roleAssignments", body),
        ("POST", "/api/v1/servicePrincipals", json.dumps({"displayName": "mine"})),
        ("POST", f"{reader.path}/secrets", json.dumps({"days": 90})),
        ("POST", "/api/v1/users", json.dumps({"name": "mine", "password": "correct horse battery staple"})),
    ):
        answer = server.request(method, path, sent, headers)
        assert answer.status == 403 and answer.json["error"]["code"] == "AuthorizationFailed", path


# Tokens that are given out by name


def test_a_personal_token_reaches_as_far_as_it_was_made_for(server, place, other):
    asked = {"name": unique("token-"), "days": 30, "role": READER, "scope": place.id}
    made = accepted(server.admin("POST", "/api/v1/tokens", asked), 201)
    with logs(server, Bearer(made["token"])) as client:
        assert found(client.query_workspace(place.customer_id, NUMBERS, timespan=None)) == [[7]]
        denied(HttpResponseError, lambda: client.query_workspace(other.customer_id, NUMBERS, timespan=None))
    connection = KustoConnectionStringBuilder.with_aad_user_token_authentication(server.https, made["token"])
    with KustoClient(connection) as client:
        assert rows(client.execute(place.name, NUMBERS)) == [[7]]
        denied(KustoApiError, lambda: client.execute_mgmt(place.name, ".drop table T_CL"))
        denied(KustoApiError, lambda: client.execute(other.name, NUMBERS))
    accepted(server.admin("DELETE", f"/api/v1/tokens/{made['id']}"), 200, 204)
    with logs(server, Bearer(made["token"])) as client, pytest.raises(HttpResponseError) as raised:
        client.query_workspace(place.customer_id, NUMBERS, timespan=None)
    assert raised.value.status_code == 401
