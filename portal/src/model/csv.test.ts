import { expect, it } from "vitest";
import { toCsv } from "./csv";

it("writes fields that spreadsheets read as they are, and run no formula", () => {
  expect(toCsv(["a"], [['say "x", y'], ["=1+1"], [-3], [null], ["-4"]])).toBe('a\r\n"say ""x"", y"\r\n\'=1+1\r\n-3\r\n\r\n-4\r\n');
});
