/** The page's address, each part decoded once. The router decodes some of it twice, which an id with a `%` does not survive. */

import { useLocation, useSearch } from "wouter";
import { decoded, pageBase } from "./base";

/** The path of the page, as it stands in the address. */
export function rawPath(): string {
  return window.location.pathname.slice(pageBase().length) || "/";
}

/** The parts of the path: of `/alerts/IoT_X/2026-03-02` three. */
export function usePathParts(): string[] {
  // The page is shown anew when the address changes.
  useLocation();
  return rawPath().split("/").filter(Boolean).map(decoded);
}

/** What stands behind the question mark. */
export function useQueryString(): string {
  useSearch();
  return window.location.search.slice(1);
}
