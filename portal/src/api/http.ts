/** Requests to this server, and what it says when it refuses one. */

/** A request that was refused, or that nobody answered (status 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    /** The error as the server sent it. */
    readonly details: Record<string, unknown> = {},
  ) {
    super(message);
    this.name = "ApiError";
  }

  get isForbidden(): boolean {
    return this.status === 403;
  }
}

/** What is told on `window` when the server no longer knows who asks. */
export const SIGNED_OUT = "turnstone-signed-out";

export interface Asked {
  body?: unknown;
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

/** The answer to a request; an {@link ApiError} where it is no success. */
export async function request(method: string, path: string, asked: Asked = {}): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json", ...asked.headers };
  if (asked.body !== undefined) headers["Content-Type"] = "application/json";
  const body = asked.body === undefined ? null : JSON.stringify(asked.body);
  let response: Response;
  try {
    response = await fetch(path, { method, headers, body, signal: asked.signal ?? null });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "Unreachable", "The server cannot be reached. Is it still running?");
  }
  if (response.ok) return response;
  const refused = await readError(response);
  if (response.status === 401 && !path.startsWith("/api/v1/session")) window.dispatchEvent(new Event(SIGNED_OUT));
  throw refused;
}

/** The error of an answer, in the shape of any of the server's interfaces. */
async function readError(response: Response): Promise<ApiError> {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text) as { error: Record<string, unknown> };
    const message = String(error["@message"] ?? error.message ?? "");
    return new ApiError(response.status, String(error.code ?? ""), message, error);
  } catch {
    return new ApiError(response.status, "", text.slice(0, 500) || `The server answered with status ${response.status}.`);
  }
}

export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await request("GET", path, signal ? { signal } : {});
  return (await response.json()) as T;
}

/** Sends JSON; the answer's JSON, or nothing where it has none. */
export async function send<T = void>(method: string, path: string, body?: unknown): Promise<T> {
  const response = await request(method, path, body === undefined ? {} : { body });
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

/** All pages of a list. */
export async function getAll<T>(path: string, signal?: AbortSignal, itemsMax = 10_000): Promise<T[]> {
  const items: T[] = [];
  let next: string | undefined = path;
  while (next && items.length < itemsMax) {
    const page: { value: T[]; nextLink?: string } = await getJson(next, signal);
    items.push(...page.value);
    // Links of Azure's interfaces are whole addresses, which name the server as a client over TLS knows it.
    next = page.nextLink?.replace(/^https?:\/\/[^/]+/, "");
  }
  return items;
}

/** Has the browser keep what an answer holds as a file. */
export function download(content: Blob, fileName: string): void {
  const address = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = address;
  link.download = fileName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
