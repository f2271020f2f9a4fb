/** The rows of a grid in the order and the part that somebody wants to see. */

import type { Row, Table } from "../../api/kusto";
import { cellText, compareCells } from "../../model/sorting";

export interface Sorting {
  column: number;
  isDescending: boolean;
}

export function arrange(table: Table, sorting: Sorting | undefined, filters: Record<number, string>): Row[] {
  const wanted = Object.entries(filters)
    .filter(([, text]) => text !== "")
    .map(([column, text]): [number, string] => [Number(column), text.toLowerCase()]);
  const isWanted = (row: Row) => wanted.every(([column, text]) => cellText(row[column]).toLowerCase().includes(text));
  const rows = wanted.length > 0 ? table.rows.filter(isWanted) : table.rows;
  if (!sorting) return rows;
  const direction = sorting.isDescending ? -1 : 1;
  return [...rows].sort((a, b) => direction * compareCells(a[sorting.column], b[sorting.column]));
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
