/** Alerts: what is asked of the workspace for a list of them, and for one. */

import type { Cell } from "../api/kusto";
import { moment, quote, quoteAll } from "./kql";
import { DAY, type Span, readSpan, spanCondition, writeSpan } from "./time";

export const SEVERITIES = ["High", "Medium", "Low", "Informational"] as const;
export type Severity = (typeof SEVERITIES)[number];

export const GROUPINGS = {
  day: "Type and day",
  type: "Type",
  device: "Device",
  severity: "Severity",
  none: "Nothing",
} as const;
export type Grouping = keyof typeof GROUPINGS;

export const STATES = { open: "Open", dismissed: "Dismissed", all: "Open and dismissed" } as const;
export type AlertState = keyof typeof STATES;

export interface AlertFilter {
  span: Span;
  severities: string[];
  text: string;
  device: string;
  type: string;
  state: AlertState;
  grouping: Grouping;
}

/** What a list begins with. */
export const ROWS_MAX = 500;

/** A filter as it stands in an address. */
export function readAlertFilter(search: string): AlertFilter {
  const parameters = new URLSearchParams(search);
  const state = parameters.get("state") ?? "";
  const grouping = parameters.get("group") ?? "";
  return {
    span: readSpan(parameters.get("span")),
    severities: (parameters.get("severity") ?? "").split(",").filter((name) => SEVERITIES.includes(name as Severity)),
    text: parameters.get("text") ?? "",
    device: parameters.get("device") ?? "",
    type: parameters.get("type") ?? "",
    state: state in STATES ? (state as AlertState) : "open",
    grouping: grouping in GROUPINGS ? (grouping as Grouping) : "day",
  };
}

/** The address's part for a filter; what is as it is without saying so is left out. */
export function writeAlertFilter(filter: AlertFilter): string {
  const parameters = new URLSearchParams();
  if (writeSpan(filter.span) !== "7d") parameters.set("span", writeSpan(filter.span));
  if (filter.severities.length > 0) parameters.set("severity", filter.severities.join(","));
  for (const name of ["text", "device", "type"] as const) if (filter[name]) parameters.set(name, filter[name]);
  if (filter.state !== "open") parameters.set("state", filter.state);
  if (filter.grouping !== "day") parameters.set("group", filter.grouping);
  return parameters.toString();
}

/** Who is asked about: hubs, and the alerts that are dismissed, each `{type}/{day}`. */
export interface AlertSource {
  hubs: string[];
  dismissed: readonly string[];
}

/** The alerts of a solution, with the device that each is about. */
export function alertRows(hubs: string[], span: Span): string {
  return `SecurityAlert
| where ${spanCondition(span)}
| where ResourceId in~ ${quoteAll(hubs)}
| extend DeviceId = tostring(parse_json(ExtendedProperties)["DeviceId"])`;
}

/** The lines that keep the alerts which a state means. */
export function stateLines(state: AlertState, dismissed: readonly string[]): string {
  if (state === "all" || (state === "open" && dismissed.length === 0)) return "";
  const operator = state === "open" ? "!in" : "in";
  return `\n| where strcat(AlertType, "/", format_datetime(TimeGenerated, "yyyy-MM-dd")) ${operator} ${quoteAll(dismissed.length > 0 ? dismissed : [""])}`;
}

function filtered(filter: AlertFilter, source: AlertSource): string {
  let text = alertRows(source.hubs, filter.span);
  if (filter.severities.length > 0) text += `\n| where AlertSeverity in ${quoteAll(filter.severities)}`;
  if (filter.type) text += `\n| where AlertType =~ ${quote(filter.type)}`;
  if (filter.device) text += `\n| where DeviceId =~ ${quote(filter.device)}`;
  if (filter.text) {
    const columns = ["DisplayName", "Description", "AlertType", "DeviceId", "ExtendedProperties"];
    text += `\n| where ${columns.map((column) => `${column} contains ${quote(filter.text)}`).join(" or ")}`;
  }
  return text + stateLines(filter.state, source.dismissed);
}

