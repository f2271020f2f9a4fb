/** Addresses within the portal that more than one page leads to. */

/** Logs, with a query written and run. Long queries travel in the fragment, which no server sees or bounds. */
export function logsAddress(query: string, database?: string): string {
  const fragment = new URLSearchParams({ query, ...(database ? { workspace: database } : {}) });
  return `/logs#${fragment}`;
}
