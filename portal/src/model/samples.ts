/** Queries to begin with. The first are those that people know from the documents of the original. */

export interface Sample {
  name: string;
  group: string;
  query: string;
}

export const SAMPLES: Sample[] = [
  {
    group: "Security alerts",
    name: "Sample records",
    query: `// A few alerts, with the device that each is about
SecurityAlert
| project TimeGenerated, IoTHubId=ResourceId, DeviceId=tostring(parse_json(ExtendedProperties)["DeviceId"]), AlertSeverity, DisplayName, Description, ExtendedProperties
| take 3`,
  },
  {
    group: "Security alerts",
    name: "Device summary",
    query: `// How many alerts each device has raised in a week, by severity and type
SecurityAlert
| where TimeGenerated > ago(7d)
| summarize Cnt=dcount(SystemAlertId) by IoTHubId=ResourceId, DeviceId=tostring(parse_json(ExtendedProperties)["DeviceId"]), AlertSeverity, DisplayName`,
  },
  {
    group: "Security alerts",
    name: "IoT hub summary",
    query: `// On how many devices of each hub alerts were raised in a week, by severity and type
SecurityAlert
| where TimeGenerated > ago(7d)
| extend DeviceId=tostring(parse_json(ExtendedProperties)["DeviceId"])
| summarize CntDevices=dcount(DeviceId) by IoTHubId=ResourceId, AlertSeverity, DisplayName`,
  },
  {
    group: "Security recommendations",
    name: "Sample records",
    query: `// A few recommendations
SecurityRecommendation
| project TimeGenerated, IoTHubId=AssessedResourceId, DeviceId, RecommendationSeverity, RecommendationState, RecommendationDisplayName, Description, RecommendationAdditionalData
| take 2`,
  },
  {
    group: "Security recommendations",
    name: "Device summary",
    query: `// How many recommendations are active on each device, by severity
SecurityRecommendation
| extend IoTHubId=AssessedResourceId
| summarize CurrentState=arg_max(RecommendationState, DiscoveredTimeUTC) by IoTHubId, DeviceId, RecommendationSeverity, RecommendationDisplayName
| where CurrentState == "Active"
| summarize Cnt=count() by IoTHubId, DeviceId, RecommendationSeverity`,
  },
  {
    group: "Security alerts",
    name: "Alerts of each day",
    query: `SecurityAlert
| where TimeGenerated > ago(30d)
| summarize Alerts=count() by bin(TimeGenerated, 1d), AlertSeverity
| render columnchart with (kind=stacked)`,
  },
  {
    group: "One device",
    name: "Logins",
    query: `// Who tried to sign in where, and from which addresses
let device = "";
SecurityIoTRawEvent
| where RawEventName == "Login" and (device == "" or DeviceId == device)
| extend d = parse_json(EventDetails)
| extend UserName = tostring(d.UserName), Result = tostring(d.Result), RemoteAddress = tostring(d.RemoteAddress)
| where RemoteAddress != "127.0.0.1" and UserName !in ("(invalid user)", "(unknown user)")
| summarize Count=count(), First=min(TimeStamp), Last=max(TimeStamp), Addresses=make_set(RemoteAddress) by DeviceId, UserName, Result`,
  },
  {
    group: "One device",
    name: "Open ports",
    query: `let device = "";
SecurityIoTRawEvent
| where RawEventName == "ListeningPorts" and (device == "" or DeviceId == device)
| extend d = parse_json(EventDetails)
| extend Port = toint(d.LocalPort)
| where Port <= 1024
| summarize LastSeen=max(TimeStamp) by DeviceId, Protocol=tostring(d.Protocol), Address=tostring(d.LocalAddress), Port`,
  },
  {
    group: "One device",
    name: "Processes",
    query: `let device = "";
SecurityIoTRawEvent
| where RawEventName in ("Process", "ProcessCreate") and (device == "" or DeviceId == device)
| extend d = parse_json(EventDetails)
| summarize Count=count(), First=min(TimeStamp), Last=max(TimeStamp) by DeviceId, Executable=tostring(d.Executable), CommandLine=coalesce(tostring(d.CommandLine), tostring(d.Commandline)), UserName=tostring(d.UserName)
| sort by Count desc`,
  },
  {
    group: "The fleet",
    name: "Baseline checks that fail",
    query: `SecurityIoTRawEvent
| where RawEventName in ("OSBaseline", "Baseline")
| extend d = parse_json(EventDetails)
| extend Check = coalesce(tostring(d.BaselineCheckId), tostring(d.CceId)), Rule = coalesce(tostring(d.BaselineCheckDescription), tostring(d.Description)), Result = coalesce(tostring(d.BaselineCheckResult), tostring(d.Result))
| summarize arg_max(TimeStamp, Result) by DeviceId, Check, Rule
| where Result in~ ("FAIL", "Fail")
| summarize Devices=dcount(DeviceId) by Check, Rule
| sort by Devices desc`,
  },
  {
    group: "The workspace",
    name: "Rows a day",
    query: `union withsource=Table *
| where TimeGenerated > ago(14d)
| summarize Rows=count() by bin(TimeGenerated, 1d), Table
| render columnchart with (kind=stacked)`,
  },
  {
    group: "The workspace",
    name: "Records that were refused",
    query: `Operation
| where TimeGenerated > ago(7d)
| sort by TimeGenerated desc
| take 100`,
  },
];
