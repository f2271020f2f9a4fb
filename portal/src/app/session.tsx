/** Who is signed in, and what they may do. */

import { createContext, useContext } from "react";
import type { Scope } from "../api/scope";

export interface Principal {
  id: string;
  name?: string;
  displayName: string;
  kind: string;
  hasTotp?: boolean;
}

export interface Session {
  principal: Principal;
  roles: { role: string; scope: string }[];
}

interface Known {
  session: Session;
  scope: Scope;
  /** Looks at another solution from now on. */
  choose(solutionId: string): void;
  reloadScope(): void;
  signOut(): Promise<void>;
}

export const SessionContext = createContext<Known | undefined>(undefined);

export function useSession(): Known {
  const known = useContext(SessionContext);
  if (!known) throw new Error("nobody is signed in here");
  return known;
}
