/** What a page shows of the server: read when it opens, read again when it is told to. */

import { useCallback, useEffect, useRef, useState } from "react";

export interface Data<T> {
  /** Nothing until it has come. */
  value: T | undefined;
  error: unknown;
  reload(): void;
}

interface State<T> {
  key: string | null;
  value: T | undefined;
  error: unknown;
}

/**
 * Reads with `read` whenever `key` changes; what comes too late is passed over. What was read stays while it is read again
 * for the same key. Nothing is read while `key` is null.
 */
export function useData<T>(key: string | null, read: (signal: AbortSignal) => Promise<T>): Data<T> {
  const [state, setState] = useState<State<T>>({ key: null, value: undefined, error: undefined });
  const [turn, setTurn] = useState(0);
  const latest = useRef(read);
  latest.current = read;
  // Somebody who wants it again while it is on its way gets it after that: else a stream of such wishes would let none arrive.
  const isReading = useRef(false);
  const wantsAgain = useRef(false);
  useEffect(() => {
    if (key === null) return;
    const abort = new AbortController();
    isReading.current = true;
    const settle = (next: (before: State<T>) => State<T>) => {
      if (abort.signal.aborted) return;
      isReading.current = false;
      setState(next);
      if (wantsAgain.current) {
        wantsAgain.current = false;
        setTurn((before) => before + 1);
      }
    };
    latest.current(abort.signal).then(
      (value) => settle(() => ({ key, value, error: undefined })),
      (error: unknown) => settle((before) => ({ key, value: before.key === key ? before.value : undefined, error })),
    );
    return () => {
      abort.abort();
      isReading.current = false;
      wantsAgain.current = false;
    };
  }, [key, turn]);
  const reload = useCallback(() => {
    if (isReading.current) wantsAgain.current = true;
    else setTurn((before) => before + 1);
  }, []);
  const isCurrent = state.key === key;
  return { value: isCurrent ? state.value : undefined, error: isCurrent ? state.error : undefined, reload };
}
