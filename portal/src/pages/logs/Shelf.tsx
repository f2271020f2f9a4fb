/** What one can begin with: tables and functions, saved and sample queries, and what was run before. */

import { Accordion, AccordionHeader, AccordionItem, AccordionPanel, Button, makeStyles, Tab, TabList, Text, tokens } from "@fluentui/react-components";
import { DeleteRegular } from "@fluentui/react-icons";
import { useState } from "react";
import { getAll, send } from "../../api/http";
import { command } from "../../api/kusto";
import { usePreferences } from "../../app/preferences";
import { useData } from "../../app/useData";
import { Search } from "../../components/filters";
import { Failure, Loading, messageOf } from "../../components/states";
import type { HistoryEntry } from "../../model/history";
import { nameOf } from "../../model/kql";
import { SAMPLES } from "../../model/samples";

const useStyles = makeStyles({
  shelf: { display: "flex", flexDirection: "column", gap: "8px", height: "100%", minHeight: 0 },
  scroller: { overflow: "auto", flexGrow: 1, minHeight: 0 },
  list: { listStyleType: "none", margin: 0, padding: 0 },
  item: { display: "flex", alignItems: "center", gap: "4px" },
  pick: { justifyContent: "flex-start", textAlign: "left", width: "100%", minWidth: 0, fontWeight: 400 },
  text: { overflow: "hidden", textOverflow: "ellipsis", whiteSpace: "nowrap" },
  type: { color: tokens.colorNeutralForeground2, fontSize: tokens.fontSizeBase200 },
  group: { margin: "8px 0 2px", fontSize: tokens.fontSizeBase300 },
});

/** What the server calls the category of a query that was saved without one. */
const NO_CATEGORY = "Saved";

interface SavedQuery {
  id: string;
  displayName: string;
  category?: string;
  query: string;
}

interface SchemaDocument {
  Databases: Record<
    string,
    {
      Tables: Record<string, { Name: string; OrderedColumns: { Name: string; CslType: string }[] }>;
      Functions: Record<string, { Name: string; Body: string; DocString?: string }>;
    }
  >;
}

interface ShelfProps {
  database: string;
  history: HistoryEntry[];
  /** Grows with what is saved. */
  savedCount: number;
  onPick(query: string): void;
}

export function Shelf({ database, history, savedCount, onPick }: ShelfProps) {
  const styles = useStyles();
  const [tab, setTab] = useState("queries");
  return (
    <div className={styles.shelf}>
      <TabList size="small" selectedValue={tab} onTabSelect={(_, { value }) => setTab(String(value))}>
        <Tab value="queries">Queries</Tab>
        <Tab value="tables">Tables</Tab>
        <Tab value="history">History</Tab>
      </TabList>
      <div className={styles.scroller} role="region" aria-label="Queries, tables and history" tabIndex={0}>
        {tab === "queries" && <Queries database={database} savedCount={savedCount} onPick={onPick} />}
        {tab === "tables" && <Tables database={database} savedCount={savedCount} onPick={onPick} />}
        {tab === "history" && <History history={history} onPick={onPick} />}
      </div>
    </div>
  );
}

function Pick({ label, onPick, title }: { label: string; onPick(): void; title?: string }) {
  const styles = useStyles();
  return (
    <Button appearance="subtle" size="small" className={styles.pick} onClick={onPick} title={title ?? label}>
      <span className={styles.text}>{label}</span>
    </Button>
  );
}

interface PartProps {
  database: string;
  savedCount: number;
  onPick(query: string): void;
}

