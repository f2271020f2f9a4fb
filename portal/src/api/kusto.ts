/** Queries: Kusto's interface, version 2. */

import { ApiError, request } from "./http";

export type Cell = string | number | boolean | null | Cell[] | { [name: string]: Cell };
export type Row = Cell[];

export interface Column {
  name: string;
  /** A type of KQL: `string`, `long`, `datetime` … */
  type: string;
}

export interface Table {
  name: string;
  columns: Column[];
  rows: Row[];
  /** What `render` asks for. */
  visualization?: Visualization;
}

export interface Visualization {
  kind: string;
  title?: string;
  xColumn?: string;
  yColumns?: string[];
  series?: string[];
  xTitle?: string;
  yTitle?: string;
  /** `stacked`, `stacked100`, `unstacked` … */
  form?: string;
  isLegendHidden?: boolean;
  yMin?: number;
  yMax?: number;
}

export interface Answer {
  tables: Table[];
  statistics: { rows: number; bytes: number; serverSeconds?: number; seconds: number };
  /** Why the answer is not whole, where it is not. */
  failure?: string;
}

/** A place in a query that something is wrong with; offsets count UTF-16 units. */
export interface Finding {
  message: string;
  start: number;
  end: number;
}

export interface QueryOptions {
  signal?: AbortSignal;
  /** Only rows whose TimeGenerated is within; times in ISO 8601. */
  span?: TimeScope;
  /** Told of the bytes that have come so far. */
  onProgress?: (bytes: number) => void;
  /** Whether an answer that is not whole is one; else it is an error. */
  allowsPartial?: boolean;
}

/** The findings that a refusal of a query carries. */
export function findingsOf(error: unknown): Finding[] {
  if (!(error instanceof ApiError)) return [];
  const findings = error.details["@findings"];
  return Array.isArray(findings) ? (findings as Finding[]) : [];
}

export interface TimeScope {
  from: string;
  to: string;
}

/** What a request says of the rows that it asks about. */
function propertiesOf(span: TimeScope | undefined) {
  if (!span) return { Options: {} };
  return { Options: { query_datetimescope_column: "TimeGenerated", query_datetimescope_from: span.from, query_datetimescope_to: span.to } };
}

/** The rows of a query as a Parquet file. */
export async function exportParquet(database: string, text: string, span: TimeScope | undefined): Promise<Blob> {
  const path = `/api/v1/workspaces/${encodeURIComponent(database)}/export`;
  const response = await request("POST", path, { body: { csl: text, properties: propertiesOf(span) } });
  return response.blob();
}

/** Runs a query in a database and reads all of its results. */
export async function query(database: string, text: string, options: QueryOptions = {}): Promise<Answer> {
  const begun = performance.now();
  const response = await request("POST", "/v2/rest/query", {
    body: { db: database, csl: text, properties: propertiesOf(options.span) },
    ...(options.signal ? { signal: options.signal } : {}),
  });
  const { text: body, bytes } = await readBody(response, options.onProgress);
  const answer = readFrames(parse(body) as Frame[]);
  if (answer.failure && !options.allowsPartial) throw new ApiError(200, "Partial", answer.failure);
  answer.statistics.bytes = bytes;
  answer.statistics.seconds = (performance.now() - begun) / 1000;
  return answer;
}

/** The first table of a query's answer as objects. */
export async function records<T>(database: string, text: string, signal?: AbortSignal): Promise<T[]> {
  const answer = await query(database, text, signal ? { signal } : {});
  return rowsOf<T>(answer.tables[0]);
}

/** The rows of a table as objects; none where there is no table. */
export function rowsOf<T>(table: Table | undefined): T[] {
  return table ? (table.rows.map((row) => toRecord(table.columns, row)) as T[]) : [];
}

export function toRecord(columns: Column[], row: Row): Record<string, Cell> {
  return Object.fromEntries(columns.map((column, place) => [column.name, row[place] ?? null]));
}

/** Runs a command, such as `.show databases schema as json`; the first table of its answer. */
export async function command(database: string, text: string, signal?: AbortSignal): Promise<Table> {
  const response = await request("POST", "/v1/rest/mgmt", { body: { db: database, csl: text }, ...(signal ? { signal } : {}) });
  interface Given {
    Tables: { TableName: string; Columns: { ColumnName: string; ColumnType: string }[]; Rows: Row[] }[];
  }
  const first = ((await response.json()) as Given).Tables[0];
  const columns = first?.Columns.map((column) => ({ name: column.ColumnName, type: column.ColumnType })) ?? [];
  return { name: first?.TableName ?? "", columns, rows: first?.Rows ?? [] };
}

