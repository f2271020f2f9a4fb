/** The colours of severities in charts and marks, which stand out from light and dark grounds alike. */
export const SEVERITY_COLORS: Record<string, string> = {
  High: "#c4314b",
  Medium: "#d67200",
  Low: "#4f6bed",
  Informational: "#69797e",
};
