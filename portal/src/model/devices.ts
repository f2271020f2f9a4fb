/** The inventory: its columns, how it is narrowed and grouped, and as a file. */

import type { Device } from "../api/devices";
import { toCsv } from "./csv";
import { cellText } from "./sorting";
import { DAY } from "./time";

/** A device that has been silent for so long is stale. */
export const STALE_DAYS = 60;

type Member = string | number | null;

interface InventoryColumn {
  key: string;
  title: string;
  value(device: Device): Member;
  isTime?: boolean;
  isNumber?: boolean;
  /** Shown until somebody chooses otherwise. */
  isUsual?: boolean;
}

/** Names that either agent has for the same. */
function information(device: Device, ...names: string[]): string {
  const found = names.map((name) => device.systemInformation?.[name]).find((value) => value !== undefined && value !== null && value !== "");
  return found === undefined ? "" : cellText(found as never);
}

interface Nic {
  Info?: { Ipv4Address?: string; Mac?: string }[];
}

function addresses(device: Device, member: "Ipv4Address" | "Mac"): string {
  const nics = device.systemInformation?.Nics;
  if (!Array.isArray(nics)) return "";
  const all = (nics as Nic[]).flatMap((nic) => nic.Info ?? []).map((info) => info[member] ?? "");
  return [...new Set(all.filter(Boolean))].join(", ");
}

export const COLUMNS: InventoryColumn[] = [
  { key: "name", title: "Name", value: (device) => device.deviceId, isUsual: true },
  { key: "hub", title: "Hub", value: (device) => device.hub },
  { key: "source", title: "Data source", value: () => "MicroAgent" },
  { key: "class", title: "Device class", value: () => "IoT" },
  { key: "type", title: "Device type", value: () => "Miscellaneous" },
  { key: "subtype", title: "Device subtype", value: () => "Managed Device" },
  { key: "vendor", title: "Vendor", value: (device) => information(device, "HardwareVendor") },
  { key: "model", title: "Model", value: (device) => information(device, "HardwareModel") },
  { key: "ipv4", title: "IPv4 address", value: (device) => addresses(device, "Ipv4Address") },
  { key: "mac", title: "MAC address", value: (device) => addresses(device, "Mac") },
  { key: "architecture", title: "OS architecture", value: (device) => information(device, "OsArch", "OsArchitecture"), isUsual: true },
  { key: "distribution", title: "OS distribution", value: (device) => information(device, "OsDist", "OSName"), isUsual: true },
  { key: "platform", title: "OS platform", value: (device) => information(device, "OsPlatform") || (device.systemInformation ? "Linux" : "") },
  { key: "version", title: "OS version", value: (device) => information(device, "OsVersion", "OSVersion"), isUsual: true },
  { key: "host", title: "Host name", value: (device) => information(device, "HostName") },
  { key: "agent", title: "Agent version", value: (device) => device.agentVersion ?? "" },
  { key: "alerts", title: "Alerts, 7 days", value: (device) => device.alerts, isNumber: true, isUsual: true },
  { key: "recommendations", title: "Recommendations", value: (device) => device.activeRecommendations, isNumber: true, isUsual: true },
  { key: "state", title: "May send", value: (device) => (device.isEnabled ? "Yes" : "No") },
  { key: "created", title: "Created", value: (device) => device.createdTime, isTime: true },
  { key: "first", title: "First seen", value: (device) => device.firstSeenTime, isTime: true },
  { key: "last", title: "Last activity", value: (device) => device.lastActivityTime, isTime: true, isUsual: true },
  { key: "updated", title: "Last update", value: (device) => device.systemInformationTime, isTime: true },
];

export const USUAL_COLUMNS = COLUMNS.filter((column) => column.isUsual).map((column) => column.key);

export function columnOf(key: string): InventoryColumn | undefined {
  return COLUMNS.find((column) => column.key === key);
}

/** One condition: the value of a column holds a text, in any case. */
export interface Condition {
  column: string;
  text: string;
}

export interface InventoryFilter {
  text: string;
  conditions: Condition[];
  activity: "all" | "seen" | "stale" | "silent";
  group: string;
}

/** A filter as it stands in an address. */
export function readInventoryFilter(search: string): InventoryFilter {
  const parameters = new URLSearchParams(search);
  const activity = parameters.get("activity") ?? "";
  const conditions = parameters.getAll("where").map((text): Condition => {
    const at = text.indexOf(":");
    return { column: text.slice(0, Math.max(at, 0)), text: text.slice(at + 1) };
  });
  return {
    text: parameters.get("text") ?? "",
    conditions: conditions.filter((condition) => columnOf(condition.column) && condition.text),
    activity: activity in ACTIVITIES ? (activity as InventoryFilter["activity"]) : "all",
    group: columnOf(parameters.get("group") ?? "") ? (parameters.get("group") ?? "") : "",
  };
}

export function writeInventoryFilter(filter: InventoryFilter): string {
  const parameters = new URLSearchParams();
  if (filter.text) parameters.set("text", filter.text);
  if (filter.activity !== "all") parameters.set("activity", filter.activity);
  if (filter.group) parameters.set("group", filter.group);
  for (const condition of filter.conditions) parameters.append("where", `${condition.column}:${condition.text}`);
  return parameters.toString();
}

export const ACTIVITIES: Record<InventoryFilter["activity"], string> = {
  all: "All devices",
  seen: `Seen within ${STALE_DAYS} days`,
  stale: `Silent for ${STALE_DAYS} days`,
  silent: "Never heard of",
};

export function isStale(device: Device, now: number): boolean {
  return device.lastActivityTime !== null && now - Date.parse(device.lastActivityTime) > STALE_DAYS * DAY;
}

/** The devices that a filter keeps. */
export function matching(devices: Device[], filter: InventoryFilter, now: number): Device[] {
  const wanted = filter.text.toLowerCase();
  const holds = (device: Device, key: string, text: string) => String(columnOf(key)?.value(device) ?? "").toLowerCase().includes(text.toLowerCase());
  const isOfActivity = (device: Device) => {
    switch (filter.activity) {
      case "all":
        return true;
      case "seen":
        return device.lastActivityTime !== null && !isStale(device, now);
      case "stale":
        return isStale(device, now);
      case "silent":
        return device.lastActivityTime === null;
    }
  };
  return devices.filter(
    (device) =>
      isOfActivity(device) &&
      (wanted === "" || COLUMNS.some((column) => String(column.value(device) ?? "").toLowerCase().includes(wanted))) &&
      filter.conditions.every((condition) => holds(device, condition.column, condition.text)),
  );
}

export function inventoryCsv(devices: Device[], keys: string[]): string {
  const columns = keys.map(columnOf).filter((column) => column !== undefined);
  return toCsv(
    columns.map((column) => column.title),
    devices.map((device) => columns.map((column) => column.value(device))),
  );
}
