//! What is said of Azure's interfaces: Kusto, Log Analytics, ingestion and management.

use super::Operation;

const KUSTO: &str = "Kusto";
const LOGS: &str = "Log Analytics";
const INGESTION: &str = "Ingestion";
const MANAGEMENT: &str = "Management";

/// A resource of a type: one, by its group.
macro_rules! resource {
    ($path:literal, $name:literal, $said:literal) => {
        [
            Operation::new("get", $path, concat!("get", $name), concat!("Shows ", $said, ".")).of(MANAGEMENT).answers(
                200,
                "The resource.",
                "Resource",
            ),
            Operation::new("put", $path, concat!("put", $name), concat!("Makes or replaces ", $said, "."))
                .of(MANAGEMENT)
                .body_of("ResourceBody")
                .answers(200, "It was there and is changed.", "Resource")
                .answers(201, "It is new.", "Resource"),
            Operation::new("delete", $path, concat!("delete", $name), concat!("Removes ", $said, "."))
                .of(MANAGEMENT)
                .answers_nothing(200, "It is gone.")
                .answers_nothing(204, "It was not there."),
        ]
    };
}

fn listed(path: &'static str, name: &'static str, said: &'static str) -> Operation {
    Operation::new("get", path, name, said).of(MANAGEMENT).lists("The resources that the caller may see.", "Resource")
}

fn shown(path: &'static str, name: &'static str, said: &'static str) -> Operation {
    Operation::new("get", path, name, said).of(MANAGEMENT).answers(200, "The resource.", "Resource")
}

pub(super) fn operations() -> Vec<Operation> {
    let mut all = kusto();
    all.extend(logs());
    all.extend(ingestion());
    all.extend(management());
    all.extend(security());
    all.push(Operation::new("get", "/metrics", "metrics", "What the server does, for Prometheus.").answers_as(
        200,
        "Metrics.",
        "application/openmetrics-text",
    ));
    all.push(Operation::new("get", "/healthz", "health", "Whether the server is up.").open().answers_as(
        200,
        "It is.",
        "text/plain",
    ));
    all
}

fn kusto() -> Vec<Operation> {
    vec![
        Operation::new("post", "/v1/rest/query", "kustoQueryV1", "Runs a query; the answer in tables.")
            .of(KUSTO)
            .body_of("KustoQuery")
            .answers(200, "The results, then their properties, the status and a table of contents.", "KustoTables")
            .answers(504, "The query took too long.", "Error"),
        Operation::new("post", "/v2/rest/query", "kustoQueryV2", "Runs a query; the answer in frames, as they come.")
            .of(KUSTO)
            .body_of("KustoQuery")
            .answers(200, "The frames.", "KustoFrames")
            .answers(504, "The query took too long.", "Error"),
        Operation::new("post", "/v1/rest/mgmt", "kustoCommand", "Runs a control command, which begins with a dot.")
            .of(KUSTO)
            .body_of("KustoQuery")
            .answers(200, "The answer of the command, as a table.", "KustoTables")
            .answers(504, "The command took too long.", "Error"),
        Operation::new("get", "/v1/rest/auth/metadata", "kustoAuthMetadata", "Where clients of Kusto sign in.")
            .of(KUSTO)
            .open()
            .answers(200, "The addresses.", "Any"),
    ]
}

fn logs() -> Vec<Operation> {
    let asked = |operation: Operation| {
        operation.of(LOGS).answers(200, "The results; with 'error' where they are incomplete.", "LogsAnswer").answers(
            504,
            "The query took too long.",
            "Error",
        )
    };
    vec![
        asked(Operation::new("post", "/v1/workspaces/{workspace}/query", "logsQuery", "Runs a query in a workspace."))
            .body_of("LogsQuery"),
        asked(Operation::new(
            "get",
            "/v1/workspaces/{workspace}/query",
            "logsQueryByGet",
            "Runs a query in a workspace.",
        ))
        .query("query", "string", "The query.")
        .query("timespan", "string", "A span of time of ISO 8601."),
        Operation::new("get", "/v1/workspaces/{workspace}/metadata", "logsMetadata", "Lists tables and functions.")
            .of(LOGS)
            .answers(200, "Tables, their columns, and functions.", "LogsMetadata"),
        Operation::new("post", "/v1/$batch", "logsBatch", "Runs many queries.").of(LOGS).body_of("LogsBatch").answers(
            200,
            "An answer for each, in their order.",
            "LogsBatchAnswer",
        ),
    ]
}

