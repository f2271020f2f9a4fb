/** Times as people read them, and spans of time as they choose them. */

export type Zone = "utc" | "local";

const pad = (value: number, digits = 2) => String(value).padStart(digits, "0");

/** `2026-03-02 10:42:07` in a zone; the text itself where it is no time. */
export function formatTime(time: string | number | Date | null | undefined, zone: Zone): string {
  if (time === null || time === undefined || time === "") return "";
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return String(time);
  const parts =
    zone === "utc"
      ? [date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate(), date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()]
      : [date.getFullYear(), date.getMonth() + 1, date.getDate(), date.getHours(), date.getMinutes(), date.getSeconds()];
  const [year, month, day, hour, minute, second] = parts as [number, number, number, number, number, number];
  return `${pad(year, 4)}-${pad(month)}-${pad(day)} ${pad(hour)}:${pad(minute)}:${pad(second)}`;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** `3 minutes ago`, `in 2 days`. */
export function relativeTime(time: string | number | Date, now: number = Date.now()): string {
  const distance = new Date(time).getTime() - now;
  if (Number.isNaN(distance)) return "";
  const size = Math.abs(distance);
  const format = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  if (size < MINUTE) return "just now";
  if (size < HOUR) return format.format(Math.round(distance / MINUTE), "minute");
  if (size < DAY) return format.format(Math.round(distance / HOUR), "hour");
  return format.format(Math.round(distance / DAY), "day");
}

/** A span of time: the last so many milliseconds, or between two moments. */
export type Span = { lastMilliseconds: number } | { from: string; to: string };

export const SPANS: { key: string; label: string; milliseconds: number }[] = [
  { key: "1h", label: "Last hour", milliseconds: HOUR },
  { key: "24h", label: "Last 24 hours", milliseconds: DAY },
  { key: "7d", label: "Last 7 days", milliseconds: 7 * DAY },
  { key: "30d", label: "Last 30 days", milliseconds: 30 * DAY },
  { key: "90d", label: "Last 90 days", milliseconds: 90 * DAY },
  { key: "365d", label: "Last year", milliseconds: 365 * DAY },
];

/** A span as it stands in addresses: `7d`, or two moments with `..` between them. */
export function readSpan(text: string | null | undefined, fallback = "7d"): Span {
  const named = SPANS.find((span) => span.key === (text ?? fallback));
  if (named) return { lastMilliseconds: named.milliseconds };
  const [from, to] = (text ?? "").split("..");
  if (from && to && !Number.isNaN(Date.parse(from)) && !Number.isNaN(Date.parse(to))) {
    return { from: new Date(from).toISOString(), to: new Date(to).toISOString() };
  }
  return fallback === text ? { lastMilliseconds: 7 * DAY } : readSpan(fallback, fallback);
}

export function writeSpan(span: Span): string {
  if ("from" in span) return `${span.from}..${span.to}`;
  return SPANS.find((known) => known.milliseconds === span.lastMilliseconds)?.key ?? "7d";
}

/** The condition that a time column is within a span. */
export function spanCondition(span: Span, column = "TimeGenerated"): string {
  if ("from" in span) return `${column} between (datetime(${span.from}) .. datetime(${span.to}))`;
  const hours = Math.round(span.lastMilliseconds / HOUR);
  return `${column} > ago(${hours % 24 === 0 && hours >= 48 ? `${hours / 24}d` : `${hours}h`})`;
}

/** How long a span is, in milliseconds. */
export function spanLength(span: Span): number {
  return "from" in span ? Date.parse(span.to) - Date.parse(span.from) : span.lastMilliseconds;
}

/** The two moments that a span is between at this one. */
export function betweenOf(span: Span, now: number = Date.now()): { from: string; to: string } {
  if ("from" in span) return span;
  return { from: new Date(now - span.lastMilliseconds).toISOString(), to: new Date(now).toISOString() };
}

/** `1.2 s`, `340 ms`. */
export function formatDuration(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  return seconds < 60 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** `3.4 MB`. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB"];
  let size = bytes;
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit]}`;
}

export function formatCount(count: number): string {
  return count.toLocaleString("en-US");
}
