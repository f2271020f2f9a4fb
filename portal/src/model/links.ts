/** Addresses within the portal that more than one page leads to. */

import { nameIn } from "../api/scope";

/** A device. Ids are those of a hub, which is one of `hubs` and given as what was found on the device names it. */
export function deviceAddress(hubs: readonly string[], id: string, hub: string | undefined, parameters: Record<string, string> = {}): string {
  const known = hubs.find((one) => one.toLowerCase() === hub?.toLowerCase());
  const search = new URLSearchParams({ ...(known ? { hub: nameIn(known) } : {}), ...parameters }).toString();
  return `/devices/${encodeURIComponent(id)}${search ? `?${search}` : ""}`;
}

/** Logs, with a query written and run. Long queries travel in the fragment, which no server sees or bounds. */
export function logsAddress(query: string, database?: string): string {
  const fragment = new URLSearchParams({ query, ...(database ? { workspace: database } : {}) });
  return `/logs#${fragment}`;
}
