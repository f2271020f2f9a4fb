"""azure-mgmt-security: solutions, their analytics, and alerts and recommendations as they are summed up."""

import datetime

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.mgmt.security import SecurityCenter
from azure.mgmt.security.v2019_08_01.models import (
    IoTSecuritySolutionModel,
    RecommendationConfigurationProperties,
    UpdateIotSecuritySolutionData,
    UserDefinedResourcesProperties,
)
from fleet import (  # noqa: F401
    GROUP,
    NOWHERE,
    SOLUTION,
    attacked,
    ids,
    make_hub,
    nobody,
    register,
    subscription_of,
    unique,
)

SEVERITIES = ("Informational", "Low", "Medium", "High")
RESOURCES_QUERY = 'where type != "microsoft.devices/iothubs" | where name contains "iot"'


def connect(server, credential, subscription=None) -> SecurityCenter:
    return SecurityCenter(
        credential,
        subscription or subscription_of(server),
        base_url=server.https,
        credential_scopes=[f"{server.https}/.default"],
    )


@pytest.fixture
def client(server, credential):
    with connect(server, credential) as client:
        yield client


@pytest.fixture
def solution(client, ids):
    """The name of a new solution beside the one of the first start."""
    name = unique("Plant-")
    client.iot_security_solution.create_or_update(GROUP, name, model(ids))
    yield name
    client.iot_security_solution.delete(GROUP, name)


def model(ids, **more) -> IoTSecuritySolutionModel:
    properties = {"display_name": "Plant A", "iot_hubs": [], "workspace": ids.workspace(), **more}
    return IoTSecuritySolutionModel(location="local", **properties)


def disabled(recommendation: str) -> RecommendationConfigurationProperties:
    return RecommendationConfigurationProperties(recommendation_type=recommendation, status="Disabled")


def same(found: str, wanted: str) -> bool:
    """Ids compare without regard to case."""
    return found.lower() == wanted.lower()


def settings_of(solution) -> dict[str, str]:
    return {one.recommendation_type: one.status for one in solution.recommendations_configuration}


# Solutions


def test_the_first_start_makes_a_solution_for_its_hub_and_workspace(client, ids):
    found = client.iot_security_solution.get(GROUP, SOLUTION)
    assert found.name == SOLUTION and same(found.id, ids.solution)
    assert same(found.type, "Microsoft.Security/IoTSecuritySolutions")
    assert [same(hub, ids.hub) for hub in found.iot_hubs] == [True]
    assert same(found.workspace, ids.workspace())
    assert found.status == "Enabled" and found.display_name


def test_a_solution_is_kept_as_it_was_made(server, client, ids):
    name = unique("Plant-")
    wanted = model(
        ids,
        iot_hubs=[make_hub(server, ids, unique("plant-"))],
        tags={"floor": "2"},
        export=["RawEvents"],
        unmasked_ip_logging_status="Enabled",
        user_defined_resources=UserDefinedResourcesProperties(
            query=RESOURCES_QUERY, query_subscriptions=[ids.subscription]
        ),
        recommendations_configuration=[disabled("IoT_ACRAuthentication")],
    )
    made = client.iot_security_solution.create_or_update(GROUP, name, wanted)
    assert made.name == name and made.id.endswith(f"/iotSecuritySolutions/{name}")
    sent, kept = wanted.as_dict(), made.as_dict()
    sent.pop("recommendations_configuration")
    assert {key: kept.get(key) for key in sent} == sent
    assert settings_of(made)["IoT_ACRAuthentication"] == "Disabled"
    assert all(one.name for one in made.recommendations_configuration), "each has a name to show"
    assert client.iot_security_solution.get(GROUP, name).as_dict() == kept
    shouted = client.iot_security_solution.get(GROUP.upper(), name.upper())
    assert shouted.name == name, "names are found without regard to case, and keep theirs"
    client.iot_security_solution.delete(GROUP, name)


def test_a_solution_that_is_made_again_is_replaced(client, ids, solution):
    again = client.iot_security_solution.create_or_update(GROUP, solution, model(ids, display_name="Plant B"))
    assert again.display_name == "Plant B" and not again.tags
    names = [one.name for one in client.iot_security_solution.list_by_resource_group(GROUP)]
    assert names.count(solution) == 1


