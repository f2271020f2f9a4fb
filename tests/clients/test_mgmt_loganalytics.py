"""azure-mgmt-loganalytics: workspaces, their keys, tables and saved searches."""

import base64
import json
import uuid

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.mgmt.loganalytics import LogAnalyticsManagementClient
from azure.mgmt.loganalytics.models import (
    Column,
    SavedSearch,
    SavedSearchProperties,
    Schema,
    Table,
    TableProperties,
    Workspace,
    WorkspacePatch,
    WorkspaceProperties,
    WorkspaceSku,
)
from azure.monitor.query import LogsQueryClient, LogsQueryStatus
from fleet import GROUP, WORKSPACE, ids, nobody, register, subscription_of, unique  # noqa: F401

POLLING_SECONDS = 1
COLUMNS = {
    "TimeGenerated": "dateTime",
    "Device": "string",
    "Number": "int",
    "Total": "long",
    "Celsius": "real",
    "IsOpen": "boolean",
    "Key": "guid",
    "Tags": "dynamic",
}
KQL_TYPES = {"dateTime": "datetime", "boolean": "bool"}


def connect(server, credential) -> LogAnalyticsManagementClient:
    return LogAnalyticsManagementClient(
        credential,
        subscription_of(server),
        base_url=server.https,
        credential_scopes=[f"{server.https}/.default"],
        polling_interval=POLLING_SECONDS,
    )


@pytest.fixture
def client(server, credential):
    with connect(server, credential) as client:
        yield client


@pytest.fixture
def logs(server, credential):
    with LogsQueryClient(credential, endpoint=server.https) as client:
        yield client


@pytest.fixture
def workspace(client) -> Workspace:
    """A new workspace."""
    return client.workspaces.begin_create_or_update(GROUP, unique("plant-"), model()).result()


def model(**more) -> Workspace:
    properties = WorkspaceProperties(sku=WorkspaceSku(name="PerGB2018"), retention_in_days=45)
    return Workspace(location="local", properties=properties, **more)


def table_of(name: str, columns: dict[str, str], **more) -> Table:
    schema = Schema(name=name, columns=[Column(name=column, type=of) for column, of in columns.items()])
    return Table(properties=TableProperties(schema=schema, **more))


def rows(answer) -> list[list]:
    assert answer.status == LogsQueryStatus.SUCCESS
    return [list(row) for row in answer.tables[0].rows]


def denied(ask):
    """The call must be refused for want of a right."""
    with pytest.raises(HttpResponseError) as raised:
        ask()
    assert raised.value.status_code == 403 and not isinstance(raised.value, ClientAuthenticationError)
    assert raised.value.error.code == "AuthorizationFailed" and raised.value.error.message


# Workspaces


def test_the_first_start_makes_a_workspace(server, client, ids):
    found = client.workspaces.get(GROUP, WORKSPACE)
    assert found.name == WORKSPACE and found.id.lower() == ids.workspace().lower()
    assert found.properties.customer_id == json.loads((server.data / "instance.json").read_text())["workspace_id"]
    assert found.properties.provisioning_state == "Succeeded"


def test_a_workspace_is_made_at_once_and_kept_as_it_was_made(client):
    name = unique("Plant-")
    poller = client.workspaces.begin_create_or_update(GROUP, name, model(tags={"floor": "2"}))
    assert poller.status() == "Succeeded", "the first answer is the last"
    made = poller.result()
    assert made.name == name and made.id.endswith(f"/workspaces/{name}")
    assert made.type.lower() == "microsoft.operationalinsights/workspaces"
    assert made.location == "local" and made.tags == {"floor": "2"}
    assert made.properties.retention_in_days == 45 and made.properties.sku.name == "PerGB2018"
    assert str(uuid.UUID(made.properties.customer_id)) == made.properties.customer_id
    assert client.workspaces.get(GROUP, name).as_dict() == made.as_dict()
    assert client.workspaces.get(GROUP.upper(), name.lower()).name == name, "names keep their case"


def test_a_workspace_is_queried_by_the_id_that_it_was_given(server, client, logs, workspace):
    assert rows(logs.query_workspace(workspace.properties.customer_id, "print 1", timespan=None)) == [[1]]
    server.manage(".create table T (A: long)", workspace.name)
    server.ingest("T", '{"A":7}', database=workspace.name)
    assert rows(logs.query_workspace(workspace.properties.customer_id, "T", timespan=None)) == [[7]]
    assert rows(logs.query_resource(workspace.id, "T", timespan=None)) == [[7]]
    with pytest.raises(HttpResponseError) as raised:
        other = client.workspaces.get(GROUP, WORKSPACE).properties.customer_id
        logs.query_workspace(other, "T", timespan=None)
    assert raised.value.status_code == 400, "a table is of one workspace"


