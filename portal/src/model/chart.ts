/** Tables as plots: what `render` asks for, and what a person chooses. */

import type { Column, Row, Table, Visualization } from "../api/kusto";
import { SEVERITY_COLORS } from "./colors";
import { cellText } from "./sorting";
import { formatTime, type Zone } from "./time";

export const CHARTS = {
  timechart: "Lines over time",
  linechart: "Lines",
  areachart: "Areas",
  columnchart: "Columns",
  barchart: "Bars",
  piechart: "Pie",
  scatterchart: "Points",
} as const;
export type ChartKind = keyof typeof CHARTS;

const NUMBERS = ["int", "long", "real", "decimal"];

/** What is not in `CHARTS` under its own name. */
const ALIASES: Record<string, ChartKind> = {
  stackedareachart: "areachart",
  anomalychart: "timechart",
  ladderchart: "barchart",
  timepivot: "timechart",
};

/** The plot that `render` asks for, where it is one that can be drawn. */
export function kindOf(visualization: Visualization | undefined): ChartKind | undefined {
  const kind = visualization?.kind ?? "";
  if (kind in CHARTS) return kind as ChartKind;
  return ALIASES[kind];
}

export interface Series {
  name: string;
  points: [string | number | null, number | null][];
}

export interface Plotted {
  xColumn: Column;
  isTime: boolean;
  isNumeric: boolean;
  series: Series[];
}

/** More points than this are not drawn: a plot of them is slow, and nobody tells them apart. */
export const POINTS_MAX = 20_000;
const SERIES_MAX = 50;

/** Why a table cannot be drawn, or what of it is. */
export function plot(table: Table, kind: ChartKind, visualization: Visualization | undefined): Plotted | string {
  const { columns, rows } = table;
  const asked = columns.find((column) => column.name === visualization?.xColumn);
  const time = columns.find((column) => column.type === "datetime");
  const xColumn = asked ?? (kind === "piechart" ? columns.find((column) => column.type === "string") : time) ?? columns[0];
  if (!xColumn) return "There are no columns to draw.";
  const isMeasure = (column: Column) =>
    column !== xColumn && NUMBERS.includes(column.type) && (visualization?.yColumns?.includes(column.name) ?? true) && !(visualization?.series?.includes(column.name) ?? false);
  const measures = columns.filter(isMeasure);
  if (measures.length === 0) return "There is no column of numbers to draw.";
  const groups = visualization?.series
    ? columns.filter((column) => visualization.series?.includes(column.name))
    : columns.filter((column) => column !== xColumn && !NUMBERS.includes(column.type) && column.type !== "datetime" && column.type !== "dynamic");
  if (rows.length * measures.length > POINTS_MAX) return `More than ${POINTS_MAX} points are not drawn. Summarize the rows first.`;
  const place = new Map(columns.map((column, at) => [column, at]));
  const cell = (row: Row, column: Column) => row[place.get(column) ?? -1] ?? null;
  const series = new Map<string, Series>();
  for (const row of rows) {
    for (const measure of measures) {
      const group = groups.map((column) => cellText(cell(row, column))).join(", ");
      const name = measures.length > 1 && group ? `${group}: ${measure.name}` : group || measure.name;
      const known = series.get(name) ?? { name, points: [] };
      const value = Number(cell(row, measure));
      const x = cell(row, xColumn);
      known.points.push([typeof x === "number" ? x : x === null ? null : cellText(x), cell(row, measure) === null || Number.isNaN(value) ? null : value]);
      series.set(name, known);
    }
  }
  if (series.size > SERIES_MAX && kind !== "piechart") return `More than ${SERIES_MAX} series are not drawn. Group the rows by less.`;
  const all = [...series.values()];
  const isTime = xColumn.type === "datetime";
  const isNumeric = NUMBERS.includes(xColumn.type);
  if (isTime || (isNumeric && kind !== "columnchart" && kind !== "barchart")) {
    for (const one of all) one.points.sort((a, b) => (a[0] ?? "") < (b[0] ?? "") ? -1 : 1);
  }
  return { xColumn, isTime, isNumeric, series: all };
}

