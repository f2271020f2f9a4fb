import { expect, it } from "vitest";
import { ApiError } from "./http";
import { findingsOf, parse, readFrames } from "./kusto";

const frames = [
  { FrameType: "DataSetHeader" },
  {
    FrameType: "DataTable",
    TableKind: "QueryProperties",
    Columns: [],
    Rows: [[1, "Visualization", JSON.stringify({ Visualization: "columnchart", Title: "T", YColumns: "a, b", Legend: "hidden", Kind: "stacked", Ymin: "NaN", Ymax: 5 })]],
  },
  { FrameType: "DataTable", TableKind: "PrimaryResult", TableName: "PrimaryResult", Columns: [{ ColumnName: "a", ColumnType: "long" }], Rows: [[1], [2], { OneApiErrors: [] }] },
  {
    FrameType: "DataTable",
    TableKind: "QueryCompletionInformation",
    Columns: [{ ColumnName: "EventTypeName", ColumnType: "string" }, { ColumnName: "Payload", ColumnType: "string" }],
    Rows: [["QueryResourceConsumption", '{"ExecutionTime":0.5}']],
  },
  { FrameType: "DataSetCompletion", HasErrors: true, OneApiErrors: [{ error: { "@message": "cut off" } }] },
];

it("reads results, what render asks for, statistics and why rows are missing", () => {
  const answer = readFrames(frames);
  expect(answer.tables[0]).toMatchObject({ columns: [{ name: "a", type: "long" }], rows: [[1], [2]] });
  expect(answer.tables[0]?.visualization).toEqual({ kind: "columnchart", title: "T", yColumns: ["a", "b"], form: "stacked", isLegendHidden: true, yMax: 5 });
  expect(answer.statistics).toMatchObject({ rows: 2, serverSeconds: 0.5 });
  expect(answer.failure).toBe("cut off");
});

it("reads whole numbers as they are written", () => {
  expect(parse('[1,2.5,"9007199254740993",-9007199254740991]')).toEqual([1, 2.5, "9007199254740993", -9007199254740991]);
  // Where the engine tells how a number was written.
  const [long] = parse("[9007199254740993]") as unknown[];
  expect(["9007199254740993", 9007199254740992]).toContain(long);
});

it("reads where a query is wrong", () => {
  const findings = [{ message: "no such column", start: 3, end: 8 }];
  expect(findingsOf(new ApiError(400, "SEM0100", "m", { "@findings": findings }))).toEqual(findings);
  expect(findingsOf(new Error("x"))).toEqual([]);
});
