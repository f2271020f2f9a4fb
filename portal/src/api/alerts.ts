/** What the management interface knows of alerts: which are dismissed, and dismissing them. */

import { getAll, send } from "./http";
import { API, type Solution } from "./scope";

interface Dismissed {
  name: string;
}

/** The alerts of a solution that are dismissed, each `{type}/{day}`. */
export async function loadDismissed(solution: Solution, signal?: AbortSignal): Promise<string[]> {
  const all = await getAll<Dismissed>(`/api/v1/dismissedAlerts?solution=${encodeURIComponent(solution.id)}`, signal);
  return all.map(({ name }) => name);
}

/** Dismisses the alerts of a type and day, for good. */
export async function dismiss(solution: Solution, name: string): Promise<void> {
  await send("POST", `${solution.id}/analyticsModels/default/aggregatedAlerts/${encodeURIComponent(name)}/dismiss?${API.solutions}`);
}