fn ingestion() -> Vec<Operation> {
    vec![
        Operation::new("post", "/v1/rest/ingest/{database}/{table}", "kustoIngest", "Stores rows in a table.")
            .of(INGESTION)
            .query("streamFormat", "string", "csv, tsv, psv, json, multijson, parquet or avro.")
            .query("mappingName", "string", "An ingestion mapping of the table.")
            .query("batchId", "string", "A batch of this name is stored once.")
            .body_as("application/octet-stream")
            .answers(200, "The rows are on disk and every later query sees them.", "KustoTables")
            .answers(413, "The body is too large.", "Error")
            .answers(503, "The disk is full.", "Error"),
        Operation::new(
            "post",
            "/dataCollectionRules/{rule}/streams/{stream}",
            "logsIngest",
            "Sends records to a data collection rule, by its immutable id.",
        )
        .of(INGESTION)
        .query("api-version", "string", "Any.")
        .body_of("Records")
        .answers_nothing(204, "The records are on disk and every later query sees them.")
        .answers(413, "The body is too large.", "Error")
        .answers(503, "The disk is full.", "Error"),
    ]
}

fn management() -> Vec<Operation> {
    let mut all = vec![
        Operation::new("get", "/subscriptions", "listSubscriptions", "Lists the one subscription.")
            .of(MANAGEMENT)
            .lists("The subscription.", "Any"),
        Operation::new("get", "/subscriptions/{subscription}", "getSubscription", "Shows the subscription.")
            .of(MANAGEMENT)
            .answers(200, "The subscription.", "Any"),
        listed("/subscriptions/{subscription}/resourceGroups", "listResourceGroups", "Lists resource groups."),
    ];
    all.extend(resource!("/subscriptions/{subscription}/resourceGroups/{group}", "ResourceGroup", "a resource group"));
    all.extend([
        listed("/subscriptions/{subscription}/providers/Microsoft.Devices/IotHubs", "listHubs", "Lists hubs."),
        listed(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs",
            "listHubsOfGroup",
            "Lists the hubs of a group.",
        ),
        listed(
            "/subscriptions/{subscription}/providers/Microsoft.OperationalInsights/workspaces",
            "listWorkspaces",
            "Lists workspaces.",
        ),
        listed(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces",
            "listWorkspacesOfGroup",
            "Lists the workspaces of a group.",
        ),
        listed(
            "/subscriptions/{subscription}/providers/Microsoft.Insights/dataCollectionRules",
            "listCollectionRules",
            "Lists data collection rules.",
        ),
        listed(
            "/subscriptions/{subscription}/providers/Microsoft.Insights/dataCollectionEndpoints",
            "listCollectionEndpoints",
            "Lists data collection endpoints.",
        ),
        listed(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces/{workspace}/tables",
            "listTables",
            "Lists the tables of a workspace.",
        ),
        listed(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces/{workspace}/savedSearches",
            "listSavedSearches",
            "Lists the saved searches of a workspace.",
        ),
        Operation::new(
            "post",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces/{workspace}/sharedKeys",
            "getSharedKeys",
            "Shows the keys that older senders sign with.",
        )
        .of(MANAGEMENT)
        .answers(200, "The keys.", "SharedKeys"),
    ]);
    all.extend(resource!(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{name}",
        "Hub",
        "a hub"
    ));
    all.extend(resource!(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces/{name}",
        "Workspace",
        "a workspace"
    ));
    all.extend(resource!(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces/{workspace}/tables/{name}",
        "Table",
        "a table of a workspace"
    ));
    all.extend(resource!(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces/{workspace}/savedSearches/{name}",
        "SavedSearch",
        "a saved search"
    ));
    all.extend(resource!(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Insights/dataCollectionRules/{name}",
        "CollectionRule",
        "a data collection rule"
    ));
    all.extend(resource!(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Insights/dataCollectionEndpoints/{name}",
        "CollectionEndpoint",
        "a data collection endpoint"
    ));
    all
}

