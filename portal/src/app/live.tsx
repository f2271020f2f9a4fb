/** Alerts as they are raised: a stream of the server's that pages follow. */

import { createContext, useContext, useEffect, useMemo, useRef, useState, type ReactNode } from "react";

export interface LiveAlert {
  SystemAlertId: string;
  AlertType: string;
  DisplayName: string;
  AlertSeverity: string;
  TimeGenerated: string;
  ResourceId: string;
  ExtendedProperties: string;
}

interface Live {
  /** Grows with every alert, or burst of them. */
  count: number;
  isConnected: boolean;
  newest: LiveAlert | undefined;
}

const Context = createContext<Live>({ count: 0, isConnected: false, newest: undefined });

/** Alerts that come in this time are told as one: a storm must not have every page ask for each of them. */
const BURST_MILLISECONDS = 1000;

export function LiveProvider({ children }: { children: ReactNode }) {
  const [live, setLive] = useState<Live>({ count: 0, isConnected: false, newest: undefined });
  const waiting = useRef<LiveAlert | undefined>(undefined);
  useEffect(() => {
    const source = new EventSource("/api/v1/alerts/live");
    let timer: ReturnType<typeof setTimeout> | undefined;
    const tell = () => {
      timer = undefined;
      const newest = waiting.current;
      waiting.current = undefined;
      setLive((before) => ({ ...before, count: before.count + 1, newest: newest ?? before.newest }));
    };
    const later = () => {
      timer ??= setTimeout(tell, BURST_MILLISECONDS);
    };
    source.addEventListener("open", () => setLive((before) => ({ ...before, isConnected: true })));
    source.addEventListener("error", () => setLive((before) => ({ ...before, isConnected: false })));
    source.addEventListener("alert", (event) => {
      waiting.current = JSON.parse((event as MessageEvent<string>).data) as LiveAlert;
      later();
    });
    source.addEventListener("lost", later);
    return () => {
      source.close();
      clearTimeout(timer);
    };
  }, []);
  return <Context value={useMemo(() => live, [live])}>{children}</Context>;
}

export function useLive(): Live {
  return useContext(Context);
}
