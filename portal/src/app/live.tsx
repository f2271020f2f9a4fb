/** Alerts as they are raised: a stream of the server's that pages follow. */

import { SIGNED_OUT } from "../api/http";
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
const RETRY_MILLISECONDS = 10_000;

export function LiveProvider({ children }: { children: ReactNode }) {
  const [live, setLive] = useState<Live>({ count: 0, isConnected: false, newest: undefined });
  const waiting = useRef<LiveAlert | undefined>(undefined);
  useEffect(() => {
    let source: EventSource | undefined;
    let wasOpen = false;
    let retry: ReturnType<typeof setTimeout> | undefined;
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
    const connect = () => {
      const own = new EventSource("/api/v1/alerts/live");
      source = own;
      own.addEventListener("open", () => {
        setLive((before) => ({ ...before, isConnected: true }));
        // What came while the line was down is told to nobody: it is there to be read.
        if (wasOpen) later();
        wasOpen = true;
      });
      own.addEventListener("error", () => {
        setLive((before) => ({ ...before, isConnected: false }));
        // The browser tries again by itself, unless it was refused.
        if (own.readyState !== EventSource.CLOSED) return;
        void fetch("/api/v1/session").then(({ status }) => status === 401 && window.dispatchEvent(new Event(SIGNED_OUT)), () => undefined);
        retry = setTimeout(connect, RETRY_MILLISECONDS);
      });
      own.addEventListener("alert", (event) => {
        waiting.current = JSON.parse((event as MessageEvent<string>).data) as LiveAlert;
        later();
      });
      own.addEventListener("lost", later);
    };
    connect();
    return () => {
      source?.close();
      clearTimeout(timer);
      clearTimeout(retry);
    };
  }, []);
  return <Context value={useMemo(() => live, [live])}>{children}</Context>;
}

export function useLive(): Live {
  return useContext(Context);
}

/** Reads again with every new alert, or burst of them. */
export function useLiveReload(reload: () => void): void {
  const { count } = useLive();
  const seen = useRef(count);
  useEffect(() => {
    if (count === seen.current) return;
    seen.current = count;
    reload();
  }, [count, reload]);
}
