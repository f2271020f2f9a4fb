"""Ingestion by two connections, and the five sample queries of the retired product over what was ingested."""

import os
import tempfile

import rows
from turnstone import load, timed

CONNECTIONS = 2

QUERIES = {
    "alerts: sample records": """SecurityAlert
| project
    TimeGenerated,
    IoTHubId=ResourceId,
    DeviceId=tostring(parse_json(ExtendedProperties)["DeviceId"]),
    AlertSeverity,
    DisplayName,
    Description,
    ExtendedProperties
| take 3""",
    "alerts: device summary": """SecurityAlert
| where TimeGenerated > datetime(2026-02-23)
| summarize Cnt=dcount(SystemAlertId) by
    IoTHubId=ResourceId,
    DeviceId=tostring(parse_json(ExtendedProperties)["DeviceId"]),
    AlertSeverity,
    DisplayName""",
    "alerts: hub summary": """SecurityAlert
| where TimeGenerated > datetime(2026-02-23)
| extend DeviceId=tostring(parse_json(ExtendedProperties)["DeviceId"])
| summarize CntDevices=dcount(DeviceId) by
    IoTHubId=ResourceId,
    AlertSeverity,
    DisplayName""",
    "recommendations: sample records": """SecurityRecommendation
| project
    TimeGenerated,
    IoTHubId=AssessedResourceId,
    DeviceId,
    RecommendationSeverity,
    RecommendationState,
    RecommendationDisplayName,
    Description,
    RecommendationAdditionalData
| take 2""",
    "recommendations: device summary": """SecurityRecommendation
| extend IoTHubId=AssessedResourceId
| summarize CurrentState=arg_max(RecommendationState, DiscoveredTimeUTC) by IoTHubId, DeviceId, RecommendationSeverity, RecommendationDisplayName
| where CurrentState == "Active"
| summarize Cnt=count() by IoTHubId, DeviceId, RecommendationSeverity""",
}


def written(folder, batches):
    """The paths of batches, written to files so that making them is no part of what is measured."""
    paths = []
    for body in batches:
        paths.append(os.path.join(folder, "%06d.json" % len(paths)))
        with open(paths[-1], "wb") as file:
            file.write(body)
    return paths


def contents(paths):
    for path in paths:
        with open(path, "rb") as file:
            yield file.read()


def measured(server, folder, alerts, recommendations):
    result = {"tables": {}, "queries": {}}
    for table, count, batches in [
        ("SecurityAlert", alerts, rows.alert_batches(alerts)),
        ("SecurityRecommendation", recommendations, rows.recommendation_batches(recommendations)),
    ]:
        with tempfile.TemporaryDirectory(dir=folder) as made:
            loaded = load(server, table, contents(written(made, batches)), CONNECTIONS)
        if loaded["rows"] != count:
            raise SystemExit("%s has %d rows, %d were sent" % (table, loaded["rows"], count))
        print("%s: %.0f rows/s" % (table, count / loaded["seconds"]), flush=True)
        result["tables"][table] = loaded
    server.wait_until_in_files()
    result["disk_bytes"] = server.disk_bytes()
    server.wait_until_at_rest()
    for name, query in QUERIES.items():
        answer = result["queries"][name] = timed(server, query)
        print("%s: %s" % (name, answer.get("error") or "%.4f s" % answer["seconds"]), flush=True)
    return result
