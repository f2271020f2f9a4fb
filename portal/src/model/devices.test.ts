import { describe, expect, it } from "vitest";
import type { Device } from "../api/devices";
import { columnOf, inventoryCsv, matching, readInventoryFilter, writeInventoryFilter, type InventoryFilter } from "./devices";

const now = Date.parse("2026-03-02T00:00:00Z");
const device = (deviceId: string, more: Partial<Device> = {}): Device => ({
  deviceId,
  hub: "hub",
  isEnabled: true,
  createdTime: "2026-01-01T00:00:00Z",
  alerts: 0,
  activeRecommendations: 0,
  firstSeenTime: null,
  lastActivityTime: null,
  systemInformation: null,
  systemInformationTime: null,
  agentVersion: null,
  ...more,
});
const filter = (more: Partial<InventoryFilter>): InventoryFilter => ({ text: "", conditions: [], activity: "all", group: "", ...more });

describe("the inventory", () => {
  const devices = [
    device("pump-1", { lastActivityTime: "2026-03-01T00:00:00Z", systemInformation: { OSName: "Debian 12", OsArchitecture: "x86_64" } }),
    device("pump-2", { lastActivityTime: "2025-12-01T00:00:00Z", systemInformation: { OsDist: "Yocto", OsArch: "armv7l", Nics: [{ Info: [{ Ipv4Address: "192.0.2.7", Mac: "02:00" }] }] } }),
    device("pump-3"),
  ];
  const ids = (more: Partial<InventoryFilter>) => matching(devices, filter(more), now).map((one) => one.deviceId);

  it("knows either agent's names for the same", () => {
    expect(devices.map((one) => columnOf("distribution")?.value(one))).toEqual(["Debian 12", "Yocto", ""]);
    expect(columnOf("ipv4")?.value(devices[1] as Device)).toBe("192.0.2.7");
  });
  it("finds stale devices and those that never came", () => {
    expect(ids({ activity: "stale" })).toEqual(["pump-2"]);
    expect(ids({ activity: "seen" })).toEqual(["pump-1"]);
    expect(ids({ activity: "silent" })).toEqual(["pump-3"]);
  });
  it("is narrowed by text and by every condition", () => {
    expect(ids({ text: "ARM" })).toEqual(["pump-2"]);
    expect(ids({ conditions: [{ column: "distribution", text: "deb" }, { column: "name", text: "1" }] })).toEqual(["pump-1"]);
    expect(ids({ conditions: [{ column: "distribution", text: "deb" }, { column: "name", text: "2" }] })).toEqual([]);
  });
  it("is written as it is shown", () => {
    expect(inventoryCsv(devices.slice(0, 1), ["name", "architecture"])).toBe("Name,OS architecture\r\npump-1,x86_64\r\n");
  });
});

it("keeps the inventory's filter in the address", () => {
  const search = "text=a&activity=stale&group=hub&where=distribution%3Adeb%3A12&where=name%3A%26";
  expect(writeInventoryFilter(readInventoryFilter(search))).toBe(search);
  expect(readInventoryFilter("activity=odd&group=odd&where=odd%3Ax&where=name%3A")).toEqual({ text: "", conditions: [], activity: "all", group: "" });
});