def test_a_workspace_that_is_made_again_keeps_its_id_and_its_rows(server, client, logs, workspace):
    server.manage(".create table T (A: long)", workspace.name)
    server.ingest("T", '{"A":7}', database=workspace.name)
    again = client.workspaces.begin_create_or_update(GROUP, workspace.name, model(tags={"floor": "3"})).result()
    assert again.properties.customer_id == workspace.properties.customer_id and again.tags == {"floor": "3"}
    assert rows(logs.query_workspace(again.properties.customer_id, "T", timespan=None)) == [[7]]


def test_an_update_changes_what_it_names_and_nothing_else(client, workspace):
    change = WorkspacePatch(tags={"floor": "4"}, properties=WorkspaceProperties(retention_in_days=60))
    after = client.workspaces.update(GROUP, workspace.name, change)
    assert after.tags == {"floor": "4"} and after.properties.retention_in_days == 60
    assert after.properties.customer_id == workspace.properties.customer_id
    assert after.properties.sku.name == "PerGB2018" and after.location == "local"


def test_workspaces_are_listed_by_subscription_and_group(client, workspace):
    for listed in (client.workspaces.list(), client.workspaces.list_by_resource_group(GROUP)):
        found = {one.name: one for one in listed}
        assert {WORKSPACE, workspace.name} <= set(found)
        assert found[workspace.name].properties.customer_id == workspace.properties.customer_id


def test_a_database_that_kusto_made_is_a_workspace(server, client):
    name = unique("db")
    server.manage(f".create database {name}")
    found = client.workspaces.get(GROUP, name)
    assert name in {one.name for one in client.workspaces.list()} and found.properties.customer_id


@pytest.mark.parametrize("force", [None, True])
def test_a_deleted_workspace_is_gone_and_may_be_deleted_again(client, logs, workspace, force):
    assert client.workspaces.begin_delete(GROUP, workspace.name, force=force).result() is None
    with pytest.raises(ResourceNotFoundError):
        client.workspaces.get(GROUP, workspace.name)
    assert workspace.name not in {one.name for one in client.workspaces.list()}
    with pytest.raises(HttpResponseError) as raised:
        logs.query_workspace(workspace.properties.customer_id, "print 1", timespan=None)
    assert raised.value.status_code == 404
    client.workspaces.begin_delete(GROUP, workspace.name).result()


def test_keys_are_of_one_workspace_and_stay(client, workspace):
    keys = client.shared_keys.get_shared_keys(GROUP, workspace.name)
    for key in (keys.primary_shared_key, keys.secondary_shared_key):
        assert len(base64.b64decode(key, validate=True)) >= 32
    assert keys.primary_shared_key != keys.secondary_shared_key
    assert client.shared_keys.get_shared_keys(GROUP, workspace.name).as_dict() == keys.as_dict()
    others = client.shared_keys.get_shared_keys(GROUP, WORKSPACE)
    assert not set(others.as_dict().values()) & set(keys.as_dict().values())


# Tables


def test_a_table_is_made_at_once_and_holds_rows(server, client, logs, workspace):
    poller = client.tables.begin_create_or_update(GROUP, workspace.name, "Sensor_CL", table_of("Sensor_CL", COLUMNS))
    assert poller.status() == "Succeeded", "the first answer is the last"
    made = poller.result()
    assert made.name == "Sensor_CL" and made.id.endswith(f"/workspaces/{workspace.name}/tables/Sensor_CL")
    assert made.properties.provisioning_state == "Succeeded" and made.properties.schema.name == "Sensor_CL"
    assert {one.name: one.type for one in made.properties.schema.columns}.items() >= COLUMNS.items()
    schema = rows(logs.query_workspace(workspace.properties.customer_id, "Sensor_CL | getschema", timespan=None))
    wanted = {name: KQL_TYPES.get(of, of) for name, of in COLUMNS.items()}
    assert {row[0]: row[-1] for row in schema}.items() >= wanted.items()
    row = '{"TimeGenerated":"2026-03-02T10:00:00Z","Device":"pump-1","Number":1,"Total":9007199254740993,"IsOpen":true}'
    assert server.ingest("Sensor_CL", row, database=workspace.name).status == 200
    query = "Sensor_CL | project Device, Total, IsOpen"
    assert rows(logs.query_workspace(workspace.properties.customer_id, query, timespan=None)) == [
        ["pump-1", 9007199254740993, True]
    ]