def test_an_update_changes_what_it_names_and_nothing_else(client, ids, solution):
    before = client.iot_security_solution.get(GROUP, solution)
    change = UpdateIotSecuritySolutionData(
        tags={"floor": "3"},
        user_defined_resources=UserDefinedResourcesProperties(
            query=RESOURCES_QUERY, query_subscriptions=[ids.subscription]
        ),
        recommendations_configuration=[disabled("IoT_ACRAuthentication")],
    )
    after = client.iot_security_solution.update(GROUP, solution, change)
    assert after.tags == {"floor": "3"}
    assert after.user_defined_resources.query == RESOURCES_QUERY
    assert settings_of(after)["IoT_ACRAuthentication"] == "Disabled"
    assert (after.display_name, after.iot_hubs, after.workspace) == (
        before.display_name,
        before.iot_hubs,
        before.workspace,
    )
    tagged = client.iot_security_solution.update(GROUP, solution, UpdateIotSecuritySolutionData(tags={"floor": "4"}))
    assert tagged.tags == {"floor": "4"} and settings_of(tagged) == settings_of(after)
    assert client.iot_security_solution.get(GROUP, solution).as_dict() == tagged.as_dict()


def test_solutions_are_listed_by_subscription_group_and_hub(server, client, ids, solution):
    operations = client.iot_security_solution
    for listed in (operations.list_by_subscription(), operations.list_by_resource_group(GROUP)):
        assert {SOLUTION, solution} <= {one.name for one in listed}
    hub = make_hub(server, ids, unique("plant-"))
    client.iot_security_solution.create_or_update(GROUP, solution, model(ids, iot_hubs=[hub]))
    for listed in (
        operations.list_by_subscription(filter=f'properties.iotHubs/any(i eq "{hub}")'),
        operations.list_by_resource_group(GROUP, filter=f'properties.iotHubs/any(i eq "{hub.lower()}")'),
    ):
        assert [one.name for one in listed] == [solution]
    other = f'properties.iotHubs/any(i eq "{ids.hub}-2")'
    assert list(operations.list_by_subscription(filter=other)) == []
    assert list(operations.list_by_resource_group(GROUP, filter=other)) == []


def test_a_filter_that_cannot_be_read_is_refused(client):
    with pytest.raises(HttpResponseError) as raised:
        list(client.iot_security_solution.list_by_subscription(filter="nonsense"))
    assert raised.value.status_code == 400


def test_a_group_of_its_own_holds_its_own_solutions(server, client, ids, solution):
    group = unique("plant-")
    path = f"{ids.root}/resourceGroups/{group}?api-version=2021-04-01"
    assert server.admin("PUT", path, {"location": "local"}).status in (200, 201)
    assert list(client.iot_security_solution.list_by_resource_group(group)) == []
    client.iot_security_solution.create_or_update(group, solution, model(ids, display_name="Elsewhere"))
    assert client.iot_security_solution.get(group, solution).display_name == "Elsewhere"
    assert client.iot_security_solution.get(GROUP, solution).display_name == "Plant A"
    client.iot_security_solution.delete(group, solution)
    assert server.admin("DELETE", path).status in (200, 202, 204)


def test_a_deleted_solution_is_gone_and_may_be_deleted_again(client, ids):
    name = unique("Plant-")
    client.iot_security_solution.create_or_update(GROUP, name, model(ids))
    client.iot_security_solution.delete(GROUP, name)
    with pytest.raises(ResourceNotFoundError):
        client.iot_security_solution.get(GROUP, name)
    client.iot_security_solution.delete(GROUP, name)


