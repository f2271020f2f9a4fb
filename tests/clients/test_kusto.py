"""azure-kusto-data and azure-kusto-ingest."""

import datetime
import decimal
import io
import threading
import uuid

import pytest
from azure.kusto.data import ClientRequestProperties, DataFormat, KustoClient, KustoConnectionStringBuilder
from azure.kusto.data.exceptions import KustoApiError, KustoAuthenticationError, KustoMultiApiError, KustoServiceError
from azure.kusto.ingest import IngestionProperties, KustoStreamingIngestClient

DATABASE = "default"


def connection(server, token=None):
    return KustoConnectionStringBuilder.with_aad_user_token_authentication(server.https, token or server.token)


@pytest.fixture
def client(server):
    with KustoClient(connection(server)) as client:
        yield client


def rows(answer) -> list[list]:
    return [list(row) for row in answer.primary_results[0]]


def test_values_of_all_types_arrive(client):
    answer = client.execute(DATABASE, "Sample | sort by L desc | take 1")
    row = answer.primary_results[0][0].to_dict()
    assert row["L"] == 9007199254740993
    assert row["TimeGenerated"].replace(microsecond=0) == datetime.datetime(2026, 3, 2, 10, tzinfo=datetime.timezone.utc)
    assert row["S"] == "it's" and row["D"] == {"k": [1, None]}
    assert row["T"] == datetime.timedelta(days=1, hours=2, minutes=3, seconds=4)
    assert str(row["G"]) == "6f9619ff-8b86-d011-b42d-00c04fc964ff"
    assert (row["R"], row["B"], row["I"]) == (0.5, True, 7)
    assert row["M"] == decimal.Decimal("0.1")
    nulls = client.execute(DATABASE, "Sample | where L == 3").primary_results[0][0].to_dict()
    assert nulls["S"] == "" and nulls["D"] is None and nulls["M"] is None and nulls["G"] is None
    assert answer.errors_count == 0


def test_several_statements_give_several_results(client):
    answer = client.execute(DATABASE, "print a=1; print b='x' | render table")
    assert [rows_of[0][0] for rows_of in answer.primary_results] == [1, "x"]


def test_parameters_and_options(client):
    properties = ClientRequestProperties()
    properties.set_parameter("wanted", 2)
    properties.set_option(ClientRequestProperties.request_timeout_option_name, datetime.timedelta(minutes=1))
    answer = client.execute(DATABASE, "declare query_parameters(wanted: long); Sample | where L == wanted | project L", properties)
    assert rows(answer) == [[2]]


def test_answers_are_streamed(client):
    count = 200_000
    answer = client.execute_streaming_query(DATABASE, f"range x from 1 to {count} step 1 | extend y = strcat('row ', x)")
    tables = answer.iter_primary_results()
    table = next(tables)
    assert [column.column_name for column in table.columns] == ["x", "y"]
    total = sum(row[0] for row in table)
    assert total == count * (count + 1) // 2
    assert list(tables) == [] and answer.errors_count == 0


def test_a_result_over_the_limits_is_an_error_and_can_be_asked_for_in_full(client):
    query = "range x from 1 to 600000 step 1"
    with pytest.raises(KustoMultiApiError) as raised:
        client.execute(DATABASE, query)
    assert raised.value.errors[0].code == "LimitsExceeded"
    assert len(client.execute(DATABASE, "set notruncation; " + query).primary_results[0]) == 600_000
    properties = ClientRequestProperties()
    properties.set_option(ClientRequestProperties.results_defer_partial_query_failures_option_name, True)
    deferred = client.execute(DATABASE, query, properties)
    assert len(deferred.primary_results[0]) == 500_000 and deferred.errors_count == 1


def test_errors_are_those_that_the_client_defines(client, server):
    with pytest.raises(KustoApiError) as raised:
        client.execute(DATABASE, "Sample | where Nope == 1")
    error = raised.value.get_api_error()
    assert error.permanent and "Nope" in error.description and raised.value.is_semantic_error()
    with pytest.raises(KustoApiError, match="Syntax error"):
        client.execute(DATABASE, "Sample | where")
    with pytest.raises(KustoServiceError):
        client.execute("nowhere", "print 1")
    with KustoClient(connection(server, "tst_wrong")) as stranger:
        with pytest.raises((KustoAuthenticationError, KustoServiceError)):
            stranger.execute(DATABASE, "print 1")


def test_a_query_that_runs_too_long_and_one_that_is_cancelled(client, server):
    heavy = "range x from 1 to 100000000 step 1 | extend y = hash_sha256(tostring(x)) | summarize dcount(y)"
    properties = ClientRequestProperties()
    properties.set_option(ClientRequestProperties.request_timeout_option_name, datetime.timedelta(seconds=1))
    with pytest.raises(KustoServiceError, match="longer than its 1 seconds"):
        client.execute(DATABASE, heavy, properties)
    properties = ClientRequestProperties()
    properties.client_request_id = f"test;{uuid.uuid4()}"
    outcome = []

    def run():
        try:
            client.execute(DATABASE, heavy, properties)
        except KustoServiceError as error:
            outcome.append(str(error))

    running = threading.Thread(target=run)
    running.start()
    with KustoClient(connection(server)) as other:
        while not rows(other.execute_mgmt(DATABASE, f".cancel query '{properties.client_request_id}'")):
            assert running.is_alive()
    running.join(60)
    assert outcome and "cancelled" in outcome[0]


def test_management_commands(client):
    answer = client.execute_mgmt(DATABASE, ".show tables | where TableName == 'Sample' | project TableName")
    assert rows(answer) == [["Sample"]]
    schema = client.execute_mgmt(DATABASE, ".show databases schema as json").primary_results[0][0][0]
    assert "Sample" in schema


def test_the_endpoint_says_how_to_sign_in(server):
    metadata = server.request("GET", "/v1/rest/auth/metadata").json["AzureAD"]
    assert {"LoginEndpoint", "LoginMfaRequired", "KustoClientAppId", "KustoClientRedirectUri", "KustoServiceResourceId",
            "FirstPartyAuthorityUrl"} <= set(metadata)


@pytest.mark.parametrize("form", [DataFormat.CSV, DataFormat.JSON])
def test_streaming_ingestion(server, client, form):
    client.execute_mgmt(DATABASE, f".create table Streamed_{form.name} (a: long, b: string)")
    body = {DataFormat.CSV: '1,"x, y"\n2,\n', DataFormat.JSON: '{"a":1,"b":"x, y"}\n{"a":2}\n'}[form]
    with KustoStreamingIngestClient(connection(server)) as ingest:
        properties = IngestionProperties(database=DATABASE, table=f"Streamed_{form.name}", data_format=form)
        ingest.ingest_from_stream(io.BytesIO(body.encode()), properties)
    assert rows(client.execute(DATABASE, f"Streamed_{form.name} | sort by a asc")) == [[1, "x, y"], [2, ""]]