def test_a_table_is_shown_and_listed(client, workspace):
    made = client.tables.begin_create_or_update(
        GROUP, workspace.name, "Sensor_CL", table_of("Sensor_CL", COLUMNS)
    ).result()
    assert client.tables.get(GROUP, workspace.name, "Sensor_CL").as_dict() == made.as_dict()
    listed = {one.name: one for one in client.tables.list_by_workspace(GROUP, workspace.name)}
    assert listed["Sensor_CL"].as_dict() == made.as_dict()


def test_the_tables_of_security_have_standard_columns(client):
    listed = {one.name: one for one in client.tables.list_by_workspace(GROUP, WORKSPACE)}
    assert {"SecurityAlert", "SecurityRecommendation", "SecurityIoTRawEvent"} <= set(listed)
    standard = {one.name: one.type for one in listed["SecurityAlert"].properties.schema.standard_columns}
    assert standard["TimeGenerated"] == "dateTime" and standard["IsIncident"] == "boolean"
    assert standard["SystemAlertId"] == "string"


def test_a_table_gains_columns_and_keeps_its_rows(server, client, logs, workspace):
    begin = client.tables.begin_create_or_update
    columns = {"TimeGenerated": "dateTime", "Number": "long"}
    begin(GROUP, workspace.name, "Sensor_CL", table_of("Sensor_CL", columns)).result()
    server.ingest("Sensor_CL", '{"Number":1}', database=workspace.name)
    more = begin(GROUP, workspace.name, "Sensor_CL", table_of("Sensor_CL", {**columns, "Text": "string"})).result()
    assert "Text" in {one.name for one in more.properties.schema.columns}
    found = logs.query_workspace(workspace.properties.customer_id, "Sensor_CL | project Number, Text", timespan=None)
    assert rows(found) == [[1, ""]]
    with pytest.raises(HttpResponseError) as raised:
        begin(GROUP, workspace.name, "Sensor_CL", table_of("Sensor_CL", {**columns, "Number": "string"})).result()
    assert raised.value.status_code == 400 and "Number" in raised.value.message


def test_a_table_keeps_its_rows_as_long_as_it_is_told(client, workspace):
    wanted = table_of("Sensor_CL", {"TimeGenerated": "dateTime"}, retention_in_days=30)
    made = client.tables.begin_create_or_update(GROUP, workspace.name, "Sensor_CL", wanted).result()
    assert made.properties.retention_in_days == 30
    change = Table(properties=TableProperties(retention_in_days=31))
    assert (
        client.tables.begin_update(GROUP, workspace.name, "Sensor_CL", change).result().properties.retention_in_days
        == 31
    )


@pytest.mark.parametrize(
    "columns", [{"TimeGenerated": "dateTime", "A": "number"}, {}], ids=["unknown type", "no columns"]
)
def test_a_table_that_is_wrong_is_refused_and_not_made(client, workspace, columns):
    with pytest.raises(HttpResponseError) as raised:
        client.tables.begin_create_or_update(GROUP, workspace.name, "Wrong_CL", table_of("Wrong_CL", columns)).result()
    assert raised.value.status_code == 400
    with pytest.raises(ResourceNotFoundError):
        client.tables.get(GROUP, workspace.name, "Wrong_CL")


def test_a_deleted_table_is_gone(client, logs, workspace):
    client.tables.begin_create_or_update(GROUP, workspace.name, "Sensor_CL", table_of("Sensor_CL", COLUMNS)).result()
    assert client.tables.begin_delete(GROUP, workspace.name, "Sensor_CL").result() is None
    with pytest.raises(ResourceNotFoundError):
        client.tables.get(GROUP, workspace.name, "Sensor_CL")
    with pytest.raises(HttpResponseError) as raised:
        logs.query_workspace(workspace.properties.customer_id, "Sensor_CL", timespan=None)
    assert raised.value.status_code == 400


# Saved searches


def test_a_saved_search_is_kept_changed_listed_and_deleted(client, workspace):
    def search(display_name: str) -> SavedSearch:
        properties = SavedSearchProperties(
            category="Pumps",
            display_name=display_name,
            query="print Answer = 42",
            function_alias="PumpAnswer",
            version=2,
        )
        return SavedSearch(properties=properties)

    place = (GROUP, workspace.name, "pumps")
    made = client.saved_searches.create_or_update(*place, search("All pumps"))
    assert made.name == "pumps" and made.id.lower().endswith("/savedsearches/pumps")
    sent = search("All pumps").properties.as_dict()
    assert made.properties.as_dict().items() >= sent.items()
    assert client.saved_searches.get(*place).as_dict() == made.as_dict()
    client.saved_searches.create_or_update(*place, search("Every pump"))
    listed = client.saved_searches.list_by_workspace(GROUP, workspace.name)
    assert [(one.name, one.properties.display_name) for one in listed.value] == [("pumps", "Every pump")]
    assert client.saved_searches.delete(*place) is None
    with pytest.raises(ResourceNotFoundError):
        client.saved_searches.get(*place)
    assert client.saved_searches.list_by_workspace(GROUP, workspace.name).value == []


