/** Texts of KQL: what is quoted in them, and where one ends and the next begins. */

/** A text as a literal of KQL. */
export function quote(text: string): string {
  const escaped = text.replace(/[\\"\n\r\t\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (character) => {
    const named: Record<string, string> = { "\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t" };
    return named[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
  return `"${escaped}"`;
}

/** Texts as the right side of `in (…)`. */
export function quoteAll(texts: readonly string[]): string {
  return `(${texts.map(quote).join(", ")})`;
}

/** A moment as a literal of KQL. */
export function moment(time: Date | string): string {
  return `datetime(${typeof time === "string" ? time : time.toISOString()})`;
}

/** A column or table as a name of KQL. */
export function nameOf(name: string): string {
  return /^[A-Za-z_]\w*$/.test(name) ? name : `[${quote(name)}]`;
}

export interface Statement {
  text: string;
  /** Where it begins and ends in the whole, in UTF-16 units. */
  start: number;
  end: number;
}

/**
 * The queries of a text: they stand apart by empty lines. An empty line inside a string over several lines, or right
 * after a `;`, parts nothing: what follows a `let` belongs to it.
 */
export function statements(text: string): Statement[] {
  const found: Statement[] = [];
  let start = 0;
  let at = 0;
  const close = (end: number) => {
    const piece = text.slice(start, end);
    const trimmed = piece.trim();
    if (trimmed) {
      const begin = start + piece.indexOf(trimmed);
      found.push({ text: trimmed, start: begin, end: begin + trimmed.length });
    }
  };
  let lastSignificant = "";
  while (at < text.length) {
    const skipped = skipLiteral(text, at);
    if (skipped > at) {
      if (!text.startsWith("//", at)) lastSignificant = text[skipped - 1] ?? "";
      at = skipped;
      continue;
    }
    const blank = /^\n[ \t\r]*(?=\n)/.exec(text.slice(at, at + 1000));
    if (blank && lastSignificant !== ";") {
      close(at);
      at += blank[0].length;
      start = at;
      lastSignificant = "";
      continue;
    }
    const character = text[at] ?? "";
    if (character.trim()) lastSignificant = character;
    at += 1;
  }
  close(text.length);
  return found;
}

/** Where a comment or a string that begins here ends; the same place where none does. */
function skipLiteral(text: string, at: number): number {
  if (text.startsWith("//", at)) {
    const end = text.indexOf("\n", at);
    return end < 0 ? text.length : end;
  }
  for (const fence of ["```", "~~~"]) {
    if (text.startsWith(fence, at)) {
      const end = text.indexOf(fence, at + 3);
      return end < 0 ? text.length : end + 3;
    }
  }
  const isVerbatim = text[at] === "@" && (text[at + 1] === '"' || text[at + 1] === "'");
  const open = isVerbatim ? at + 1 : at;
  const mark = text[open];
  if (mark !== '"' && mark !== "'") return at;
  for (let here = open + 1; here < text.length; here += 1) {
    if (text[here] === "\n") return here;
    if (!isVerbatim && text[here] === "\\") here += 1;
    else if (text[here] === mark) {
      if (isVerbatim && text[here + 1] === mark) here += 1;
      else return here + 1;
    }
  }
  return text.length;
}

/** The query that a place is in or just behind; the one after it where there is none before. */
export function statementAt(text: string, offset: number): Statement | undefined {
  const all = statements(text);
  const inside = all.find((statement) => offset >= statement.start && offset <= statement.end);
  if (inside) return inside;
  return all.filter((statement) => statement.end < offset).at(-1) ?? all[0];
}
