/** The queries that somebody ran last, kept in their browser. */

const KEY = "turnstone-query-history";
const PERSON_KEY = "turnstone-person";
const ENTRIES_MAX = 50;
const CHARACTERS_MAX = 20_000;

export interface HistoryEntry {
  query: string;
  database: string;
  time: string;
}

export function readHistory(storage: Pick<Storage, "getItem"> = localStorage): HistoryEntry[] {
  try {
    const read: unknown = JSON.parse(storage.getItem(KEY) ?? "[]");
    return Array.isArray(read) ? (read as HistoryEntry[]).filter((entry) => typeof entry?.query === "string") : [];
  } catch {
    return [];
  }
}

/** Forgets all of them, and what was being written: whoever signs in next at this browser may be somebody else. */
export function forget(): void {
  localStorage.removeItem(KEY);
  sessionStorage.clear();
}

/** Forgets what somebody else has left here. */
export function forgetOthers(person: string): void {
  if (localStorage.getItem(PERSON_KEY) === person) return;
  forget();
  localStorage.setItem(PERSON_KEY, person);
}

/** Puts a query first; the same one is not kept twice. */
export function remember(entry: HistoryEntry, storage: Pick<Storage, "getItem" | "setItem"> = localStorage): HistoryEntry[] {
  if (entry.query.length > CHARACTERS_MAX) return readHistory(storage);
  const others = readHistory(storage).filter((known) => known.query !== entry.query || known.database !== entry.database);
  const history = [entry, ...others].slice(0, ENTRIES_MAX);
  storage.setItem(KEY, JSON.stringify(history));
  return history;
}
