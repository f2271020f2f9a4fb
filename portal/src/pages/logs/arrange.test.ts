import { expect, it } from "vitest";
import type { Table } from "../../api/kusto";
import { cellText } from "../../model/sorting";
import { arrange, columnWidths, timespanSeconds } from "./arrange";

const table: Table = {
  name: "T",
  columns: [{ name: "n", type: "long" }, { name: "bag", type: "dynamic" }],
  rows: [[10, { a: 1 }], [9, null], [null, { b: "X" }]],
};

it("sorts by a column, nulls first, and back", () => {
  expect(arrange(table, { column: 0, isDescending: false }, {}, cellText).map((row) => row[0])).toEqual([null, 9, 10]);
  expect(arrange(table, { column: 0, isDescending: true }, {}, cellText).map((row) => row[0])).toEqual([10, 9, null]);
  expect(table.rows[0]?.[0]).toBe(10);
});

it("keeps rows whose cells hold a text, in any case and inside of dynamic values", () => {
  expect(arrange(table, undefined, { 1: '"x"' }, cellText)).toHaveLength(1);
  expect(arrange(table, undefined, { 0: "1", 1: "" }, cellText)).toHaveLength(1);
});

it("gives columns a width that fits and is bounded", () => {
  const [narrow, wide] = columnWidths({ ...table, rows: [[1, "x".repeat(500)]] });
  expect(narrow).toBe(80);
  expect(wide).toBe(420);
});

it("sorts what comes as text by what it means", () => {
  const typed = (type: string, values: string[]) => arrange({ name: "T", columns: [{ name: "c", type }], rows: values.map((value) => [value]) }, { column: 0, isDescending: false }, {}, cellText).flat();
  expect(typed("decimal", ["10.5", "9.1", "-1"])).toEqual(["-1", "9.1", "10.5"]);
  expect(typed("timespan", ["10.00:00:00", "2.00:00:00", "-00:00:01", "00:00:00.5"])).toEqual(["-00:00:01", "00:00:00.5", "2.00:00:00", "10.00:00:00"]);
  expect(timespanSeconds("1.02:03:04.5")).toBe(93784.5);
});

it("looks for what the grid shows", () => {
  const shown = () => "2026-03-02 10:42";
  expect(arrange(table, undefined, { 0: "03-02 10" }, shown)).toHaveLength(3);
});