/** A row of a list: so many alerts that are shown as one. */
export interface AlertGroup {
  AlertType?: string;
  /** Midnight of the day, where groups are of a day. */
  Day?: string;
  DeviceId?: string;
  /** The hub of the device. */
  ResourceId?: string;
  SystemAlertId?: string;
  DisplayName?: string;
  AlertSeverity: string;
  VendorName?: string;
  Count: number;
  Devices: number;
  Last: string;
}

const COUNTS = `Count = count_distinct(SystemAlertId), Devices = count_distinct(DeviceId), Last = max(TimeGenerated)`;
const NEWEST = `arg_max(TimeGenerated, DisplayName, AlertSeverity, VendorName)`;
/** The gravest first. */
const GRAVEST = `Rank = min(case(AlertSeverity == "High", 0, AlertSeverity == "Medium", 1, AlertSeverity == "Low", 2, 3))`;
const RANK_NAMES = `AlertSeverity = case(Rank == 0, "High", Rank == 1, "Medium", Rank == 2, "Low", "Informational")`;

/** The query of a list. */
export function alertListQuery(filter: AlertFilter, source: AlertSource): string {
  const rows = filtered(filter, source);
  switch (filter.grouping) {
    case "day":
      return `${rows}\n| summarize ${COUNTS}, ${NEWEST} by AlertType, Day = startofday(TimeGenerated)\n| project-away TimeGenerated\n| top ${ROWS_MAX} by Last desc`;
    case "type":
      return `${rows}\n| summarize ${COUNTS}, ${NEWEST} by AlertType\n| project-away TimeGenerated\n| top ${ROWS_MAX} by Count desc`;
    case "device":
      return `${rows}\n| summarize ${COUNTS}, ${GRAVEST} by DeviceId\n| extend ${RANK_NAMES}\n| project-away Rank\n| top ${ROWS_MAX} by Count desc`;
    case "severity":
      return `${rows}\n| summarize ${COUNTS} by AlertSeverity\n| sort by Count desc`;
    case "none":
      return `${rows}\n| summarize arg_max(TimeGenerated, AlertType, DeviceId, ResourceId, DisplayName, AlertSeverity, VendorName) by SystemAlertId\n| top ${ROWS_MAX} by TimeGenerated desc\n| project AlertType, Day = startofday(TimeGenerated), DeviceId, ResourceId, SystemAlertId, DisplayName, AlertSeverity, VendorName, Count = 1, Devices = 1, Last = TimeGenerated`;
  }
}

/** The types that there are alerts of, for choosing one. */
export function alertTypesQuery(hubs: string[], span: Span): string {
  return `${alertRows(hubs, span)}\n| summarize arg_max(TimeGenerated, DisplayName) by AlertType\n| project AlertType, DisplayName\n| sort by DisplayName asc`;
}

/** `2026-03-02` of a moment. */
export function dayOf(time: string): string {
  return time.slice(0, 10);
}

/** What the management interface calls the alerts of a type and day. */
export function aggregateName(type: string, day: string): string {
  return `${type}/${dayOf(day)}`;
}

/** The alerts of one type on one day of UTC. */
export function dayRows(hubs: string[], type: string, day: string): string {
  const begin = `${dayOf(day)}T00:00:00Z`;
  const end = new Date(Date.parse(begin) + DAY);
  return `SecurityAlert
| where TimeGenerated >= ${moment(new Date(begin))} and TimeGenerated < ${moment(end)}
| where ResourceId in~ ${quoteAll(hubs)} and AlertType == ${quote(type)}
| extend DeviceId = tostring(parse_json(ExtendedProperties)["DeviceId"])`;
}

export interface AlertSummary {
  Count: number;
  Devices: number;
  First: string;
  Last: string;
}

const DETAILS = `project DeviceId, Count, TimeGenerated, SystemAlertId, DisplayName, Description, AlertSeverity, VendorName, ProductName, ResourceId,
    RemediationSteps, ExtendedProperties, Entities, StartTime, EndTime, Tactics, Techniques`;

