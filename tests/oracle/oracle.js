// Answers for queries, one JSON text a line on standard input: {"accepted", "error", "columns"} as JSON, a line each.
// The tables are given as the first line: {"T": "(a: long, b: string)", ...}.
const path = require("path");
const lines = require("fs").readFileSync(0, "utf8").split("\n").filter(Boolean);
const service = path.dirname(require.resolve("@kusto/language-service-next/package.json"));
require(path.join(service, "bridge.min.js"));
require(path.join(service, "Kusto.Language.Bridge.min.js"));
const { Language } = Kusto;
const { Symbols } = Language;

const tables = JSON.parse(lines.shift());
const symbols = Object.entries(tables).map(([name, schema]) => new Symbols.TableSymbol.$ctor7(name, schema, null));
const database = new Symbols.DatabaseSymbol.ctor("default", System.Array.init(symbols, Symbols.Symbol));
const databases = System.Array.init([database], Symbols.DatabaseSymbol);
const cluster = new Symbols.ClusterSymbol.ctor("https://oracle.kusto.windows.net", databases);
const globals = Language.GlobalState.Default.WithCluster(cluster).WithDatabase(database);

function items(list, type) {
  return Array.from({ length: System.Array.getCount(list, type) }, (_, i) => System.Array.getItem(list, i, type));
}

for (const line of lines) {
  const code = Language.KustoCode.ParseAndAnalyze(JSON.parse(line), globals);
  const errors = items(code.GetDiagnostics(), Language.Diagnostic).filter((found) => found.Severity === "Error");
  const result = code.ResultType;
  const columns = result && result.Columns ? items(result.Columns, Symbols.ColumnSymbol) : [];
  console.log(
    JSON.stringify({
      accepted: errors.length === 0,
      error: errors.length ? `${errors[0].Code} ${errors[0].Message}` : null,
      columns: columns.map((column) => [column.Name, column.Type.Name]),
    }),
  );
}
