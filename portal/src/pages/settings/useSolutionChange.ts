/** Changing the solution that is looked at: the whole of it is written, as the management interface wants it. */

import { useState } from "react";
import { getJson, send } from "../../api/http";
import { API, type Solution, type SolutionProperties } from "../../api/scope";
import { useSession } from "../../app/session";

interface SolutionChange {
  isBusy: boolean;
  isSaved: boolean;
  error: unknown;
  save(changes: Partial<SolutionProperties>): Promise<void>;
}

export function useSolutionChange(): SolutionChange {
  const { scope, reloadScope } = useSession();
  const [isBusy, setIsBusy] = useState(false);
  const [isSaved, setIsSaved] = useState(false);
  const [error, setError] = useState<unknown>();
  const save = async (changes: Partial<SolutionProperties>) => {
    setIsBusy(true);
    setIsSaved(false);
    setError(undefined);
    const { solution } = scope;
    try {
      // Others may have changed it since the page was opened.
      const kept = await getJson<Solution>(`${solution.id}?${API.solutions}`);
      const properties = { ...kept.properties, ...changes };
      await send<Solution>("PUT", `${solution.id}?${API.solutions}`, { location: kept.location, tags: kept.tags, properties });
      setIsSaved(true);
      reloadScope();
    } catch (failure) {
      setError(failure);
    } finally {
      setIsBusy(false);
    }
  };
  return { isBusy, isSaved, error, save };
}
