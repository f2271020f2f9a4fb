/** Ask the workspace in KQL. */

import {
  Button,
  Dialog,
  DialogActions,
  DialogBody,
  DialogContent,
  DialogSurface,
  DialogTitle,
  Field,
  Input,
  makeStyles,
  Spinner,
  Text,
  tokens,
} from "@fluentui/react-components";
import { PlayRegular, SaveRegular, ShareRegular, StopRegular } from "@fluentui/react-icons";
import { useCallback, useEffect, useRef, useState } from "react";
import { getAll, send } from "../../api/http";
import { command, findingsOf, query, type Answer, type TimeScope } from "../../api/kusto";
import { nameIn, workspacesPath, type Workspace } from "../../api/scope";
import { pageBase } from "../../app/base";
import { useSession } from "../../app/session";
import { useData } from "../../app/useData";
import { Choice, OptionalSpanChoice } from "../../components/filters";
import { Page } from "../../components/Page";
import { Empty, messageOf } from "../../components/states";
import { readHistory, remember } from "../../model/history";
import { nameOf } from "../../model/kql";
import { logsAddress } from "../../model/links";
import { SAMPLES } from "../../model/samples";
import { betweenOf, formatBytes, type Span } from "../../model/time";
import { Editor, type EditorHandle } from "./Editor";
import { Results } from "./Results";
import { Shelf } from "./Shelf";

const DRAFT = "turnstone-query";

const useStyles = makeStyles({
  body: { display: "grid", gridTemplateColumns: "260px minmax(0, 1fr)", gap: "12px", flexGrow: 1, minHeight: 0, "@media (max-width: 1000px)": { gridTemplateColumns: "minmax(0, 1fr)" } },
  main: { display: "grid", gridTemplateRows: "auto minmax(140px, 38%) minmax(0, 1fr)", gap: "8px", minHeight: 0, minWidth: 0 },
  bar: { display: "flex", flexWrap: "wrap", gap: "8px", alignItems: "center" },
  editor: { border: `1px solid ${tokens.colorNeutralStroke1}`, minHeight: 0, minWidth: 0, backgroundColor: tokens.colorNeutralBackground1 },
  results: { display: "flex", flexDirection: "column", minHeight: "220px", minWidth: 0 },
  problem: {
    whiteSpace: "pre-wrap",
    overflowWrap: "anywhere",
    padding: "10px 12px",
    fontFamily: tokens.fontFamilyMonospace,
    color: tokens.colorPaletteRedForeground1,
    backgroundColor: tokens.colorNeutralBackground1,
    border: `1px solid ${tokens.colorPaletteRedBorder2}`,
  },
  shelf: { minHeight: 0, "@media (max-width: 1000px)": { display: "none" } },
  shelfOpen: { minHeight: 0, "@media (max-width: 1000px)": { maxHeight: "40vh", overflow: "auto" } },
  shelfButton: { display: "none", "@media (max-width: 1000px)": { display: "inline-flex" } },
});

/** What the address asks for: a query, and the workspace to run it in. */
function readFragment(): { query: string; workspace: string } {
  const fragment = new URLSearchParams(location.hash.slice(1));
  return { query: fragment.get("query") ?? "", workspace: fragment.get("workspace") ?? "" };
}

interface Run {
  text: string;
  database: string;
  /** The rows that were asked about, where not all were. */
  span: TimeScope | undefined;
  answer?: Answer;
  error?: unknown;
  /** Bytes that have come, while it runs. */
  bytes?: number;
  isCancelled?: boolean;
}

