/** Raw events around a moment of a device, and the processes among them. */

import { moment, quote } from "./kql";

export interface RawEvent {
  TimeStamp: string;
  RawEventName: string;
  IoTRawEventId: string;
  EventDetails: string;
}

/** The events of a device nearest to a moment, the oldest first. */
export function neighboursQuery(hub: string, device: string, time: string, minutes: number): string {
  const at = Date.parse(time);
  const from = new Date(at - minutes * 60_000);
  const to = new Date(at + minutes * 60_000);
  // Events arrive after they happen: the time that tables are kept by is looked at a day beyond.
  const arrived = new Date(at + 24 * 60 * 60_000);
  return `SecurityIoTRawEvent
| where TimeGenerated between (${moment(from)} .. ${moment(arrived)}) and TimeStamp between (${moment(from)} .. ${moment(to)})
| where AssociatedResourceId =~ ${quote(hub)} and DeviceId == ${quote(device)} and not(IsEmpty)
| where RawEventName in ("Process", "ProcessCreate", "ProcessTerminate", "Login", "ConnectionCreate", "NetworkActivity", "FileSystem", "Peripheral")
| extend Distance = abs(TimeStamp - ${moment(new Date(at))})
| top 500 by Distance asc
| sort by TimeStamp asc
| project TimeStamp, RawEventName, IoTRawEventId, EventDetails`;
}

export interface ProcessNode {
  id: string;
  parentId: string;
  executable: string;
  commandLine: string;
  user: string;
  time: string;
  isOfAlert: boolean;
  children: ProcessNode[];
}

function detailsOf(event: RawEvent): Record<string, unknown> {
  try {
    const read: unknown = JSON.parse(event.EventDetails);
    return read && typeof read === "object" ? (read as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

const text = (value: unknown) => (value === undefined || value === null ? "" : String(value));

/** What an event says in one line. */
export function eventLine(event: RawEvent): string {
  const details = detailsOf(event);
  const first = (...names: string[]) => text(names.map((name) => details[name]).find((value) => value !== undefined && value !== ""));
  switch (event.RawEventName) {
    case "Process":
    case "ProcessCreate":
      return first("CommandLine", "Commandline", "Executable");
    case "Login":
      return [first("Operation", "Result"), first("UserName", "UserId"), first("RemoteAddress") && `from ${first("RemoteAddress")}`]
        .filter(Boolean)
        .join(" ");
    case "ConnectionCreate":
    case "NetworkActivity":
      return `${first("Protocol")} ${first("LocalAddress")}:${first("LocalPort")} – ${first("RemoteAddress")}:${first("RemotePort")}`;
    case "FileSystem":
      return `${first("Mask")} ${first("Path")}`;
    default:
      return event.EventDetails.slice(0, 200);
  }
}

/**
 * The processes that events tell of, each below its parent; of those that were started more than once under one number
 * the last. `alertProcess` is the number that the alert names, and `alertCommand` its command line.
 */
export function processTree(events: RawEvent[], alertProcess: string, alertCommand: string): ProcessNode[] {
  const nodes = new Map<string, ProcessNode>();
  for (const event of events) {
    if (event.RawEventName !== "Process" && event.RawEventName !== "ProcessCreate") continue;
    const details = detailsOf(event);
    if (text(details.EventType).toUpperCase() === "EXIT") continue;
    const id = text(details.ProcessId);
    const commandLine = text(details.CommandLine ?? details.Commandline);
    if (!id) continue;
    nodes.set(id, {
      id,
      parentId: text(details.ParentProcessId),
      executable: text(details.Executable),
      commandLine,
      user: text(details.UserName ?? details.UserId),
      time: event.TimeStamp,
      isOfAlert: id === alertProcess || (alertCommand !== "" && commandLine === alertCommand),
      children: [],
    });
  }
  const roots: ProcessNode[] = [];
  for (const node of nodes.values()) {
    const parent = node.parentId === node.id ? undefined : nodes.get(node.parentId);
    if (parent && !isBelow(parent, node)) parent.children.push(node);
    else roots.push(node);
  }
  return roots;
}

/** Whether a node stands below another: numbers are used again, and a tree has no circles. */
function isBelow(node: ProcessNode, other: ProcessNode): boolean {
  return node === other || other.children.some((child) => isBelow(node, child));
}

/** The trees that hold a process of the alert. */
export function treesOfAlert(roots: ProcessNode[]): ProcessNode[] {
  const holds = (node: ProcessNode): boolean => node.isOfAlert || node.children.some(holds);
  return roots.filter(holds);
}
