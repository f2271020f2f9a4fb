/** The rules that detection goes by. */

import { getAll, getJson, send } from "./http";

export interface Rule {
  /** The id of an alert rule, the type of a recommendation. */
  id: string;
  kind: "Alert" | "Recommendation";
  displayName: string;
  description: string;
  severity: string;
  /** The type of its alerts. */
  alertType?: string;
  tactics?: string[];
  techniques?: string[];
  remediationSteps: string[];
  isEnabled: boolean;
  version: string;
  tests: string[];
}

/** A rule with its whole text, as the file of it stands. */
export interface RuleText extends Rule {
  query: string;
  /** YAML. */
  text: string;
}

export interface TestOutcome {
  name: string;
  passed: boolean;
  problem: string | null;
}

/** All rules; with a solution, whether each is switched on there. */
export async function loadRules(signal?: AbortSignal, solution = ""): Promise<Rule[]> {
  return getAll<Rule>(`/api/v1/rules${solution && `?solution=${encodeURIComponent(solution)}`}`, signal);
}

export async function loadRule(id: string, solution: string, signal?: AbortSignal): Promise<RuleText> {
  return getJson<RuleText>(`/api/v1/rules/${encodeURIComponent(id)}?solution=${encodeURIComponent(solution)}`, signal);
}

export async function setRule(id: string, solution: string, isEnabled: boolean): Promise<void> {
  await send("PATCH", `/api/v1/rules/${encodeURIComponent(id)}?solution=${encodeURIComponent(solution)}`, { isEnabled });
}

/** Runs a rule's own sample events through it. */
export async function testRule(id: string): Promise<TestOutcome[]> {
  return (await send<{ value: TestOutcome[] }>("POST", `/api/v1/rules/${encodeURIComponent(id)}/test`)).value;
}