/** The alert that somebody wants to see: itself, or the newest of a device. */
export interface AskedAlert {
  device: string;
  alertId: string;
}

/** In one request: how many, the last ten devices with the newest alert of each, and the one that was asked for. */
export function alertDetailQuery(hubs: string[], type: string, day: string, { device, alertId }: AskedAlert): string {
  const rows = dayRows(hubs, type, day);
  const asked = alertId ? `SystemAlertId == ${quote(alertId)}` : `DeviceId =~ ${quote(device)}`;
  return `let alerts = ${rows};
alerts | summarize Count = count_distinct(SystemAlertId), Devices = count_distinct(DeviceId), First = min(TimeGenerated), Last = max(TimeGenerated);
alerts
| summarize Count = count_distinct(SystemAlertId), arg_max(TimeGenerated, *) by DeviceId
| top 10 by TimeGenerated desc
| ${DETAILS};
alerts
| where ${asked}
| top 1 by TimeGenerated desc
| extend Count = 1
| ${DETAILS}`;
}

/** The newest alert of a device among those of a type and day. */
export interface DeviceAlert {
  DeviceId: string;
  Count: number;
  TimeGenerated: string;
  SystemAlertId: string;
  DisplayName: string;
  Description: string;
  AlertSeverity: string;
  VendorName: string;
  ProductName: string;
  ResourceId: string;
  RemediationSteps: string;
  ExtendedProperties: string;
  Entities: string;
  StartTime: string | null;
  EndTime: string | null;
  Tactics: string;
  Techniques: string;
}

/** The query that "Investigate alerts in the workspace" opens. */
export function investigateAlertQuery(hubs: string[], type: string, day: string): string {
  return `${dayRows(hubs, type, day)}
| project DeviceId, TimeGenerated, DisplayName, AlertSeverity, Description, RemediationSteps, ExtendedProperties
| sort by TimeGenerated desc`;
}

/** A list in a column of text: steps, or names that commas part. */
export function textList(text: string | null | undefined): string[] {
  const given = (text ?? "").trim();
  if (!given) return [];
  try {
    const read: unknown = JSON.parse(given);
    if (Array.isArray(read)) return read.map((item) => (typeof item === "string" ? item : JSON.stringify(item)));
  } catch {
    // No list of JSON: lines of text.
  }
  return given
    .split(/\r?\n/)
    .map((line) => line.replace(/^\s*(\d+[.)]|[-*])\s+/, "").trim())
    .filter(Boolean);
}

/** Names in a column of text that commas part, such as tactics. */
export function nameList(text: string | null | undefined): string[] {
  return textList(text).flatMap((part) => part.split(",")).map((name) => name.trim()).filter(Boolean);
}

/** The members of a column that holds an object as text. */
export function members(text: string | null | undefined): [string, Cell][] {
  try {
    const read: unknown = JSON.parse(text ?? "");
    return read && typeof read === "object" && !Array.isArray(read) ? (Object.entries(read) as [string, Cell][]) : [];
  } catch {
    return [];
  }
}

export interface Entity {
  kind: string;
  members: [string, string][];
}

/** The entities of an alert, as its column holds them. */
export function entitiesOf(text: string | null | undefined): Entity[] {
  try {
    const read: unknown = JSON.parse(text ?? "");
    if (!Array.isArray(read)) return [];
    return read
      .filter((entity): entity is Record<string, unknown> => typeof entity === "object" && entity !== null)
      .map((entity) => ({
        kind: String(entity.Type ?? entity.type ?? "entity"),
        members: Object.entries(entity)
          .filter(([name, value]) => !["$id", "Type", "type"].includes(name) && value !== null && value !== "")
          .map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]),
      }));
  } catch {
    return [];
  }
}

/** Whether an alert is of the last 24 hours. */
export function isNew(time: string, now: number = Date.now()): boolean {
  const age = now - Date.parse(time);
  return age >= 0 && age < DAY;
}
