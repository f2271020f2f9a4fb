/** What somebody changes before they save it. */

import { useState } from "react";

interface Edited<T> {
  value: T;
  isChanged: boolean;
  edit(next: T): void;
}

/** It is what is kept until it is edited. What was edited stays, whatever comes to be kept meanwhile. */
export function useEdited<T>(kept: T): Edited<T> {
  const [edited, setEdited] = useState<T>();
  const isChanged = edited !== undefined && JSON.stringify(edited) !== JSON.stringify(kept);
  return { value: edited ?? kept, isChanged, edit: setEdited };
}