@pytest.mark.parametrize(
    "wrong",
    [
        {"display_name": None},
        {"iot_hubs": None},
        {"status": "Paused"},
        {"export": ["Everything"]},
        {"recommendations_configuration": [disabled("IoT_Nothing")]},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_solution_that_is_wrong_is_refused_and_not_made(client, ids, wrong):
    name = unique("Plant-")
    with pytest.raises(HttpResponseError) as raised:
        client.iot_security_solution.create_or_update(GROUP, name, model(ids, **wrong))
    assert raised.value.status_code == 400 and raised.value.error.message
    with pytest.raises(ResourceNotFoundError):
        client.iot_security_solution.get(GROUP, name)


def test_a_setting_without_a_source_is_refused_by_name(client, ids):
    with pytest.raises(HttpResponseError) as raised:
        wrong = model(ids, disabled_data_sources=["TwinData"])
        client.iot_security_solution.create_or_update(GROUP, unique("Plant-"), wrong)
    assert raised.value.status_code == 400 and "TwinData" in raised.value.message


def test_a_hub_is_watched_by_one_solution(client, ids):
    with pytest.raises(HttpResponseError) as raised:
        client.iot_security_solution.create_or_update(GROUP, unique("Plant-"), model(ids, iot_hubs=[ids.hub]))
    assert raised.value.status_code == 409


# Analytics


def test_analytics_count_what_devices_have_told(attacked, client, ids):
    found = client.iot_security_solution_analytics.get(GROUP, SOLUTION)
    assert found.name == "default" and same(found.id, f"{ids.solution}/analyticsModels/default")
    assert found.metrics.high >= 1 and found.metrics.medium >= 1 and found.metrics.low >= 1
    assert found.unhealthy_device_count >= 2
    days = [one.date for one in found.devices_metrics]
    assert days and all(isinstance(day, datetime.datetime) for day in days) and len(set(days)) == len(days)
    assert sum(one.devices_metrics.high for one in found.devices_metrics) >= 1


def test_analytics_name_the_worst_devices_and_the_commonest_findings(attacked, client):
    found = client.iot_security_solution_analytics.get(GROUP, SOLUTION)
    devices = [(one.device_id, one.alerts_count) for one in found.top_alerted_devices]
    assert devices[0] == ("fleet-01", 3) and len(devices) <= 3
    assert [count for _, count in devices] == sorted((count for _, count in devices), reverse=True)
    alerts = {one.alert_display_name: one for one in found.most_prevalent_device_alerts}
    assert len(alerts) <= 3
    assert alerts["Reverse shell"].reported_severity == "High" and alerts["Reverse shell"].alerts_count == 3
    recommendations = {one.recommendation_display_name: one for one in found.most_prevalent_device_recommendations}
    assert len(recommendations) <= 3
    ports = recommendations["Open Ports On Device"]
    assert ports.reported_severity == "Medium" and ports.devices_count == 2


def test_the_list_of_analytics_holds_the_default_alone(attacked, client):
    listed = client.iot_security_solution_analytics.list(GROUP, SOLUTION)
    assert [one.as_dict() for one in listed.value] == [
        client.iot_security_solution_analytics.get(GROUP, SOLUTION).as_dict()
    ]
    assert not listed.next_link


# Alerts


def alerts_of(client, alert_type: str) -> list:
    """Those of one type: one a day, so two at most while the tests run."""
    listed = client.iot_security_solutions_analytics_aggregated_alert.list(GROUP, SOLUTION)
    return [one for one in listed if one.alert_type == alert_type]


def test_alerts_of_one_type_and_day_are_one(attacked, client, ids):
    found = alerts_of(client, "IoT_ReverseShell")
    assert sum(one.count for one in found) == 3
    days = {one.aggregated_date_utc for one in found}
    assert len(days) == len(found)
    today = datetime.datetime.now(datetime.timezone.utc).date()
    assert days <= {today, today - datetime.timedelta(days=1)}
    for one in found:
        assert one.name == f"IoT_ReverseShell/{one.aggregated_date_utc.isoformat()}"
        assert same(one.id, f"{ids.solution}/analyticsModels/default/aggregatedAlerts/{one.name}")
        assert same(one.type, "Microsoft.Security/IoTSecurityAggregatedAlert")
        assert (one.alert_display_name, one.reported_severity, one.vendor_name) == (
            "Reverse shell",
            "High",
            "Microsoft",
        )
        assert one.description and one.remediation_steps
        assert (one.effected_resource_type, one.system_source, one.action_taken) == (
            "IoT Device",
            "Devices",
            "Detected",
        )
    devices: dict[str, int] = {}
    for device in (device for one in found for device in one.top_devices_list):
        assert device.last_occurrence
        devices[device.device_id] = devices.get(device.device_id, 0) + device.alerts_count
    assert devices == {"fleet-01": 2, "fleet-02": 1}


def test_every_type_of_alert_is_listed_with_its_severity(attacked, client):
    listed = list(client.iot_security_solutions_analytics_aggregated_alert.list(GROUP, SOLUTION))
    assert {"IoT_ReverseShell", "IoT_Bruteforce_Fail"} <= {one.alert_type for one in listed}
    assert all(one.reported_severity in SEVERITIES and one.count >= 1 for one in listed)
    assert [one.reported_severity for one in alerts_of(client, "IoT_Bruteforce_Fail")] == ["Low"]
    assert len({one.name for one in listed}) == len(listed)


def test_no_more_alerts_are_listed_than_asked_for(attacked, client):
    listed = client.iot_security_solutions_analytics_aggregated_alert.list(GROUP, SOLUTION, top=1)
    assert len(list(listed)) == 1


def test_an_alert_is_found_by_its_name_with_the_slash(attacked, client):
    for listed in alerts_of(client, "IoT_ReverseShell"):
        found = client.iot_security_solutions_analytics_aggregated_alert.get(GROUP, SOLUTION, listed.name)
        assert found.as_dict() == listed.as_dict()


def test_the_query_of_an_alert_runs_and_finds_it(attacked, client):
    for one in alerts_of(client, "IoT_ReverseShell"):
        assert len(attacked.kusto(one.log_analytics_query).rows) >= 1


def test_an_alert_that_is_dismissed_is_gone_and_others_are_not(attacked, client):
    operations = client.iot_security_solutions_analytics_aggregated_alert
    others = {one.name for one in operations.list(GROUP, SOLUTION) if one.alert_type != "IoT_CryptoMiner"}
    miners = alerts_of(client, "IoT_CryptoMiner")
    assert sum(one.count for one in miners) == 2
    for one in miners:
        assert operations.dismiss(GROUP, SOLUTION, one.name) is None
    assert {one.name for one in operations.list(GROUP, SOLUTION)} == others
    assert (
        attacked.kusto("SecurityAlert | where AlertType == 'IoT_CryptoMiner' | distinct SystemAlertId | count").value
        == 2
    )


# Recommendations


def test_recommendations_count_the_devices_that_they_are_for(attacked, client, ids):
    operations = client.iot_security_solutions_analytics_recommendation
    listed = {one.name: one for one in operations.list(GROUP, SOLUTION)}
    assert {"IoT_OpenPorts", "IoT_Baseline"} <= set(listed)
    ports = listed["IoT_OpenPorts"]
    assert same(ports.id, f"{ids.solution}/analyticsModels/default/aggregatedRecommendations/IoT_OpenPorts")
    assert same(ports.type, "Microsoft.Security/IoTSecurityAggregatedRecommendation")
    assert ports.recommendation_name == "IoT_OpenPorts"
    assert ports.recommendation_display_name == "Open Ports On Device"
    assert ports.reported_severity == "Medium" and ports.unhealthy_device_count == 2
    assert isinstance(ports.healthy_devices, int) and ports.healthy_devices >= -1
    assert ports.description and ports.remediation_steps and ports.detected_by
    assert listed["IoT_Baseline"].unhealthy_device_count == 1
    for name, one in listed.items():
        assert operations.get(GROUP, SOLUTION, name).as_dict() == one.as_dict()
    assert len(list(operations.list(GROUP, SOLUTION, top=1))) == 1


def test_the_query_of_a_recommendation_runs_and_finds_its_devices(attacked, client):
    found = client.iot_security_solutions_analytics_recommendation.get(GROUP, SOLUTION, "IoT_OpenPorts")
    assert len(attacked.kusto(found.log_analytics_query).rows) >= 1


# What is not there, and who may not


def test_what_is_not_there_is_not_found(client, ids):
    nothing = unique("nothing-")
    alerts = client.iot_security_solutions_analytics_aggregated_alert
    recommendations = client.iot_security_solutions_analytics_recommendation
    for ask in (
        lambda: client.iot_security_solution.get(GROUP, nothing),
        lambda: client.iot_security_solution.get(nothing, SOLUTION),
        lambda: client.iot_security_solution.update(GROUP, nothing, UpdateIotSecuritySolutionData(tags={})),
        lambda: client.iot_security_solution.create_or_update(nothing, nothing, model(ids)),
        lambda: list(client.iot_security_solution.list_by_resource_group(nothing)),
        lambda: client.iot_security_solution_analytics.get(GROUP, nothing),
        lambda: client.iot_security_solution_analytics.list(GROUP, nothing),
        lambda: list(alerts.list(GROUP, nothing)),
        lambda: alerts.get(GROUP, SOLUTION, "IoT_ReverseShell/2001-01-01"),
        lambda: alerts.get(GROUP, SOLUTION, nothing),
        lambda: alerts.dismiss(GROUP, SOLUTION, "IoT_ReverseShell/2001-01-01"),
        lambda: list(recommendations.list(GROUP, nothing)),
        lambda: recommendations.get(GROUP, SOLUTION, "IoT_Nothing"),
    ):
        with pytest.raises(ResourceNotFoundError) as raised:
            ask()
        assert raised.value.error.code and raised.value.error.message


def test_another_subscription_is_not_found(server, credential):
    with connect(server, credential, NOWHERE) as client:
        with pytest.raises(ResourceNotFoundError):
            client.iot_security_solution.get(GROUP, SOLUTION)


def test_groups_of_devices_are_named_as_not_there_yet(client, ids):
    with pytest.raises(ResourceNotFoundError) as raised:
        list(client.device_security_groups.list(ids.hub))
    assert "devicesecuritygroups" in raised.value.message.lower()


def test_a_wrong_token_is_an_error_of_authentication(server, stranger):
    with connect(server, stranger) as client:
        for ask in (
            lambda: client.iot_security_solution.get(GROUP, SOLUTION),
            lambda: list(client.iot_security_solution.list_by_subscription()),
            lambda: list(client.iot_security_solutions_analytics_aggregated_alert.list(GROUP, SOLUTION)),
        ):
            with pytest.raises(ClientAuthenticationError) as raised:
                ask()
            assert raised.value.status_code == 401


def denied(ask):
    """The call must be refused for want of a right."""
    with pytest.raises(HttpResponseError) as raised:
        ask()
    assert raised.value.status_code == 403 and not isinstance(raised.value, ClientAuthenticationError)
    assert raised.value.error.code == "AuthorizationFailed" and raised.value.error.message


def test_without_a_role_everything_is_denied(server, nobody, ids):
    with connect(server, nobody.credential()) as client:
        denied(lambda: client.iot_security_solution.get(GROUP, SOLUTION))
        denied(lambda: client.iot_security_solution.get(GROUP, "nothing"))
        denied(lambda: client.iot_security_solution.create_or_update(GROUP, "mine", model(ids)))
        denied(lambda: client.iot_security_solution_analytics.get(GROUP, SOLUTION))
        denied(lambda: list(client.iot_security_solutions_analytics_aggregated_alert.list(GROUP, SOLUTION)))
        denied(lambda: list(client.iot_security_solutions_analytics_recommendation.list(GROUP, SOLUTION)))


def test_a_security_reader_reads_and_changes_nothing(attacked, ids):
    reader = register(attacked, ("Security Reader", ids.group))
    with connect(attacked, reader.credential()) as client:
        assert client.iot_security_solution.get(GROUP, SOLUTION).name == SOLUTION
        assert client.iot_security_solution_analytics.get(GROUP, SOLUTION).name == "default"
        (alert, *_) = alerts_of(client, "IoT_ReverseShell")
        assert list(client.iot_security_solutions_analytics_recommendation.list(GROUP, SOLUTION))
        denied(lambda: client.iot_security_solutions_analytics_aggregated_alert.dismiss(GROUP, SOLUTION, alert.name))
        denied(lambda: client.iot_security_solution.create_or_update(GROUP, "mine", model(ids)))
        denied(lambda: client.iot_security_solution.update(GROUP, SOLUTION, UpdateIotSecuritySolutionData(tags={})))
        denied(lambda: client.iot_security_solution.delete(GROUP, SOLUTION))
        assert alerts_of(client, "IoT_ReverseShell")[0].name == alert.name


def test_a_security_admin_manages_solutions(server, ids):
    admin = register(server, ("Security Admin", ids.group))
    name = unique("Plant-")
    with connect(server, admin.credential()) as client:
        assert client.iot_security_solution.create_or_update(GROUP, name, model(ids)).name == name
        client.iot_security_solution.update(GROUP, name, UpdateIotSecuritySolutionData(tags={"floor": "2"}))
        client.iot_security_solution.delete(GROUP, name)
