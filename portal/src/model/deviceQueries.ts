/** What is asked of the workspace about one device. */

import { quote } from "./kql";

function events(hub: string, device: string): string {
  return `SecurityIoTRawEvent
| where AssociatedResourceId =~ ${quote(hub)} and DeviceId == ${quote(device)}`;
}

/** The items of the newest snapshot of a kind. */
function newest(hub: string, device: string, name: string): string {
  return `let snapshots = ${events(hub, device)} and RawEventName == ${quote(name)};
let newest = toscalar(snapshots | summarize arg_max(TimeStamp, IoTRawEventId) | project IoTRawEventId);
snapshots
| where IoTRawEventId == newest and not(IsEmpty)
| extend d = parse_json(EventDetails)`;
}

export interface Collector {
  RawEventName: string;
  Events: number;
  Last: string;
  Problem: string;
}

/** The kinds of events that came within a week, and what the agent said of itself. */
export function collectorsQuery(hub: string, device: string): string {
  return `${events(hub, device)} and TimeGenerated > ago(7d)
| extend Problem = iff(RawEventName == "Diagnostic", tostring(parse_json(EventDetails).Message), "")
| summarize Events = count_distinct(IoTRawEventId), arg_max(TimeStamp, Problem) by RawEventName
| project RawEventName, Events, Last = TimeStamp, Problem
| sort by RawEventName asc`;
}

export interface LocalUser {
  UserName: string;
  UserId: string;
  GroupNames: string;
}

export function usersQuery(hub: string, device: string): string {
  return `${newest(hub, device, "LocalUsers")}
| project UserName = tostring(d.UserName), UserId = tostring(d.UserId), GroupNames = tostring(d.GroupNames)
| sort by UserName asc`;
}

export interface OpenPort {
  Protocol: string;
  LocalAddress: string;
  LocalPort: string;
  Pid: string;
}

export function portsQuery(hub: string, device: string): string {
  return `${newest(hub, device, "ListeningPorts")}
| project Protocol = tostring(d.Protocol), LocalAddress = tostring(d.LocalAddress), LocalPort = tostring(d.LocalPort), Pid = tostring(d.ExtraDetails.Pid)
| sort by toint(LocalPort) asc`;
}
