/** Tables as files that spreadsheets read. */

/** Rows as comma-separated values, by RFC 4180. A text that a spreadsheet would take for a formula is shown as text. */
export function toCsv(titles: string[], rows: (string | number | boolean | null | undefined)[][]): string {
  const field = (value: string | number | boolean | null | undefined) => {
    if (value === null || value === undefined) return "";
    const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) && Number.isNaN(Number(value)) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [titles, ...rows].map((row) => row.map(field).join(",")).join("\r\n") + "\r\n";
}
