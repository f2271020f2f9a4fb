import { describe, expect, it } from "vitest";
import { eventLine, processTree, treesOfAlert, type RawEvent } from "./events";

function event(name: string, details: object, time = "2026-03-02T10:00:00Z"): RawEvent {
  return { TimeStamp: time, RawEventName: name, IoTRawEventId: "1", EventDetails: JSON.stringify(details) };
}
const start = (id: number, parent: number, line: string) => event("ProcessCreate", { ProcessId: id, ParentProcessId: parent, CommandLine: line });

describe("the process tree", () => {
  it("has each process below its parent", () => {
    const roots = processTree([start(10, 1, "sshd"), start(20, 10, "bash"), start(30, 20, "miner"), start(40, 1, "cron")], "30", "");
    expect(roots.map((node) => node.commandLine)).toEqual(["sshd", "cron"]);
    expect(treesOfAlert(roots).map((node) => node.commandLine)).toEqual(["sshd"]);
    expect(roots[0]?.children[0]?.children[0]).toMatchObject({ commandLine: "miner", isOfAlert: true });
  });
  it("knows the alert's process by its command line too, as either agent names it", () => {
    const roots = processTree([event("Process", { EventType: "EXEC", ProcessId: 5, ParentProcessId: 1, Commandline: "bash -i" })], "", "bash -i");
    expect(treesOfAlert(roots)).toHaveLength(1);
  });
  it("has no circles, though numbers are used again", () => {
    const roots = processTree([start(1, 2, "a"), start(2, 1, "b"), start(3, 3, "c")], "", "");
    expect(roots.map((node) => node.commandLine).sort()).toEqual(["b", "c"]);
  });
  it("passes over what is no process", () => {
    const broken = { ...event("ProcessCreate", {}), EventDetails: "{" };
    expect(processTree([broken, event("Login", {}), event("Process", { EventType: "EXIT", ProcessId: 4 })], "", "")).toEqual([]);
  });
});

it("says an event in one line", () => {
  expect(eventLine(event("Login", { Result: "Fail", UserName: "root", RemoteAddress: "198.51.100.7" }))).toBe("Fail root from 198.51.100.7");
  expect(eventLine(event("FileSystem", { Mask: "Modified", Path: "/etc/passwd" }))).toBe("Modified /etc/passwd");
});