function Queries({ database, savedCount, onPick }: PartProps) {
  const styles = useStyles();
  const saved = useData(`saved ${database} ${savedCount}`, (signal) => getAll<SavedQuery>(`/api/v1/savedQueries?workspace=${encodeURIComponent(database)}`, signal));
  const [problem, setProblem] = useState("");
  const remove = async (id: string) => {
    setProblem("");
    try {
      await send("DELETE", `/api/v1/savedQueries/${encodeURIComponent(id)}?workspace=${encodeURIComponent(database)}`);
    } catch (error) {
      setProblem(messageOf(error));
    }
    saved.reload();
  };
  const groups = [...new Set(SAMPLES.map((sample) => sample.group))];
  return (
    <>
      {problem && <Text role="alert">{problem}</Text>}
      {saved.error !== undefined && <Text>{`Saved queries cannot be shown: ${messageOf(saved.error)}`}</Text>}
      {saved.value && saved.value.length > 0 && <h2 className={styles.group}>Saved</h2>}
      <ul className={styles.list}>
        {(saved.value ?? []).map((one) => (
          <li key={one.id} className={styles.item}>
            <Pick label={one.category && one.category !== NO_CATEGORY ? `${one.category}: ${one.displayName}` : one.displayName} title={one.query} onPick={() => onPick(one.query)} />
            <Button appearance="subtle" size="small" icon={<DeleteRegular />} aria-label={`Delete ${one.displayName}`} onClick={() => void remove(one.id)} />
          </li>
        ))}
      </ul>
      {groups.map((group) => (
        <section key={group} aria-label={group}>
          <h2 className={styles.group}>{group}</h2>
          <ul className={styles.list}>
            {SAMPLES.filter((sample) => sample.group === group).map((sample) => (
              <li key={sample.name}>
                <Pick label={sample.name} title={sample.query} onPick={() => onPick(sample.query)} />
              </li>
            ))}
          </ul>
        </section>
      ))}
    </>
  );
}

function Tables({ database, savedCount, onPick }: PartProps) {
  const styles = useStyles();
  const [wanted, setWanted] = useState("");
  const schema = useData(`schema ${database} ${savedCount}`, async (signal) => {
    const answer = await command(database, ".show databases schema as json", signal);
    return (JSON.parse(String(answer.rows[0]?.[0] ?? "{}")) as SchemaDocument).Databases[database] ?? { Tables: {}, Functions: {} };
  });
  if (schema.error) return <Failure error={schema.error} retry={schema.reload} />;
  if (!schema.value) return <Loading />;
  const matches = (name: string) => name.toLowerCase().includes(wanted.toLowerCase());
  const tables = Object.values(schema.value.Tables ?? {}).filter((table) => matches(table.Name) || table.OrderedColumns.some((column) => matches(column.Name)));
  const functions = Object.values(schema.value.Functions ?? {}).filter((one) => matches(one.Name));
  return (
    <>
      <Search label="Find tables" value={wanted} onChange={setWanted} />
      <Accordion multiple collapsible>
        {tables.map((table) => (
          <AccordionItem key={table.Name} value={table.Name}>
            <AccordionHeader size="small">{table.Name}</AccordionHeader>
            <AccordionPanel>
              <Pick label="Look at 100 rows" onPick={() => onPick(`${nameOf(table.Name)}\n| take 100`)} />
              <ul className={styles.list}>
                {table.OrderedColumns.map((column) => (
                  <li key={column.Name}>
                    {column.Name} <span className={styles.type}>{column.CslType}</span>
                  </li>
                ))}
              </ul>
            </AccordionPanel>
          </AccordionItem>
        ))}
      </Accordion>
      {functions.length > 0 && <h2 className={styles.group}>Functions</h2>}
      <ul className={styles.list}>
        {functions.map((one) => (
          <li key={one.Name}>
            <Pick label={`${one.Name}()`} title={one.DocString || one.Body} onPick={() => onPick(`${nameOf(one.Name)}()`)} />
          </li>
        ))}
      </ul>
    </>
  );
}

function History({ history, onPick }: { history: HistoryEntry[]; onPick(query: string): void }) {
  const styles = useStyles();
  const { time } = usePreferences();
  if (history.length === 0) return <Text>What you run is listed here, in this browser alone.</Text>;
  return (
    <ul className={styles.list}>
      {history.map((entry) => (
        <li key={entry.time}>
          <Pick label={`${time(entry.time)}  ${entry.query.replace(/\s+/g, " ")}`} title={entry.query} onPick={() => onPick(entry.query)} />
        </li>
      ))}
    </ul>
  );
}
