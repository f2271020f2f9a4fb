/** Workbooks: pages of text and queries, with parameters that the queries read. */

import { quote } from "./kql";

export type ParameterKind = "text" | "span" | "choice";

export interface Parameter {
  /** How queries call it. */
  name: string;
  label: string;
  kind: ParameterKind;
  /** A text; of a span one such as `7d`. */
  value: string;
  /** For a choice: a query whose first column has what there is to choose from. */
  query?: string;
}

export interface TextItem {
  kind: "text";
  text: string;
}

export interface QueryItem {
  kind: "query";
  title: string;
  query: string;
  /** `grid`, `number` or a kind of chart; as the query's `render` says where nothing is said. */
  view?: string;
}

export type Item = TextItem | QueryItem;

export interface Workbook {
  id: string;
  title: string;
  description: string;
  isBuiltIn: boolean;
  parameters: Parameter[];
  items: Item[];
}

/** Spans as literals of KQL; whatever is none is a week. */
function spanLiteral(text: string): string {
  return /^\d{1,5}(\.\d+)?[dhms]$/.test(text) ? text : "7d";
}

/** A query with the values of the parameters before it. Values are literals, so none can be more than a value. */
export function withParameters(query: string, parameters: readonly Parameter[], values: Record<string, string>): string {
  const lines = parameters.map((parameter) => {
    const value = values[parameter.name] ?? parameter.value;
    return `let ${parameter.name} = ${parameter.kind === "span" ? spanLiteral(value) : quote(value)};`;
  });
  return [...lines, query].join("\n");
}

/** Whether a name can be that of a parameter. */
export function isParameterName(name: string): boolean {
  return /^[A-Za-z_]\w{0,63}$/.test(name);
}

export interface TextBlock {
  kind: "heading" | "paragraph" | "list";
  lines: string[];
}

/** A text as it is shown: `# ` begins a heading, `- ` an item of a list, an empty line a paragraph. */
export function textBlocks(text: string): TextBlock[] {
  const blocks: TextBlock[] = [];
  let isOpen = false;
  for (const line of text.split(/\r?\n/)) {
    const heading = /^#+\s+(.*)$/.exec(line);
    const item = /^[-*]\s+(.*)$/.exec(line);
    const last = blocks.at(-1);
    if (heading) {
      blocks.push({ kind: "heading", lines: [heading[1] ?? ""] });
      isOpen = false;
    } else if (item) {
      if (isOpen && last?.kind === "list") last.lines.push(item[1] ?? "");
      else blocks.push({ kind: "list", lines: [item[1] ?? ""] });
      isOpen = true;
    } else if (line.trim() === "") {
      isOpen = false;
    } else if (isOpen && last && last.kind !== "heading") {
      last.lines[last.lines.length - 1] += ` ${line.trim()}`;
    } else {
      blocks.push({ kind: "paragraph", lines: [line.trim()] });
      isOpen = true;
    }
  }
  return blocks;
}