# What is not there, and who may not


def test_what_is_not_there_is_not_found(client, workspace):
    nothing = unique("nothing-")
    for ask in (
        lambda: client.workspaces.get(GROUP, nothing),
        lambda: client.workspaces.get(nothing, WORKSPACE),
        lambda: client.workspaces.begin_create_or_update(nothing, nothing, model()).result(),
        lambda: list(client.workspaces.list_by_resource_group(nothing)),
        lambda: client.shared_keys.get_shared_keys(GROUP, nothing),
        lambda: client.tables.get(GROUP, workspace.name, "Nothing_CL"),
        lambda: list(client.tables.list_by_workspace(GROUP, nothing)),
        lambda: client.tables.begin_create_or_update(GROUP, nothing, "T_CL", table_of("T_CL", COLUMNS)).result(),
        lambda: client.saved_searches.get(GROUP, workspace.name, "nothing"),
        lambda: client.saved_searches.list_by_workspace(GROUP, nothing),
    ):
        with pytest.raises(ResourceNotFoundError) as raised:
            ask()
        assert raised.value.error.code and raised.value.error.message


def test_a_wrong_token_is_an_error_of_authentication(server, stranger):
    with connect(server, stranger) as client:
        for ask in (
            lambda: client.workspaces.get(GROUP, WORKSPACE),
            lambda: client.workspaces.begin_create_or_update(GROUP, "mine", model()),
            lambda: list(client.tables.list_by_workspace(GROUP, WORKSPACE)),
        ):
            with pytest.raises(ClientAuthenticationError) as raised:
                ask()
            assert raised.value.status_code == 401


def test_without_a_role_everything_is_denied(server, nobody, workspace):
    with connect(server, nobody.credential()) as client:
        denied(lambda: client.workspaces.get(GROUP, workspace.name))
        denied(lambda: client.workspaces.begin_create_or_update(GROUP, "mine", model()))
        denied(lambda: client.workspaces.begin_delete(GROUP, workspace.name))
        denied(lambda: client.shared_keys.get_shared_keys(GROUP, workspace.name))
        denied(lambda: list(client.tables.list_by_workspace(GROUP, workspace.name)))
        denied(lambda: client.saved_searches.list_by_workspace(GROUP, workspace.name))


def test_a_reader_sees_everything_but_the_keys_and_changes_nothing(server, workspace):
    reader = register(server, ("Log Analytics Reader", workspace.id))
    search = SavedSearch(properties=SavedSearchProperties(category="Pumps", display_name="All", query="print 1"))
    with connect(server, reader.credential()) as client:
        assert client.workspaces.get(GROUP, workspace.name).properties.customer_id == workspace.properties.customer_id
        assert list(client.tables.list_by_workspace(GROUP, workspace.name)) is not None
        assert client.saved_searches.list_by_workspace(GROUP, workspace.name).value == []
        denied(lambda: client.shared_keys.get_shared_keys(GROUP, workspace.name))
        denied(lambda: client.workspaces.begin_create_or_update(GROUP, workspace.name, model()))
        denied(lambda: client.workspaces.begin_delete(GROUP, workspace.name))
        denied(lambda: client.tables.begin_create_or_update(GROUP, workspace.name, "T_CL", table_of("T_CL", COLUMNS)))
        denied(lambda: client.saved_searches.create_or_update(GROUP, workspace.name, "all", search))
        denied(lambda: client.workspaces.get(GROUP, WORKSPACE))


def test_a_contributor_manages_its_workspace_and_no_other(server, workspace):
    contributor = register(server, ("Log Analytics Contributor", workspace.id))
    search = SavedSearch(properties=SavedSearchProperties(category="Pumps", display_name="All", query="print 1"))
    with connect(server, contributor.credential()) as client:
        client.tables.begin_create_or_update(GROUP, workspace.name, "T_CL", table_of("T_CL", COLUMNS)).result()
        client.saved_searches.create_or_update(GROUP, workspace.name, "all", search)
        assert client.shared_keys.get_shared_keys(GROUP, workspace.name).primary_shared_key
        denied(lambda: client.tables.begin_create_or_update(GROUP, WORKSPACE, "T_CL", table_of("T_CL", COLUMNS)))
        denied(lambda: client.shared_keys.get_shared_keys(GROUP, WORKSPACE))
