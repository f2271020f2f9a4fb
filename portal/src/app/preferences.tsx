/** What people choose for how the portal looks: its theme and the zone of its times. Kept in the browser. */

import { createContext, useContext, useEffect, useMemo, useState, type ReactNode } from "react";
import { formatTime, type Zone } from "../model/time";

export type Theme = "system" | "light" | "dark";

interface Preferences {
  theme: Theme;
  isDark: boolean;
  setTheme(theme: Theme): void;
  zone: Zone;
  setZone(zone: Zone): void;
  /** A time as it is shown. */
  time(value: string | number | Date | null | undefined): string;
}

const Context = createContext<Preferences | undefined>(undefined);

function read(name: string, known: readonly string[], fallback: string): string {
  const kept = localStorage.getItem(name);
  return kept && known.includes(kept) ? kept : fallback;
}

export function PreferencesProvider({ children }: { children: ReactNode }) {
  const [theme, setTheme] = useState(() => read("turnstone-theme", ["system", "light", "dark"], "system") as Theme);
  const [zone, setZone] = useState(() => read("turnstone-zone", ["utc", "local"], "utc") as Zone);
  const [systemIsDark, setSystemIsDark] = useState(() => matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const asked = matchMedia("(prefers-color-scheme: dark)");
    const changed = () => setSystemIsDark(asked.matches);
    asked.addEventListener("change", changed);
    return () => asked.removeEventListener("change", changed);
  }, []);
  useEffect(() => localStorage.setItem("turnstone-theme", theme), [theme]);
  useEffect(() => localStorage.setItem("turnstone-zone", zone), [zone]);
  const isDark = theme === "dark" || (theme === "system" && systemIsDark);
  const preferences = useMemo(
    () => ({ theme, isDark, setTheme, zone, setZone, time: (value: string | number | Date | null | undefined) => formatTime(value, zone) }),
    [theme, isDark, zone],
  );
  return <Context value={preferences}>{children}</Context>;
}

export function usePreferences(): Preferences {
  const preferences = useContext(Context);
  if (!preferences) throw new Error("there are no preferences outside of their provider");
  return preferences;
}
