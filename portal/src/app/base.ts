/** Where pages are on the server. */

/** Where the portal is. */
export const BASE = "/ui";

/** Below it, the pages of one solution of several: their addresses say which, so that they can be sent to somebody else. */
const OF_SOLUTION = /^\/solutions\/([^/]+)\/([^/]+)(?=\/|$)/;

export interface SolutionName {
  group: string;
  name: string;
}

/** A part of an address as it was meant; as it stands where it cannot be read. */
export function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The solution that a path below the portal's names. */
export function solutionIn(path: string): SolutionName | undefined {
  const [, group, name] = OF_SOLUTION.exec(path) ?? [];
  return group && name ? { group: decoded(group), name: decoded(name) } : undefined;
}

/** Where the pages of a solution are, below the portal. */
export function solutionBase({ group, name }: SolutionName): string {
  return `/solutions/${encodeURIComponent(group)}/${encodeURIComponent(name)}`;
}

/** Where the pages are that are looked at. */
export function pageBase(pathname: string = window.location.pathname): string {
  return BASE + (OF_SOLUTION.exec(pathname.slice(BASE.length))?.[0] ?? "");
}
