/** What a query gave: its tables, each as a grid or a plot. */

import { Button, makeStyles, Menu, MenuItem, MenuList, MenuPopover, MenuTrigger, Tab, TabList, Text, tokens } from "@fluentui/react-components";
import { lazy, Suspense, useCallback, useMemo, useState } from "react";
import { download } from "../../api/http";
import { exportParquet, type Answer, type Row, type Table, type TimeScope, type Visualization } from "../../api/kusto";
import { usePreferences } from "../../app/preferences";
import { Choice } from "../../components/filters";
import { Empty, Loading, messageOf } from "../../components/states";
import { CHARTS, chartOption, kindOf, plot, type ChartKind } from "../../model/chart";
import { toCsv } from "../../model/csv";
import { cellText } from "../../model/sorting";
import { formatBytes, formatCount, formatDuration } from "../../model/time";
import { Grid } from "./Grid";

const Chart = lazy(() => import("../../components/chart/moreCharts"));

const useStyles = makeStyles({
  results: { display: "flex", flexDirection: "column", minHeight: 0, flexGrow: 1, gap: "6px" },
  bar: { display: "flex", flexWrap: "wrap", gap: "8px", alignItems: "center" },
  statistics: { marginLeft: "auto", color: tokens.colorNeutralForeground2 },
  warning: { color: tokens.colorPaletteRedForeground1 },
  chart: { flexGrow: 1, minHeight: "260px", backgroundColor: tokens.colorNeutralBackground1, border: `1px solid ${tokens.colorNeutralStroke2}` },
});

interface ResultsProps {
  answer: Answer;
  /** What was asked, and where. */
  query: string;
  database: string;
  span: TimeScope | undefined;
}

export function Results({ answer, query, database, span }: ResultsProps) {
  const styles = useStyles();
  const [place, setPlace] = useState(0);
  const table = answer.tables[place] ?? answer.tables[0];
  const { rows, bytes, seconds, serverSeconds } = answer.statistics;
  return (
    <div className={styles.results}>
      {answer.failure && (
        <Text role="alert" className={styles.warning}>
          The answer is not whole: {answer.failure}
        </Text>
      )}
      {answer.tables.length > 1 && (
        <TabList selectedValue={place} onTabSelect={(_, { value }) => setPlace(Number(value))} size="small">
          {answer.tables.map((one, at) => (
            <Tab key={at} value={at}>
              {`${one.name === "PrimaryResult" ? `Result ${at + 1}` : one.name} (${formatCount(one.rows.length)})`}
            </Tab>
          ))}
        </TabList>
      )}
      {table ? (
        <Result
          key={place}
          table={table}
          query={query}
          database={database}
          span={span}
          isOnly={answer.tables.length === 1}
          statistics={`${formatCount(rows)} ${rows === 1 ? "row" : "rows"} · ${serverSeconds === undefined ? "" : `${formatDuration(serverSeconds)} on the server, `}${formatDuration(seconds)} in all · ${formatBytes(bytes)}`}
        />
      ) : (
        <Empty title="The query gave no result" />
      )}
    </div>
  );
}

interface ResultProps {
  table: Table;
  query: string;
  database: string;
  span: TimeScope | undefined;
  /** Whether the query has this result alone. */
  isOnly: boolean;
  statistics: string;
}

function Result({ table, query, database, span, isOnly, statistics }: ResultProps) {
  const styles = useStyles();
  const [view, setView] = useState<string>(kindOf(table.visualization) ?? "grid");
  const [showsFilters, setShowsFilters] = useState(false);
  const [arranged, setArranged] = useState<Row[]>(table.rows);
  const [problem, setProblem] = useState("");
  const arrange = useCallback((rows: Row[]) => setArranged(rows), []);
  const titles = table.columns.map((column) => column.name);
  const exportCsv = () => download(new Blob([toCsv(titles, arranged.map((row) => row.map(cellText)))], { type: "text/csv" }), "result.csv");
  const copy = () => void navigator.clipboard.writeText([titles, ...arranged.map((row) => row.map(cellText))].map((row) => row.join("\t")).join("\n"));
  const saveParquet = async () => {
    setProblem("");
    try {
      download(await exportParquet(database, query, span), "result.parquet");
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  return (
    <>
      <div className={styles.bar}>
        <Choice label="Show as" options={[{ key: "grid", label: "Grid" }, ...Object.entries(CHARTS).map(([key, label]) => ({ key, label }))]} value={view} onChange={setView} />
        {view === "grid" && (
          <Button size="small" aria-pressed={showsFilters} onClick={() => setShowsFilters(!showsFilters)}>
            Filter rows
          </Button>
        )}
        <Menu>
          <MenuTrigger disableButtonEnhancement>
            <Button size="small">Export</Button>
          </MenuTrigger>
          <MenuPopover>
            <MenuList>
              <MenuItem onClick={exportCsv}>CSV, as shown</MenuItem>
              <MenuItem disabled={!isOnly} onClick={() => void saveParquet()}>
                {isOnly ? "Parquet, run anew" : "Parquet: of a query with one result"}
              </MenuItem>
              <MenuItem onClick={copy}>Copy all, with tabs</MenuItem>
            </MenuList>
          </MenuPopover>
        </Menu>
        {problem && <Text role="alert">{problem}</Text>}
        {arranged.length !== table.rows.length && <Text>{`${formatCount(arranged.length)} of ${formatCount(table.rows.length)} rows shown`}</Text>}
        <Text className={styles.statistics} role="status">
          {statistics}
        </Text>
      </div>
      {view === "grid" ? (
        <Grid table={table} showsFilters={showsFilters} onArranged={arrange} />
      ) : (
        <Plot table={table} kind={view as ChartKind} visualization={table.visualization} />
      )}
    </>
  );
}

export function Plot({ table, kind, visualization, height = "100%" }: { table: Table; kind: ChartKind; visualization: Visualization | undefined; height?: number | string }) {
  const styles = useStyles();
  const plotted = useMemo(() => plot(table, kind, visualization), [table, kind, visualization]);
  const { zone } = usePreferences();
  const option = useMemo(() => (typeof plotted === "string" ? undefined : chartOption(plotted, kind, visualization, zone)), [plotted, kind, visualization, zone]);
  if (typeof plotted === "string" || !option) return <Empty title="This cannot be drawn">{String(plotted)}</Empty>;
  const label = `${visualization?.title ?? CHARTS[kind]}: ${plotted.series.map((series) => series.name).join(", ")} by ${plotted.xColumn.name}`;
  return (
    <div className={styles.chart}>
      <Suspense fallback={<Loading />}>
        <Chart option={option} label={label} height={height} />
      </Suspense>
    </div>
  );
}
