import { describe, expect, it } from "vitest";
import {
  aggregateName,
  alertListQuery,
  dayRows,
  entitiesOf,
  isNew,
  members,
  readAlertFilter,
  stateLines,
  textList,
  writeAlertFilter,
} from "./alerts";

describe("the filter", () => {
  it("is the same after it stood in an address", () => {
    const search = "span=30d&severity=High%2CLow&text=a%22b&device=pump-07&type=IoT_X&state=all&group=device";
    expect(writeAlertFilter(readAlertFilter(search))).toBe(search);
    expect(writeAlertFilter(readAlertFilter(""))).toBe("");
  });
  it("passes over what it does not know", () => {
    const filter = readAlertFilter("severity=Dire&state=odd&group=odd&span=odd");
    expect(filter).toMatchObject({ severities: [], state: "open", grouping: "day", span: { lastMilliseconds: 604_800_000 } });
  });
});

describe("the list's query", () => {
  it("quotes whatever a person writes", () => {
    const query = alertListQuery({ ...readAlertFilter(""), text: '") | take 1 //' }, { hubs: ["/h"], dismissed: [] });
    expect(query).toContain('DisplayName contains "\\") | take 1 //"');
  });
  it("leaves out what is dismissed, in every grouping", () => {
    for (const group of ["day", "type", "device", "severity", "none"]) {
      const query = alertListQuery(readAlertFilter(`group=${group}`), { hubs: ["/h"], dismissed: ["A/2026-03-02"] });
      expect(query).toContain('!in ("A/2026-03-02")');
    }
  });
});

it("asks for nothing about dismissals where there are none", () => {
  expect(stateLines("open", [])).toBe("");
  expect(stateLines("all", ["A/2026-03-02"])).toBe("");
  expect(stateLines("dismissed", [])).toContain('in ("")');
});

it("bounds a day of UTC", () => {
  const rows = dayRows(["/h"], "IoT_X", "2026-02-28T00:00:00Z");
  expect(rows).toContain("TimeGenerated >= datetime(2026-02-28T00:00:00.000Z) and TimeGenerated < datetime(2026-03-01T00:00:00.000Z)");
  expect(aggregateName("IoT_X", "2026-02-28T00:00:00Z")).toBe("IoT_X/2026-02-28");
});

describe("columns that hold lists and objects as text", () => {
  it("are read as JSON, and as lines where they are none", () => {
    expect(textList('["Look","Act"]')).toEqual(["Look", "Act"]);
    expect(textList("1. Look\n2) Act\n- Rest")).toEqual(["Look", "Act", "Rest"]);
    expect(textList(null)).toEqual([]);
  });
  it("give members and entities, and nothing where they are broken", () => {
    expect(members('{"a":1,"b":"x"}')).toEqual([["a", 1], ["b", "x"]]);
    expect(members("{")).toEqual([]);
    expect(entitiesOf('[{"$id":"1","CommandLine":"rm","Type":"process"}]')).toEqual([{ kind: "process", members: [["CommandLine", "rm"]] }]);
    expect(entitiesOf("x")).toEqual([]);
  });
});

it("calls alerts new for a day", () => {
  const now = Date.parse("2026-03-02T12:00:00Z");
  expect(isNew("2026-03-01T12:00:01Z", now)).toBe(true);
  expect(isNew("2026-03-01T11:59:59Z", now)).toBe(false);
});
