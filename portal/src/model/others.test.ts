import { describe, expect, it } from "vitest";
import { pageBase, solutionBase, solutionIn } from "../app/base";
import { readHistory, remember } from "./history";
import { deviceAddress, logsAddress } from "./links";
import { installCommands, isDeviceId, shellQuote } from "./onboarding";
import { daySeries } from "./overview";
import { compareCells } from "./sorting";
import { DAY } from "./time";

describe("the history of queries", () => {
  const storage = () => {
    const kept = new Map<string, string>();
    return {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => void kept.set(key, value),
    };
  };
  it("has each query once, the newest first, and no more than fifty", () => {
    const own = storage();
    for (let at = 0; at < 60; at += 1) remember({ query: `print ${at}`, database: "d", time: String(at) }, own);
    remember({ query: "print 30", database: "d", time: "x" }, own);
    const history = readHistory(own);
    expect(history).toHaveLength(50);
    expect(history[0]).toEqual({ query: "print 30", database: "d", time: "x" });
    expect(history.filter((entry) => entry.query === "print 30")).toHaveLength(1);
  });
  it("is empty where what was kept is broken", () => {
    expect(readHistory({ getItem: () => "{" })).toEqual([]);
  });
});

describe("addresses", () => {
  it("say of which solution they are, where there are several", () => {
    const own = { group: "plant 7", name: "a" };
    expect(solutionBase(own)).toBe("/solutions/plant%207/a");
    expect(solutionIn(`${solutionBase(own)}/alerts`)).toEqual(own);
    expect(solutionIn("/solutions/plant")).toBeUndefined();
    expect(solutionIn("/alerts")).toBeUndefined();
    expect(pageBase("/ui/solutions/plant%207/a/alerts/x")).toBe("/ui/solutions/plant%207/a");
    expect(pageBase("/ui/alerts")).toBe("/ui");
  });
  it("say of which hub a device is", () => {
    const hubs = ["/subscriptions/s/resourceGroups/g/providers/Microsoft.Devices/IotHubs/north"];
    expect(deviceAddress(hubs, "a/b", hubs[0]?.toUpperCase())).toBe("/devices/a%2Fb?hub=north");
    expect(deviceAddress(hubs, "a", "/of/another/solution", { span: "7d" })).toBe("/devices/a?span=7d");
    expect(deviceAddress(hubs, "a", undefined)).toBe("/devices/a");
  });
  it("carry a query in the fragment", () => {
    expect(logsAddress("T | count", "w")).toBe("/logs#query=T+%7C+count&workspace=w");
  });
});

describe("onboarding", () => {
  it("writes commands that a shell reads as they are meant", () => {
    expect(shellQuote("a'b")).toBe(`'a'\\''b'`);
    const text = installCommands({ address: "https://hub.example:8443", hub: "hub", device: "pump-07", key: "a2V5", authority: "PEM\n" });
    expect(text).toContain("'HostName=hub.example:8443;DeviceId=pump-07;SharedAccessKey=a2V5'");
    expect(text).toContain("<<'END'\nPEM\nEND");
    expect(installCommands({ address: "https://h", hub: "other", device: "d", key: "k", authority: "" })).toContain("HostName=other.h;");
  });
  it("knows the ids that hubs take", () => {
    expect(["pump-07", "a b", "", "x".repeat(129), "é"].map(isDeviceId)).toEqual([true, false, false, false, false]);
  });
});

it("gives every day its count, zero where there was nothing", () => {
  const now = Date.parse("2026-03-03T10:00:00Z");
  const { days, series } = daySeries([{ Day: "2026-03-02T00:00:00Z", AlertSeverity: "High", Count: 3 }], { lastMilliseconds: 2 * DAY }, now);
  expect(days).toEqual(["2026-03-01", "2026-03-02", "2026-03-03"]);
  expect(series.get("High")).toEqual([0, 3, 0]);
  expect(series.has("Informational")).toBe(false);
  const long = daySeries([{ Day: "2020-01-01T00:00:00Z", AlertSeverity: "Low", Count: 2 }], { from: "0001-01-01T00:00:00Z", to: "2026-01-01T00:00:00Z" }, now);
  expect(long.days.length).toBeLessThanOrEqual(121);
  expect(long.series.get("Low")?.reduce((sum, count) => sum + count)).toBe(2);
});

it("orders nulls first, and numbers as numbers", () => {
  expect([10, null, 9, 2].sort(compareCells)).toEqual([null, 2, 9, 10]);
  expect(compareCells("a", "b")).toBeLessThan(0);
});
