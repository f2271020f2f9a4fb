/** Where the portal is on its server. */
export const BASE = "/ui";
