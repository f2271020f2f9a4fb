/** The editor of KQL with its language service, which runs in a worker of its own. */

import * as monaco from "monaco-editor/esm/vs/editor/edcore.main";
import EditorWorker from "monaco-editor/esm/vs/editor/editor.worker?worker";
import { getKustoWorker, kustoDefaults, themeNames } from "@kusto/monaco-kusto";
import KustoWorker from "@kusto/monaco-kusto/release/esm/kusto.worker?worker";
import { command, type Finding } from "../../api/kusto";

self.MonacoEnvironment = {
  getWorker: (_, label) => (label === "kusto" ? new KustoWorker() : new EditorWorker()),
};

kustoDefaults.setLanguageSettings({
  ...kustoDefaults.languageSettings,
  // Commands are for Kusto's own tools; here queries are run.
  includeControlCommands: false,
  openSuggestionDialogAfterPreviousSuggestionAccepted: true,
});

export type Editor = monaco.editor.IStandaloneCodeEditor;

export function createEditor(place: HTMLElement, text: string, isDark: boolean): Editor {
  return monaco.editor.create(place, {
    value: text,
    language: "kusto",
    theme: themeOf(isDark),
    ariaLabel: "Query",
    automaticLayout: true,
    minimap: { enabled: false },
    scrollBeyondLastLine: false,
    lineNumbersMinChars: 3,
    fontSize: 14,
    fixedOverflowWidgets: true,
    // Tab leaves the editor for whoever has no mouse, once they say so (Ctrl-M).
    accessibilitySupport: "auto",
    suggest: { showWords: false },
    wordWrap: "on",
  });
}

function themeOf(isDark: boolean): string {
  return isDark ? themeNames.dark2 : themeNames.light;
}

export function setTheme(isDark: boolean): void {
  monaco.editor.setTheme(themeOf(isDark));
}

/** What Ctrl-Enter and Shift-Enter do. */
export function onRun(editor: Editor, run: () => void): void {
  for (const key of [monaco.KeyMod.CtrlCmd, monaco.KeyMod.Shift]) editor.addCommand(key | monaco.KeyCode.Enter, run);
}

/** Has the language service know the tables, columns and functions of the server. */
export async function loadSchema(editor: Editor, database: string): Promise<void> {
  const model = editor.getModel();
  if (!model) return;
  const answer = await command(database, ".show databases schema as json");
  const schema = JSON.parse(String(answer.rows[0]?.[0] ?? "{}")) as object;
  const workerOf = await getKustoWorker();
  const worker = await workerOf(model.uri);
  await worker.setSchemaFromShowSchema(schema as never, location.origin, database);
}

/** Underlines what the server found wrong with the statement that begins at `offset`. */
export function showFindings(editor: Editor, offset: number, findings: Finding[]): void {
  const model = editor.getModel();
  if (!model) return;
  const markers = findings.map((finding) => {
    const start = model.getPositionAt(offset + finding.start);
    const end = model.getPositionAt(offset + Math.max(finding.end, finding.start + 1));
    return {
      severity: monaco.MarkerSeverity.Error,
      message: finding.message,
      startLineNumber: start.lineNumber,
      startColumn: start.column,
      endLineNumber: end.lineNumber,
      endColumn: end.column,
    };
  });
  monaco.editor.setModelMarkers(model, "turnstone", markers);
}

/** The place of the cursor in the text, in UTF-16 units. */
export function cursorOffset(editor: Editor): number {
  const model = editor.getModel();
  const position = editor.getPosition();
  return model && position ? model.getOffsetAt(position) : 0;
}

/** The text that is selected, with where it begins; nothing where none is. */
export function selection(editor: Editor): { text: string; start: number } | undefined {
  const model = editor.getModel();
  const selected = editor.getSelection();
  if (!model || !selected || selected.isEmpty()) return undefined;
  return { text: model.getValueInRange(selected), start: model.getOffsetAt(selected.getStartPosition()) };
}
