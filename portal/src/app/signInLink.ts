/** Links that sign in once. Their code stands in the fragment, which is sent to no server and kept in no log. */

import { BASE } from "./base";

const CODE = "#code=";

export function hasLinkCode(): boolean {
  return location.pathname === `${BASE}/sign-in` && location.hash.startsWith(CODE);
}

/** The code of the address, which has it no more after this. */
export function takeLinkCode(): string | undefined {
  if (!hasLinkCode()) return undefined;
  const code = location.hash.slice(CODE.length);
  history.replaceState(null, "", `${BASE}/`);
  return code;
}
