/** Devices and hubs, as our own interface tells of them. */

import { getAll, getJson, send } from "./http";

export interface Hub {
  id: string;
  name: string;
  deviceCount: number;
}

export interface Device {
  deviceId: string;
  hub: string;
  isEnabled: boolean;
  createdTime: string;
  alerts: number;
  activeRecommendations: number;
  firstSeenTime: string | null;
  lastActivityTime: string | null;
  /** What the newest SystemInformation of the device says, and when. */
  systemInformation: Record<string, unknown> | null;
  systemInformationTime: string | null;
  agentVersion: string | null;
}

export interface NewDevice {
  deviceId: string;
  primaryKey: string;
}

export interface TimelineEntry {
  time: string;
  /** When it was stored: the day that its alert is counted on. */
  recorded: string;
  kind: "alert" | "recommendation" | "event";
  name: string;
  title: string;
  severity: string;
  state: string;
  details: unknown;
  id: string;
}

/** So many entries of a device's timeline are shown at most: the newest. */
export const TIMELINE_MAX = 500;

/** The devices of hubs, given by name; of them that of an id, where one is given. */
export async function loadDevices(hubs: string[], signal?: AbortSignal, id?: string): Promise<Device[]> {
  const lists = await Promise.all(
    hubs.map(async (hub) => {
      const parameters = new URLSearchParams({ hub, ...(id ? { id } : {}) });
      const devices = await getAll<Omit<Device, "hub">>(`/api/v1/devices?${parameters}`, signal, 100_000);
      return devices.map((device) => ({ ...device, hub }));
    }),
  );
  return lists.flat();
}

export async function createDevice(hub: string, id: string): Promise<NewDevice> {
  return send<NewDevice>("PUT", `/api/v1/devices/${encodeURIComponent(id)}?hub=${encodeURIComponent(hub)}`);
}

export async function setEnabled(hub: string, id: string, isEnabled: boolean): Promise<void> {
  await send("PATCH", `/api/v1/devices/${encodeURIComponent(id)}?hub=${encodeURIComponent(hub)}`, { isEnabled });
}

export async function deleteDevice(hub: string, id: string): Promise<void> {
  await send("DELETE", `/api/v1/devices/${encodeURIComponent(id)}?hub=${encodeURIComponent(hub)}`);
}

export async function loadTimeline(hub: string, id: string, from: string, to: string, signal?: AbortSignal): Promise<TimelineEntry[]> {
  const parameters = new URLSearchParams({ hub, from, to, top: String(TIMELINE_MAX) });
  const answer = await getJson<{ value: TimelineEntry[] }>(`/api/v1/devices/${encodeURIComponent(id)}/timeline?${parameters}`, signal);
  return answer.value;
}
