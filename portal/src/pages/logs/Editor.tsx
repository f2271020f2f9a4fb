/** The editor on the page: loaded when it is first needed, told what to show, asked what to run. */

import { useEffect, useImperativeHandle, useRef, useState, type Ref } from "react";
import type { Finding } from "../../api/kusto";
import { usePreferences } from "../../app/preferences";
import { Failure, Loading } from "../../components/states";
import { statementAt } from "../../model/kql";
import type { Editor as Monaco } from "./monaco";

export interface EditorHandle {
  /** What is to be run: what is selected, or the query under the cursor. */
  wanted(): { text: string; start: number } | undefined;
  setText(text: string): void;
  showFindings(start: number, findings: Finding[]): void;
  focus(): void;
}

interface EditorProps {
  initialText: string;
  database: string;
  onChange(text: string): void;
  onRun(): void;
  handle: Ref<EditorHandle>;
}

type Module = typeof import("./monaco");

export function Editor({ initialText, database, onChange, onRun, handle }: EditorProps) {
  const place = useRef<HTMLDivElement>(null);
  const [module, setModule] = useState<Module>();
  const [failure, setFailure] = useState<unknown>();
  const editor = useRef<Monaco | undefined>(undefined);
  const text = useRef(initialText);
  const latest = useRef({ onChange, onRun });
  latest.current = { onChange, onRun };
  const { isDark } = usePreferences();
  const [isReady, setIsReady] = useState(false);

  useEffect(() => {
    import("./monaco").then(setModule, setFailure);
  }, []);

  useEffect(() => {
    if (!module || !place.current) return;
    const created = module.createEditor(place.current, text.current, isDark);
    editor.current = created;
    module.onRun(created, () => latest.current.onRun());
    const model = created.getModel();
    const changed = created.onDidChangeModelContent(() => {
      text.current = created.getValue();
      module.showFindings(created, 0, []);
      latest.current.onChange(text.current);
    });
    setIsReady(true);
    return () => {
      changed.dispose();
      created.dispose();
      model?.dispose();
      editor.current = undefined;
      setIsReady(false);
    };
    // The theme is changed in place, below.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [module]);

  useEffect(() => module?.setTheme(isDark), [module, isDark]);

  useEffect(() => {
    // Without a schema the editor still edits; the server says what is wrong when a query runs.
    if (module && isReady && editor.current) module.loadSchema(editor.current, database).catch(() => undefined);
  }, [module, isReady, database]);

  useImperativeHandle(
    handle,
    () => ({
      wanted() {
        if (!module || !editor.current) return statementAt(text.current, 0);
        return module.selection(editor.current) ?? statementAt(text.current, module.cursorOffset(editor.current));
      },
      setText(next) {
        text.current = next;
        if (editor.current) editor.current.setValue(next);
        else latest.current.onChange(next);
      },
      showFindings(start, findings) {
        if (module && editor.current) module.showFindings(editor.current, start, findings);
      },
      focus() {
        editor.current?.focus();
      },
    }),
    [module],
  );

  if (failure) return <Failure error={failure} />;
  return (
    <div style={{ position: "relative", height: "100%" }}>
      {!isReady && <Loading label="Opening the editor" />}
      <div ref={place} style={{ position: "absolute", inset: 0 }} data-testid="editor" />
    </div>
  );
}