/** Severities have colours of their own, everywhere. */
function colored(name: string): { itemStyle?: { color: string } } {
  const color = SEVERITY_COLORS[name];
  return color ? { itemStyle: { color } } : {};
}

/** A moment without what is zero at its end: `2026-03-02`, `2026-03-02 10:00`. */
function shortTime(text: string, zone: Zone): string {
  return formatTime(text, zone).replace(/:00$/, "").replace(/ 00:00$/, "");
}

/** The option of ECharts that draws it. */
export function chartOption(plotted: Plotted, kind: ChartKind, visualization: Visualization | undefined, zone: Zone): Record<string, unknown> {
  const { xColumn, series, isTime, isNumeric } = plotted;
  const form = visualization?.form ?? (visualization?.kind === "stackedareachart" ? "stacked" : "");
  const isStacked = form.startsWith("stacked") || (form === "" && (kind === "columnchart" || kind === "barchart") && series.length > 1 && isTime);
  const title = visualization?.title ? { title: { text: visualization.title, textStyle: { fontSize: 14 } } } : {};
  if (kind === "piechart") {
    const total = new Map<string, number>();
    for (const one of series) {
      for (const [x, y] of one.points) {
        const name = String(x ?? one.name);
        total.set(name, (total.get(name) ?? 0) + (y ?? 0));
      }
    }
    const data = [...total].map(([name, value]) => ({ name, value, ...colored(name) }));
    return { ...title, tooltip: { trigger: "item" }, series: [{ type: "pie", radius: "70%", data }] };
  }
  const isSideways = kind === "barchart";
  // Columns stand beside each other, whatever they are of.
  const isCategory = kind === "columnchart" || kind === "barchart" || (!isTime && !isNumeric);
  const categories = isCategory ? [...new Set(series.flatMap((one) => one.points.map(([x]) => String(x ?? ""))))] : [];
  if (isTime) categories.sort();
  const xAxis = { name: visualization?.xTitle ?? xColumn.name, nameLocation: "middle", nameGap: 26 };
  const base = isCategory ? { ...xAxis, type: "category", data: isTime ? categories.map((time) => shortTime(time, zone)) : categories } : { ...xAxis, type: isTime ? "time" : "value", scale: true };
  const values = {
    type: "value",
    name: visualization?.yTitle,
    ...(visualization?.yMin === undefined ? {} : { min: visualization.yMin }),
    ...(visualization?.yMax === undefined ? {} : { max: visualization.yMax }),
  };
  const byCategory = (one: Series) => {
    const known = new Map(one.points.map(([x, y]) => [String(x ?? ""), y]));
    return categories.map((category) => known.get(category) ?? null);
  };
  const drawn = series.map((one) => ({
    name: one.name,
    ...colored(one.name),
    barMaxWidth: 60,
    type: kind === "columnchart" || kind === "barchart" ? "bar" : kind === "scatterchart" ? "scatter" : "line",
    ...(isStacked ? { stack: "all" } : {}),
    ...(kind === "areachart" ? { areaStyle: {} } : {}),
    showSymbol: one.points.length < 40,
    data: isCategory ? byCategory(one) : one.points.map(([x, y]) => (isSideways ? [y, x] : [x, y])),
  }));
  const hasLegend = !visualization?.isLegendHidden && (series.length > 1 || series[0]?.name !== xColumn.name);
  return {
    ...title,
    useUTC: zone === "utc",
    grid: { left: isSideways ? 160 : 64, right: 24, top: hasLegend ? 56 : 32, bottom: 48 },
    tooltip: { trigger: kind === "scatterchart" ? "item" : "axis" },
    ...(hasLegend ? { legend: { type: "plain", top: visualization?.title ? 22 : 0 } } : {}),
    xAxis: isSideways ? values : base,
    yAxis: isSideways ? { ...base, nameGap: 120, inverse: true } : values,
    series: drawn,
  };
}
