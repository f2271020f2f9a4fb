import { expect, it } from "vitest";
import type { Table } from "../../api/kusto";
import { arrange, columnWidths } from "./arrange";

const table: Table = {
  name: "T",
  columns: [{ name: "n", type: "long" }, { name: "bag", type: "dynamic" }],
  rows: [[10, { a: 1 }], [9, null], [null, { b: "X" }]],
};

it("sorts by a column, nulls first, and back", () => {
  expect(arrange(table, { column: 0, isDescending: false }, {}).map((row) => row[0])).toEqual([null, 9, 10]);
  expect(arrange(table, { column: 0, isDescending: true }, {}).map((row) => row[0])).toEqual([10, 9, null]);
  expect(table.rows[0]?.[0]).toBe(10);
});

it("keeps rows whose cells hold a text, in any case and inside of dynamic values", () => {
  expect(arrange(table, undefined, { 1: '"x"' })).toHaveLength(1);
  expect(arrange(table, undefined, { 0: "1", 1: "" })).toHaveLength(1);
});

it("gives columns a width that fits and is bounded", () => {
  const [narrow, wide] = columnWidths({ ...table, rows: [[1, "x".repeat(500)]] });
  expect(narrow).toBe(80);
  expect(wide).toBe(420);
});
