/** One workbook: its parameters, and under them its texts and what its queries give. */

import { Button, makeStyles, Text, tokens } from "@fluentui/react-components";
import { useEffect, useState } from "react";
import { useLocation } from "wouter";
import { query, records, toRecord, type Table } from "../../api/kusto";
import { changeWorkbook, createWorkbook, deleteWorkbook, loadWorkbook } from "../../api/workbooks";
import { rawPath, usePathParts, useQueryString } from "../../app/location";
import { useSession } from "../../app/session";
import { useData } from "../../app/useData";
import { Choice, FilterBar, Search } from "../../components/filters";
import { ConfirmButton } from "../../components/ConfirmButton";
import { List, type ListColumn } from "../../components/List";
import { Page, Section, TextLink } from "../../components/Page";
import { Empty, Failure, Loading, messageOf } from "../../components/states";
import { usePreferences } from "../../app/preferences";
import { CHARTS, kindOf, type ChartKind } from "../../model/chart";
import { logsAddress } from "../../model/links";
import { cellText } from "../../model/sorting";
import { formatCount, SPANS } from "../../model/time";
import { textBlocks, withParameters, type Parameter, type QueryItem, type Workbook } from "../../model/workbook";
import { Plot } from "../logs/Results";
import { WorkbookEditor } from "./WorkbookEditor";

const ROWS_SHOWN_MAX = 200;
const SETTLE_MILLISECONDS = 600;

const useStyles = makeStyles({
  items: { display: "grid", gridTemplateColumns: "repeat(auto-fit, minmax(min(440px, 100%), 1fr))", gap: "12px", alignItems: "start" },
  text: { gridColumn: "1 / -1" },
  number: { fontSize: tokens.fontSizeHero900, lineHeight: tokens.lineHeightHero900, fontWeight: 600 },
});

