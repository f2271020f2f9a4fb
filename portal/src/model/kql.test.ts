import { describe, expect, it } from "vitest";
import { nameOf, quote, statementAt, statements } from "./kql";

describe("quote", () => {
  it("gives a literal that cannot be left", () => {
    expect(quote('a"b\\c')).toBe('"a\\"b\\\\c"');
    expect(quote("one\ntwo\u0007\u2028")).toBe('"one\\ntwo\\u0007\\u2028"');
    expect(quote("pump-07 ä")).toBe('"pump-07 ä"');
  });
});

describe("nameOf", () => {
  it("brackets what is no plain name", () => {
    expect(nameOf("SecurityAlert")).toBe("SecurityAlert");
    expect(nameOf("my table")).toBe('["my table"]');
  });
});

describe("statements", () => {
  const texts = (text: string) => statements(text).map((statement) => statement.text);

  it("stand apart by empty lines", () => {
    expect(texts("A | count\n\nB\n| take 1\n \n\nC")).toEqual(["A | count", "B\n| take 1", "C"]);
  });

  it("are not parted inside strings over several lines", () => {
    expect(texts("print ```a\n\nb```\n\nB")).toEqual(["print ```a\n\nb```", "B"]);
  });

  it("keep what follows a let with it", () => {
    expect(texts("let a = 1;\n\nprint a\n\nB")).toEqual(["let a = 1;\n\nprint a", "B"]);
    expect(texts("let a = 1; // why\n\nprint a")).toEqual(["let a = 1; // why\n\nprint a"]);
  });

  it("are not confused by quotes, comments and escapes", () => {
    expect(texts("// it's\nprint 'a\\'b'\n\nB")).toEqual(["// it's\nprint 'a\\'b'", "B"]);
    expect(texts('print @"c:\\"\n\nB')).toEqual(['print @"c:\\"', "B"]);
    expect(texts('print @"say ""x"""\n\nB')).toEqual(['print @"say ""x"""', "B"]);
    expect(texts("print 'open\n\nB")).toEqual(["print 'open", "B"]);
  });

  it("know where they are", () => {
    const text = "\n\n  A\n\nB ";
    for (const statement of statements(text)) expect(text.slice(statement.start, statement.end)).toBe(statement.text);
  });
});

describe("statementAt", () => {
  const text = "A\n\nB | take 1\n\n\nC";
  it("is the one under the cursor", () => {
    expect(statementAt(text, 0)?.text).toBe("A");
    expect(statementAt(text, 5)?.text).toBe("B | take 1");
    expect(statementAt(text, text.length)?.text).toBe("C");
  });
  it("is the one before an empty line", () => {
    expect(statementAt(text, 14)?.text).toBe("B | take 1");
    expect(statementAt("\n\n\nA", 0)?.text).toBe("A");
    expect(statementAt("", 0)).toBeUndefined();
  });
});