fn security() -> Vec<Operation> {
    let mut all = vec![
        listed(
            "/subscriptions/{subscription}/providers/Microsoft.Security/iotSecuritySolutions",
            "listSolutions",
            "Lists security solutions.",
        )
        .query("$filter", "string", "properties.iotHubs/any(i eq \"a hub's id\")"),
        listed(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Security/iotSecuritySolutions",
            "listSolutionsOfGroup",
            "Lists the security solutions of a group.",
        ),
        listed(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Security/iotSecuritySolutions/{solution}/analyticsModels",
            "listAnalytics",
            "Lists the one model of a solution's numbers.",
        ),
        shown(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Security/iotSecuritySolutions/{solution}/analyticsModels/default",
            "getAnalytics",
            "Shows the numbers of a solution.",
        ),
        listed(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Security/iotSecuritySolutions/{solution}/analyticsModels/default/aggregatedAlerts",
            "listAggregatedAlerts",
            "Lists alerts by type and day.",
        )
        .query("$top", "integer", "So many at most."),
        shown(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Security/iotSecuritySolutions/{solution}/analyticsModels/default/aggregatedAlerts/{name}",
            "getAggregatedAlert",
            "Shows the alerts of a type and day, by the name {type}/{day} with its slash encoded.",
        ),
        Operation::new(
            "post",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Security/iotSecuritySolutions/{solution}/analyticsModels/default/aggregatedAlerts/{name}/dismiss",
            "dismissAggregatedAlert",
            "Dismisses the alerts of a type and day, for good.",
        )
        .of(MANAGEMENT)
        .answers_nothing(200, "They are dismissed."),
        listed(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Security/iotSecuritySolutions/{solution}/analyticsModels/default/aggregatedRecommendations",
            "listAggregatedRecommendations",
            "Lists recommendations by type.",
        )
        .query("$top", "integer", "So many at most."),
        shown(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Security/iotSecuritySolutions/{solution}/analyticsModels/default/aggregatedRecommendations/{name}",
            "getAggregatedRecommendation",
            "Shows the recommendations of a type.",
        ),
    ];
    all.extend(resource!(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Security/iotSecuritySolutions/{name}",
        "Solution",
        "a security solution"
    ));
    all.push(
        Operation::new(
            "patch",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Security/iotSecuritySolutions/{name}",
            "updateSolution",
            "Changes tags, user-defined resources or the recommendations that are wanted.",
        )
        .of(MANAGEMENT)
        .body_of("ResourceBody")
        .answers(200, "It is changed.", "Resource"),
    );
    for (path, name, said) in [
        (
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Security/iotSecuritySolutions/{solution}/iotAlerts",
            "listAlerts",
            "Lists single alerts.",
        ),
        (
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Security/iotSecuritySolutions/{solution}/iotRecommendations",
            "listRecommendations",
            "Lists the recommendations of single devices.",
        ),
        (
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Security/iotSecuritySolutions/{solution}/iotAlertTypes",
            "listAlertTypes",
            "Lists the types of alerts.",
        ),
        (
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Security/iotSecuritySolutions/{solution}/iotRecommendationTypes",
            "listRecommendationTypes",
            "Lists the types of recommendations.",
        ),
    ] {
        all.push(listed(path, name, said).query("$limit", "integer", "Items of a page."));
    }
    for (path, name, said) in [
        (
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Security/iotSecuritySolutions/{solution}/iotAlerts/{name}",
            "getAlert",
            "Shows an alert.",
        ),
        (
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Security/iotSecuritySolutions/{solution}/iotRecommendations/{name}",
            "getRecommendation",
            "Shows a recommendation of a device, by the name {type}|{device}.",
        ),
        (
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Security/iotSecuritySolutions/{solution}/iotAlertTypes/{name}",
            "getAlertType",
            "Shows a type of alerts.",
        ),
        (
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Security/iotSecuritySolutions/{solution}/iotRecommendationTypes/{name}",
            "getRecommendationType",
            "Shows a type of recommendations.",
        ),
    ] {
        all.push(shown(path, name, said));
    }
    all
}