export default function LogsPage() {
  const styles = useStyles();
  const { scope } = useSession();
  const editor = useRef<EditorHandle>(null);
  const [asked] = useState(readFragment);
  const [database, setDatabase] = useState(asked.workspace || scope.database);
  const [text, setText] = useState(() => asked.query || sessionStorage.getItem(DRAFT) || SAMPLES[0]?.query || "");
  const [span, setSpan] = useState<Span>();
  const [run, setRun] = useState<Run>();
  const [history, setHistory] = useState(readHistory);
  const [saving, setSaving] = useState<{ text: string; as: "query" | "function" }>();
  const [isShelfOpen, setIsShelfOpen] = useState(false);
  // Grows with what is saved, so that it is listed.
  const [savedCount, setSavedCount] = useState(0);
  const abort = useRef<AbortController>(undefined);
  const workspaces = useData("workspaces", (signal) => getAll<Workspace>(workspacesPath(scope.settings.subscriptionId), signal));
  const isRunning = run !== undefined && run.answer === undefined && run.error === undefined && !run.isCancelled;

  const execute = useCallback(
    async (statement: { text: string; start: number } | undefined) => {
      if (!statement) return;
      abort.current?.abort();
      const own = new AbortController();
      abort.current = own;
      const asked = span && betweenOf(span);
      const begun: Run = { text: statement.text, database, span: asked };
      setRun(begun);
      editor.current?.showFindings(0, []);
      setHistory(remember({ query: statement.text, database, time: new Date().toISOString() }));
      try {
        const answer = await query(database, statement.text, {
          signal: own.signal,
          allowsPartial: true,
          onProgress: (bytes) => abort.current === own && setRun({ ...begun, bytes }),
          ...(asked ? { span: asked } : {}),
        });
        if (abort.current === own) setRun({ ...begun, answer });
      } catch (error) {
        if (abort.current !== own) return;
        if (own.signal.aborted) return setRun({ ...begun, isCancelled: true });
        editor.current?.showFindings(statement.start, findingsOf(error));
        setRun({ ...begun, error });
      }
    },
    [database, span],
  );

  useEffect(() => {
    // What somebody was sent here for is run at once: it is a query, which changes nothing.
    if (asked.query) void execute({ text: asked.query, start: 0 });
    return () => abort.current?.abort();
    // Only when the page opens.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, []);
  useEffect(() => {
    const changed = () => {
      const next = readFragment();
      if (!next.query) return;
      editor.current?.setText(next.query);
      void execute({ text: next.query, start: 0 });
    };
    window.addEventListener("hashchange", changed);
    return () => window.removeEventListener("hashchange", changed);
  }, [execute]);

  const edited = useCallback((next: string) => {
    setText(next);
    sessionStorage.setItem(DRAFT, next);
    // The address says no more what stands here; who comes back finds what they wrote.
    if (location.hash && readFragment().query !== next) window.history.replaceState(window.history.state, "", location.pathname);
  }, []);
  const runWanted = useCallback(() => void execute(editor.current?.wanted()), [execute]);
  const put = useCallback((next: string) => {
    editor.current?.setText(next);
    editor.current?.focus();
  }, []);
  const share = () => void navigator.clipboard.writeText(`${location.origin}${pageBase()}${logsAddress(editor.current?.wanted()?.text ?? text, database)}`);
  const names = [...new Set([scope.database, ...(workspaces.value ?? []).map((workspace) => workspace.name)])];
  return (
    <Page
      isFull
      title="Logs"
      actions={
        <>
          <Choice label="Workspace" options={names.map((name) => ({ key: name, label: name }))} value={database} onChange={setDatabase} />
          <OptionalSpanChoice span={span} none="Set in query" onChange={setSpan} />
        </>
      }
    >
      <div className={styles.body}>
        <div className={isShelfOpen ? styles.shelfOpen : styles.shelf}>
          <Shelf database={database} history={history} savedCount={savedCount} onPick={put} />
        </div>
        <div className={styles.main}>
          <div className={styles.bar}>
            {isRunning ? (
              <Button icon={<StopRegular />} onClick={() => abort.current?.abort()}>
                Cancel
              </Button>
            ) : (
              <Button appearance="primary" icon={<PlayRegular />} onClick={runWanted} title="Ctrl-Enter or Shift-Enter runs the query under the cursor">
                Run
              </Button>
            )}
            <Button className={styles.shelfButton} aria-expanded={isShelfOpen} onClick={() => setIsShelfOpen(!isShelfOpen)}>
              Queries and tables
            </Button>
            <Button icon={<SaveRegular />} onClick={() => setSaving({ text: editor.current?.wanted()?.text ?? text, as: "query" })}>
              Save
            </Button>
            <Button onClick={() => setSaving({ text: editor.current?.wanted()?.text ?? text, as: "function" })}>Save as function</Button>
            <Button icon={<ShareRegular />} onClick={share}>
              Copy link
            </Button>
            {isRunning && <Progress bytes={run.bytes ?? 0} />}
          </div>
          <div className={styles.editor}>
            <Editor handle={editor} initialText={text} database={database} onChange={edited} onRun={runWanted} />
          </div>
          <div className={styles.results}>
            {run?.error !== undefined && (
              <div role="alert" className={styles.problem}>
                {messageOf(run.error)}
              </div>
            )}
            {run?.isCancelled && <Empty title="The query was cancelled" />}
            {run?.answer && <Results key={run.answer.statistics.seconds} answer={run.answer} query={run.text} database={run.database} span={run.span} />}
            {!run && <Empty title="Nothing was asked yet">Write a query, or take one from the list, and run it with Ctrl-Enter. Empty lines stand between queries; the one under the cursor is run.</Empty>}
          </div>
        </div>
      </div>
      {saving && (
        <SaveDialog
          saving={saving}
          database={database}
          onClose={() => {
            setSaving(undefined);
            setSavedCount(savedCount + 1);
          }}
        />
      )}
    </Page>
  );
}

/** How long a query runs by now, and what has come of its answer. */
function Progress({ bytes }: { bytes: number }) {
  const [seconds, setSeconds] = useState(0);
  useEffect(() => {
    const begun = performance.now();
    const timer = setInterval(() => setSeconds((performance.now() - begun) / 1000), 200);
    return () => clearInterval(timer);
  }, []);
  return <Spinner size="tiny" label={`${seconds.toFixed(1)} s${bytes > 0 ? `, ${formatBytes(bytes)}` : ""}`} />;
}

interface SaveDialogProps {
  saving: { text: string; as: "query" | "function" };
  database: string;
  onClose(): void;
}

function SaveDialog({ saving, database, onClose }: SaveDialogProps) {
  const [name, setName] = useState("");
  const [category, setCategory] = useState("");
  const [problem, setProblem] = useState("");
  const save = async () => {
    setProblem("");
    try {
      if (saving.as === "query") {
        await send("POST", `/api/v1/savedQueries?workspace=${encodeURIComponent(database)}`, { displayName: name, query: saving.text, ...(category ? { category } : {}) });
      } else {
        await command(database, `.create function ${nameOf(name)}() {\n${saving.text}\n}`);
      }
      onClose();
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  return (
    <Dialog open onOpenChange={(_, { open }) => !open && onClose()}>
      <DialogSurface>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            void save();
          }}
        >
          <DialogBody>
            <DialogTitle>{saving.as === "query" ? "Save the query" : "Save as a function"}</DialogTitle>
            <DialogContent>
              <Field label="Name" required>
                <Input value={name} onChange={(_, { value }) => setName(value)} />
              </Field>
              {saving.as === "query" && (
                <Field label="Category">
                  <Input value={category} onChange={(_, { value }) => setCategory(value)} />
                </Field>
              )}
              <Text block>Everybody who may query the workspace {nameIn(database)} sees it.</Text>
              {problem && <Text role="alert">{problem}</Text>}
            </DialogContent>
            <DialogActions>
              <Button onClick={onClose}>Cancel</Button>
              <Button type="submit" appearance="primary" disabled={!name.trim()}>
                Save
              </Button>
            </DialogActions>
          </DialogBody>
        </form>
      </DialogSurface>
    </Dialog>
  );
}
