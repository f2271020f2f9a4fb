/** Recommendations: what is asked of the workspace for a list of them, and for one. */

import { quote, quoteAll } from "./kql";

export interface RecommendationFilter {
  severities: string[];
  text: string;
  device: string;
  state: "Active" | "Inactive" | "all";
}

export function readRecommendationFilter(search: string): RecommendationFilter {
  const parameters = new URLSearchParams(search);
  const state = parameters.get("state");
  return {
    severities: (parameters.get("severity") ?? "").split(",").filter(Boolean),
    text: parameters.get("text") ?? "",
    device: parameters.get("device") ?? "",
    state: state === "Inactive" || state === "all" ? state : "Active",
  };
}

export function writeRecommendationFilter(filter: RecommendationFilter): string {
  const parameters = new URLSearchParams();
  if (filter.severities.length > 0) parameters.set("severity", filter.severities.join(","));
  for (const name of ["text", "device"] as const) if (filter[name]) parameters.set(name, filter[name]);
  if (filter.state !== "Active") parameters.set("state", filter.state);
  return parameters.toString();
}

export interface RecommendationGroup {
  RecommendationName: string;
  RecommendationDisplayName: string;
  RecommendationSeverity: string;
  RecommendationState: string;
  Description: string;
  Devices: number;
  /** When it last changed for a device. */
  Last: string;
}

/** Where each recommendation stands now, for each device, and since when: what is active is written again each day. */
export function currentRows(hubs: string[], names?: string): string {
  const ofName = names ? ` and RecommendationName =~ ${quote(names)}` : "";
  return `SecurityRecommendation
| where AssessedResourceId in~ ${quoteAll(hubs)}${ofName}
| summarize arg_max(TimeGenerated, *) by RecommendationName, AssessedResourceId, DeviceId
| extend Since = coalesce(iff(RecommendationState == "Active", DiscoveredTimeUTC, ResolvedTimeUTC), TimeGenerated)`;
}

export function recommendationListQuery(hubs: string[], filter: RecommendationFilter): string {
  let text = currentRows(hubs);
  if (filter.state !== "all") text += `\n| where RecommendationState == ${quote(filter.state)}`;
  if (filter.severities.length > 0) text += `\n| where RecommendationSeverity in ${quoteAll(filter.severities)}`;
  if (filter.device) text += `\n| where DeviceId =~ ${quote(filter.device)}`;
  if (filter.text) {
    const columns = ["RecommendationDisplayName", "Description", "RecommendationName", "DeviceId"];
    text += `\n| where ${columns.map((column) => `${column} contains ${quote(filter.text)}`).join(" or ")}`;
  }
  return `${text}
| summarize Devices = count(), Last = max(Since), arg_max(TimeGenerated, RecommendationDisplayName, RecommendationSeverity, Description)
    by RecommendationName, RecommendationState
| project-away TimeGenerated
| sort by Devices desc, RecommendationName asc`;
}

export interface DeviceRecommendation {
  DeviceId: string;
  RecommendationName: string;
  RecommendationDisplayName: string;
  RecommendationSeverity: string;
  RecommendationState: string;
  Description: string;
  /** When it came to be in its state. */
  Since: string;
  TimeGenerated: string;
  DiscoveredTimeUTC: string | null;
  AssessedResourceId: string;
  RecommendationAdditionalData: unknown;
}

const OF_DEVICE = `project DeviceId, RecommendationName, RecommendationDisplayName, RecommendationSeverity, RecommendationState, Description,
    Since, TimeGenerated, DiscoveredTimeUTC, AssessedResourceId, RecommendationAdditionalData`;

/** Every device that a recommendation was raised for, and where it stands; those that need something first. */
export function recommendationDevicesQuery(hubs: string[], name: string): string {
  return `${currentRows(hubs, name)}
| sort by RecommendationState asc, Since desc
| take 10000
| ${OF_DEVICE}`;
}

/** The recommendations of one device. */
export function deviceRecommendationsQuery(hubs: string[], device: string): string {
  return `${currentRows(hubs)}\n| where DeviceId == ${quote(device)}\n| sort by RecommendationState asc, Since desc\n| ${OF_DEVICE}`;
}

/** How a recommendation has changed for a device, the newest change first. */
export function historyQuery(hubs: string[], name: string, device: string): string {
  return `SecurityRecommendation
| where AssessedResourceId in~ ${quoteAll(hubs)} and RecommendationName =~ ${quote(name)} and DeviceId == ${quote(device)}
| sort by TimeGenerated asc
| where RecommendationState != prev(RecommendationState)
| top 200 by TimeGenerated desc
| project RecommendationState, TimeGenerated, RecommendationAdditionalData`;
}

/** A change of state: rows that say again what was so are one with the row that said it first. */
export interface Change {
  state: string;
  from: string;
  /** When the next state began; nothing where it is the state of now. */
  to?: string;
  data: unknown;
}

/** The states of a device one after the other, the newest first, from rows of which the newest is the first. */
export function changesOf(rows: Pick<DeviceRecommendation, "RecommendationState" | "TimeGenerated" | "RecommendationAdditionalData">[]): Change[] {
  const changes: Change[] = [];
  for (const row of [...rows].reverse()) {
    const last = changes.at(-1);
    if (last?.state === row.RecommendationState) {
      last.data = row.RecommendationAdditionalData;
      continue;
    }
    if (last) last.to = row.TimeGenerated;
    changes.push({ state: row.RecommendationState, from: row.TimeGenerated, data: row.RecommendationAdditionalData });
  }
  return changes.reverse();
}

export interface BaselineCheck {
  Check: string;
  Description: string;
  Severity: string;
  Result: string;
  Problem: string;
  Remediation: string;
}

/** The checks of the newest snapshot of a device's baseline, of either agent. */
export function baselineQuery(hubs: string[], device: string): string {
  return `let snapshots = SecurityIoTRawEvent
| where AssociatedResourceId in~ ${quoteAll(hubs)} and DeviceId == ${quote(device)} and RawEventName in ("OSBaseline", "Baseline");
let newest = toscalar(snapshots | summarize arg_max(TimeStamp, IoTRawEventId) | project IoTRawEventId);
snapshots
| where IoTRawEventId == newest and not(IsEmpty)
| extend d = parse_json(EventDetails)
| project Check = coalesce(tostring(d.BaselineCheckId), tostring(d.CceId)), Description = coalesce(tostring(d.BaselineCheckDescription), tostring(d.Description)),
    Severity = coalesce(tostring(d.BaselineCheckSeverity), tostring(d.Severity)), Result = coalesce(tostring(d.BaselineCheckResult), tostring(d.Result)),
    Problem = coalesce(tostring(d.BaselineCheckError), tostring(d.Error)), Remediation = tostring(d.BaselineCheckRemediation)
| sort by Result asc, Severity asc, Check asc`;
}

/** The query that "Investigate recommendations in the workspace" opens. */
export function investigateRecommendationQuery(hubs: string[], name: string): string {
  return `${currentRows(hubs, name)}
| where RecommendationState == "Active"
| project DeviceId, Since, RecommendationDisplayName, RecommendationSeverity, Description, RecommendationAdditionalData
| sort by Since desc`;
}
