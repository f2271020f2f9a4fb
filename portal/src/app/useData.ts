/** What a page shows of the server: read when it opens, read again when it is told to. */

import { useCallback, useEffect, useRef, useState } from "react";

export interface Data<T> {
  value: T | undefined;
  error: unknown;
  isLoading: boolean;
  reload(): void;
}

/**
 * Reads with `read` whenever `key` changes. What was read before stays until the new has come; what comes too late is
 * passed over. Nothing is read while `key` is null.
 */
export function useData<T>(key: string | null, read: (signal: AbortSignal) => Promise<T>): Data<T> {
  const [state, setState] = useState<{ key: string | null; value: T | undefined; error: unknown; isLoading: boolean }>({
    key: null,
    value: undefined,
    error: undefined,
    isLoading: key !== null,
  });
  const [turn, setTurn] = useState(0);
  const latest = useRef(read);
  latest.current = read;
  useEffect(() => {
    if (key === null) return;
    const abort = new AbortController();
    setState((before) => ({ ...before, isLoading: true }));
    latest.current(abort.signal).then(
      (value) => {
        if (!abort.signal.aborted) setState({ key, value, error: undefined, isLoading: false });
      },
      (error: unknown) => {
        if (!abort.signal.aborted) {
          setState((before) => ({ key, value: before.key === key ? before.value : undefined, error, isLoading: false }));
        }
      },
    );
    return () => abort.abort();
  }, [key, turn]);
  const reload = useCallback(() => setTurn((before) => before + 1), []);
  const isCurrent = state.key === key;
  return {
    value: state.value,
    error: isCurrent ? state.error : undefined,
    isLoading: key !== null && (state.isLoading || !isCurrent),
    reload,
  };
}
