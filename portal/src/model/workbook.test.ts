import { expect, it } from "vitest";
import { isParameterName, textBlocks, withParameters, type Parameter } from "./workbook";

const parameters: Parameter[] = [
  { name: "device", label: "Device", kind: "text", value: "" },
  { name: "span", label: "Time", kind: "span", value: "7d" },
];

it("gives queries their parameters as literals, whatever somebody writes", () => {
  const text = withParameters("T | where d == device", parameters, { device: '"; drop', span: "1d; .drop table T" });
  expect(text).toBe('let device = "\\"; drop";\nlet span = 7d;\nT | where d == device');
  expect(withParameters("T", parameters, { span: "30d" })).toContain("let span = 30d;");
});

it("shows headings, lists and paragraphs", () => {
  expect(textBlocks("# One\ntwo\nthree\n\n- a\n- b\n\nfour <b>")).toEqual([
    { kind: "heading", lines: ["One"] },
    { kind: "paragraph", lines: ["two three"] },
    { kind: "list", lines: ["a", "b"] },
    { kind: "paragraph", lines: ["four <b>"] },
  ]);
});

it("knows names that queries can read", () => {
  expect(["span", "_a1", "1a", "a-b", ""].map(isParameterName)).toEqual([true, true, false, false, false]);
});
