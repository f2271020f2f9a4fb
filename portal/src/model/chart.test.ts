import { describe, expect, it } from "vitest";
import type { Table } from "../api/kusto";
import { chartOption, kindOf, plot, POINTS_MAX, type Plotted } from "./chart";

const table: Table = {
  name: "PrimaryResult",
  columns: [
    { name: "TimeGenerated", type: "datetime" },
    { name: "AlertSeverity", type: "string" },
    { name: "Alerts", type: "long" },
  ],
  rows: [
    ["2026-03-02T00:00:00Z", "High", 3],
    ["2026-03-01T00:00:00Z", "High", 1],
    ["2026-03-01T00:00:00Z", "Low", 2],
  ],
};

describe("plot", () => {
  it("takes the time for x, numbers for y, and texts for series", () => {
    const plotted = plot(table, "timechart", undefined) as Plotted;
    expect(plotted.xColumn.name).toBe("TimeGenerated");
    expect(plotted.series.map((series) => [series.name, series.points.map(([, y]) => y)])).toEqual([["High", [1, 3]], ["Low", [2]]]);
  });
  it("does as render says", () => {
    const plotted = plot(table, "columnchart", { kind: "columnchart", xColumn: "AlertSeverity", yColumns: ["Alerts"], series: [] }) as Plotted;
    expect(plotted.xColumn.name).toBe("AlertSeverity");
  });
  it("says why it cannot", () => {
    expect(plot({ ...table, columns: table.columns.slice(0, 2) }, "timechart", undefined)).toMatch(/no column of numbers/);
    const rows = Array.from({ length: POINTS_MAX + 1 }, () => table.rows[0] ?? []);
    expect(plot({ ...table, rows }, "timechart", undefined)).toMatch(/More than/);
  });
});

it("stacks columns over time, and what render asks to stack", () => {
  const plotted = plot(table, "columnchart", undefined) as Plotted;
  const series = (form?: string) => (chartOption(plotted, "columnchart", form ? { kind: "columnchart", form } : undefined, "utc").series as { stack?: string }[])[0];
  expect(series()?.stack).toBe("all");
  expect(series("unstacked")?.stack).toBeUndefined();
});

it("sums the slices of a pie", () => {
  const plotted = plot(table, "piechart", undefined) as Plotted;
  const [pie] = chartOption(plotted, "piechart", undefined, "utc").series as { data: { name: string; value: number }[] }[];
  expect(pie?.data).toMatchObject([{ name: "High", value: 4 }, { name: "Low", value: 2 }]);
});

it("knows the kinds of render by other names too", () => {
  expect(kindOf({ kind: "stackedareachart" })).toBe("areachart");
  expect(kindOf({ kind: "table" })).toBeUndefined();
  expect(kindOf(undefined)).toBeUndefined();
});