export default function WorkbookPage() {
  const styles = useStyles();
  const { scope } = useSession();
  const [, navigate] = useLocation();
  const search = useQueryString();
  const id = usePathParts()[1] ?? "";
  const { database } = scope;
  const kept = useData(`workbook ${database} ${id}`, (signal) => loadWorkbook(database, id, signal));
  const [draft, setDraft] = useState<Workbook>();
  const [problem, setProblem] = useState("");
  const parameters = new URLSearchParams(search);
  const wantsEdit = parameters.get("edit") === "true";
  useEffect(() => setDraft(wantsEdit && kept.value && !kept.value.isBuiltIn ? kept.value : undefined), [wantsEdit, kept.value]);
  const trail = [{ label: "Workbooks", href: "/workbooks" }];
  if (kept.error) {
    return (
      <Page title="Workbook" trail={trail}>
        <Failure error={kept.error} retry={kept.reload} />
      </Page>
    );
  }
  if (!kept.value) return <Loading label="Reading the workbook" />;
  const workbook = draft ?? kept.value;
  const values = Object.fromEntries(workbook.parameters.map((parameter) => [parameter.name, parameters.get(`p.${parameter.name}`) ?? parameter.value]));
  const setValue = (name: string, value: string) => {
    const next = new URLSearchParams(search);
    next.set(`p.${name}`, value);
    navigate(`${rawPath()}?${next}`, { replace: true });
  };
  const attempt = async (action: () => Promise<void>) => {
    setProblem("");
    try {
      await action();
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  const edit = () => navigate(`${rawPath()}?edit=true`, { replace: true });
  const save = () =>
    attempt(async () => {
      await changeWorkbook(database, workbook);
      kept.reload();
      navigate(rawPath(), { replace: true });
    });
  const copy = () =>
    attempt(async () => {
      const made = await createWorkbook(database, { ...workbook, title: `${workbook.title} (copy)` });
      navigate(`/workbooks/${encodeURIComponent(made.id)}?edit=true`);
    });
  const remove = () =>
    attempt(async () => {
      await deleteWorkbook(database, id);
      navigate("/workbooks");
    });
  return (
    <Page
      title={workbook.title}
      trail={trail}
      actions={
        draft ? (
          <>
            <Button onClick={() => navigate(rawPath(), { replace: true })}>Discard</Button>
            <ConfirmButton question={`Delete ${workbook.title}?`} consequence="It is gone for everybody." action="Delete" onConfirm={() => void remove()}>
              Delete
            </ConfirmButton>
            <Button appearance="primary" onClick={() => void save()}>
              Save
            </Button>
          </>
        ) : (
          <>
            <Button onClick={() => void copy()}>Copy</Button>
            {!workbook.isBuiltIn && <Button onClick={edit}>Edit</Button>}
          </>
        )
      }
    >
      {problem && <Text role="alert">{problem}</Text>}
      {draft && <WorkbookEditor workbook={draft} onChange={setDraft} />}
      {workbook.parameters.length > 0 && (
        <FilterBar label="Parameters">
          {workbook.parameters.map((parameter) => (
            <Value key={parameter.name} parameter={parameter} value={values[parameter.name] ?? ""} onChange={(value) => setValue(parameter.name, value)} />
          ))}
        </FilterBar>
      )}
      <div className={styles.items}>
        {workbook.items.map((item, place) =>
          item.kind === "text" ? (
            <div key={place} className={styles.text}>
              <Blocks text={item.text} />
            </div>
          ) : (
            <QueryResult key={place} item={item} text={withParameters(item.query, workbook.parameters, values)} />
          ),
        )}
      </div>
    </Page>
  );
}

function Blocks({ text }: { text: string }) {
  return textBlocks(text).map((block, place) => {
    if (block.kind === "heading") return <h2 key={place}>{block.lines[0]}</h2>;
    if (block.kind === "paragraph") return <p key={place}>{block.lines[0]}</p>;
    return (
      <ul key={place}>
        {block.lines.map((line, at) => (
          <li key={at}>{line}</li>
        ))}
      </ul>
    );
  });
}

function Value({ parameter, value, onChange }: { parameter: Parameter; value: string; onChange(value: string): void }) {
  const { scope } = useSession();
  const isChoice = parameter.kind === "choice" && parameter.query;
  const choices = useData(isChoice ? `choices ${scope.database} ${parameter.query}` : null, async (signal) => {
    const rows = await records<Record<string, string>>(scope.database, parameter.query ?? "", signal);
    return rows.map((row) => cellText(Object.values(row)[0]));
  });
  if (parameter.kind === "span") {
    return <Choice label={parameter.label} options={SPANS.map(({ key, label }) => ({ key, label }))} value={value} onChange={onChange} />;
  }
  if (isChoice && choices.value) {
    return <Choice label={parameter.label} options={choices.value.map((name) => ({ key: name, label: name || "none" }))} value={value} onChange={onChange} />;
  }
  return <Search label={parameter.label} value={value} onChange={onChange} />;
}

function QueryResult({ item, text }: { item: QueryItem; text: string }) {
  const { scope } = useSession();
  // What is being written is run once the person pauses.
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), SETTLE_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [text]);
  const result = useData(`${scope.database} ${settled}`, (signal) => query(scope.database, settled, { signal }));
  const table = result.value?.tables[0];
  return (
    <Section title={item.title || "Query"} actions={<TextLink href={logsAddress(text)} label={`Open as a query: ${item.title}`}>Open as a query</TextLink>}>
      {result.error ? (
        <Failure error={result.error} retry={result.reload} />
      ) : !table ? (
        <Loading />
      ) : table.rows.length === 0 ? (
        <Empty title="Nothing was found" />
      ) : (
        <Shown table={table} view={item.view ?? kindOf(table.visualization) ?? "grid"} />
      )}
    </Section>
  );
}

function Shown({ table, view }: { table: Table; view: string }) {
  const styles = useStyles();
  const { time } = usePreferences();
  if (view in CHARTS) return <Plot table={table} kind={view as ChartKind} visualization={table.visualization} height={260} />;
  const first = table.rows[0]?.[0];
  if (view === "number") return <span className={styles.number}>{typeof first === "number" ? formatCount(first) : cellText(first)}</span>;
  const rows = table.rows.slice(0, ROWS_SHOWN_MAX).map((row, place) => ({ place, ...toRecord(table.columns, row) }));
  const columns = table.columns.map((column): ListColumn<Record<string, unknown>> => ({
    key: column.name,
    title: column.name,
    value: (row) => {
      const cell = row[column.name];
      return typeof cell === "number" ? cell : cellText(cell as never);
    },
    isNumber: ["int", "long", "real", "decimal"].includes(column.type),
    show: (row) => (column.type === "datetime" ? time(row[column.name] as string) : cellText(row[column.name] as never)),
  }));
  return (
    <>
      <List label="Rows" columns={columns} rows={rows} keyOf={(row) => String(row.place)} />
      {table.rows.length > ROWS_SHOWN_MAX && <Text>{`The first ${ROWS_SHOWN_MAX} of ${formatCount(table.rows.length)} rows.`}</Text>}
    </>
  );
}
