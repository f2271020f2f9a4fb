/** The rows of a grid in the order and the part that somebody wants to see. */

import type { Cell, Column, Row, Table } from "../../api/kusto";
import { cellText, compareCells } from "../../model/sorting";

export interface Sorting {
  column: number;
  isDescending: boolean;
}

/** `shown` is a cell as the grid shows it: what is seen is what is looked for. */
export function arrange(table: Table, sorting: Sorting | undefined, filters: Record<number, string>, shown: (cell: Cell, column: Column) => string): Row[] {
  const wanted = Object.entries(filters)
    .filter(([, text]) => text !== "")
    .map(([column, text]): [number, string] => [Number(column), text.toLowerCase()]);
  const isWanted = (row: Row) => wanted.every(([place, text]) => {
    const column = table.columns[place];
    return column !== undefined && shown(row[place] ?? null, column).toLowerCase().includes(text);
  });
  const rows = wanted.length > 0 ? table.rows.filter(isWanted) : table.rows;
  if (!sorting) return rows;
  const direction = sorting.isDescending ? -1 : 1;
  const value = sortValue(table.columns[sorting.column]?.type ?? "");
  return [...rows].sort((a, b) => direction * compareCells(value(a[sorting.column] ?? null), value(b[sorting.column] ?? null)));
}

/** What cells of a type are sorted by: some numbers and all timespans come as texts. */
function sortValue(type: string): (cell: Cell) => Cell {
  if (["decimal", "long", "int", "real"].includes(type)) return (cell) => (typeof cell === "string" && cell !== "" ? Number(cell) : cell);
  if (type === "timespan") return (cell) => (typeof cell === "string" ? timespanSeconds(cell) : cell);
  return (cell) => cell;
}

/** Seconds of `-1.02:03:04.5678901`. */
export function timespanSeconds(text: string): number {
  const [, sign, days, hours, minutes, seconds] = /^(-?)(?:(\d+)\.)?(\d+):(\d+):(\d+(?:\.\d+)?)$/.exec(text) ?? [];
  const size = ((Number(days ?? 0) * 24 + Number(hours ?? 0)) * 60 + Number(minutes ?? 0)) * 60 + Number(seconds ?? 0);
  return sign === "-" ? -size : size;
}

const CHARACTER_PIXELS = 7;
const WIDTH_MIN = 80;
const WIDTH_MAX = 420;
/** Rows that the width of a column is taken from. */
const SAMPLED_ROWS = 100;

/** How wide each column is, in pixels, by its name and its first values. */
export function columnWidths(table: Table): number[] {
  return table.columns.map((column, place) => {
    const lengths = table.rows.slice(0, SAMPLED_ROWS).map((row) => cellText(row[place]).length);
    const characters = Math.max(column.name.length + 3, ...lengths);
    return Math.min(Math.max(characters * CHARACTER_PIXELS + 20, WIDTH_MIN), WIDTH_MAX);
  });
}