/** JSON whose whole numbers beyond what a number of JavaScript holds stay as they are written, as texts. */
export function parse(text: string): unknown {
  if (!/[-:[,]\d{16,}/.test(text)) return JSON.parse(text);
  type Reviver = (this: unknown, key: string, value: unknown, context?: { source?: string }) => unknown;
  const exact: Reviver = (_, value, context) =>
    typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "") ? context?.source : value;
  return JSON.parse(text, exact as (key: string, value: unknown) => unknown);
}

async function readBody(response: Response, onProgress?: (bytes: number) => void): Promise<{ text: string; bytes: number }> {
  const reader = response.body?.getReader();
  if (!reader) return { text: await response.text(), bytes: 0 };
  const decoder = new TextDecoder();
  const parts: string[] = [];
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    bytes += value.byteLength;
    parts.push(decoder.decode(value, { stream: true }));
    onProgress?.(bytes);
  }
  parts.push(decoder.decode());
  return { text: parts.join(""), bytes };
}

interface Frame {
  FrameType: string;
  TableKind?: string;
  TableName?: string;
  Columns?: { ColumnName: string; ColumnType: string }[];
  Rows?: unknown[];
  HasErrors?: boolean;
  OneApiErrors?: { error: { "@message"?: string; message?: string } }[];
}

/** What the frames of an answer say. */
export function readFrames(frames: Frame[]): Answer {
  const answer: Answer = { tables: [], statistics: { rows: 0, bytes: 0, seconds: 0 } };
  const properties = new Map<number, Visualization>();
  for (const frame of frames) {
    const columns = (frame.Columns ?? []).map((column) => ({ name: column.ColumnName, type: column.ColumnType }));
    if (frame.FrameType === "DataSetCompletion" && frame.HasErrors) {
      const error = frame.OneApiErrors?.[0]?.error;
      answer.failure = error?.["@message"] ?? error?.message ?? "The query broke off.";
    } else if (frame.TableKind === "QueryProperties") {
      for (const [id, key, value] of (frame.Rows ?? []) as [number, string, unknown][]) {
        if (key === "Visualization") {
          const asked = readVisualization(value);
          if (asked) properties.set(id, asked);
        }
      }
    } else if (frame.TableKind === "PrimaryResult") {
      // What stands in the place of rows that are missing is told at the end of the answer.
      const rows = (frame.Rows ?? []).filter((row): row is Row => Array.isArray(row));
      const visualization = properties.get(answer.tables.length + 1);
      answer.tables.push({ name: frame.TableName ?? "", columns, rows, ...(visualization ? { visualization } : {}) });
      answer.statistics.rows += rows.length;
    } else if (frame.TableKind === "QueryCompletionInformation") {
      const seconds = executionSeconds(columns, (frame.Rows ?? []) as Row[]);
      if (seconds !== undefined) answer.statistics.serverSeconds = seconds;
    }
  }
  return answer;
}

function executionSeconds(columns: Column[], rows: Row[]): number | undefined {
  const all = rows.map((row) => toRecord(columns, row));
  const payload = all.find((row) => row.EventTypeName === "QueryResourceConsumption")?.Payload;
  const seconds = typeof payload === "string" ? (JSON.parse(payload) as { ExecutionTime?: number }).ExecutionTime : undefined;
  return seconds;
}

function readVisualization(value: unknown): Visualization | undefined {
  const given = (typeof value === "string" ? JSON.parse(value) : value) as Record<string, string | null>;
  if (!given?.Visualization) return undefined;
  const list = (text: string | null | undefined) => (text ? text.split(",").map((part) => part.trim()) : undefined);
  const number = (text: string | null | undefined) =>
    text && text !== "NaN" && Number.isFinite(Number(text)) ? Number(text) : undefined;
  const all: Record<string, unknown> = {
    title: given.Title,
    xColumn: given.XColumn,
    yColumns: list(given.YColumns),
    series: list(given.Series),
    xTitle: given.XTitle,
    yTitle: given.YTitle,
    form: given.Kind,
    isLegendHidden: given.Legend === "hidden" ? true : undefined,
    yMin: number(given.Ymin),
    yMax: number(given.Ymax),
  };
  const said = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null && value !== undefined));
  return { kind: given.Visualization, ...said };
}
