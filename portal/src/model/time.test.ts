import { describe, expect, it } from "vitest";
import { betweenOf, DAY, formatBytes, formatDuration, formatTime, readSpan, relativeTime, spanCondition, spanLength, writeSpan } from "./time";

describe("formatTime", () => {
  it("shows a moment in UTC", () => {
    expect(formatTime("2026-03-02T10:42:07.1234567Z", "utc")).toBe("2026-03-02 10:42:07");
  });
  it("shows what is no time as it is", () => {
    expect(formatTime("soon", "utc")).toBe("soon");
    expect(formatTime(null, "utc")).toBe("");
  });
});

describe("spans", () => {
  it("are read as they are written", () => {
    for (const text of ["1h", "7d", "365d", "2026-03-01T00:00:00.000Z..2026-03-02T00:00:00.000Z"]) {
      expect(writeSpan(readSpan(text))).toBe(text);
    }
  });
  it("are a week where nothing can be read", () => {
    for (const text of [null, "", "x", "a..b"]) expect(readSpan(text)).toEqual({ lastMilliseconds: 7 * DAY });
  });
  it("become conditions", () => {
    expect(spanCondition(readSpan("1h"))).toBe("TimeGenerated > ago(1h)");
    expect(spanCondition(readSpan("24h"))).toBe("TimeGenerated > ago(24h)");
    expect(spanCondition(readSpan("30d"), "TimeStamp")).toBe("TimeStamp > ago(30d)");
    const between = readSpan("2026-03-01T00:00:00Z..2026-03-02T00:00:00Z");
    expect(spanCondition(between)).toBe("TimeGenerated between (datetime(2026-03-01T00:00:00.000Z) .. datetime(2026-03-02T00:00:00.000Z))");
    expect(spanLength(between)).toBe(DAY);
  });
  it("are between two moments at a time", () => {
    const now = Date.parse("2026-03-02T12:00:00Z");
    expect(betweenOf(readSpan("1h"), now)).toEqual({ from: "2026-03-02T11:00:00.000Z", to: "2026-03-02T12:00:00.000Z" });
    const between = { from: "2026-03-01T00:00:00.000Z", to: "2026-03-02T00:00:00.000Z" };
    expect(betweenOf(between, now)).toEqual(between);
  });
});

it("says how long ago", () => {
  const now = Date.parse("2026-03-02T12:00:00Z");
  expect(relativeTime("2026-03-02T11:59:50Z", now)).toBe("just now");
  expect(relativeTime("2026-03-02T09:00:00Z", now)).toBe("3 hours ago");
  expect(relativeTime("2026-03-01T12:00:00Z", now)).toBe("yesterday");
});

it("shows sizes and durations in units that fit", () => {
  expect([formatBytes(12), formatBytes(3_400_000)]).toEqual(["12 B", "3.4 MB"]);
  expect([formatDuration(0.0123), formatDuration(2.34), formatDuration(75)]).toEqual(["12 ms", "2.3 s", "1 min 15 s"]);
});
