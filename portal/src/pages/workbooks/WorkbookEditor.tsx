/** Changing a workbook: its title, its parameters, its texts and queries. What it looks like is shown below. */

import { Button, Dropdown, Field, Input, makeStyles, Option, Textarea } from "@fluentui/react-components";
import { ArrowDownRegular, ArrowUpRegular, DeleteRegular } from "@fluentui/react-icons";
import { Section } from "../../components/Page";
import { CHARTS } from "../../model/chart";
import { isParameterName, type Item, type Parameter, type ParameterKind, type Workbook } from "../../model/workbook";

const useStyles = makeStyles({
  form: { display: "flex", flexDirection: "column", gap: "10px" },
  line: { display: "flex", flexWrap: "wrap", gap: "8px", alignItems: "end" },
  grow: { flexGrow: 1 },
});

const KINDS: Record<ParameterKind, string> = { text: "Text", span: "Span of time", choice: "Choice" };
const VIEWS: Record<string, string> = { "": "As its render says", grid: "Grid", number: "Number", ...CHARTS };

interface WorkbookEditorProps {
  workbook: Workbook;
  onChange(workbook: Workbook): void;
}

export function WorkbookEditor({ workbook, onChange }: WorkbookEditorProps) {
  const styles = useStyles();
  const setParameters = (parameters: Parameter[]) => onChange({ ...workbook, parameters });
  const setItems = (items: Item[]) => onChange({ ...workbook, items });
  const put = <T,>(list: T[], place: number, value: T) => list.map((one, at) => (at === place ? value : one));
  const without = <T,>(list: T[], place: number) => list.filter((_, at) => at !== place);
  const moved = <T,>(list: T[], place: number, by: number) => {
    const next = without(list, place);
    next.splice(Math.max(0, place + by), 0, list[place] as T);
    return next;
  };
  return (
    <Section title="Edit">
      <div className={styles.form}>
        <div className={styles.line}>
          <Field label="Title" className={styles.grow}>
            <Input value={workbook.title} onChange={(_, { value }) => onChange({ ...workbook, title: value })} />
          </Field>
          <Field label="Description" className={styles.grow}>
            <Input value={workbook.description} onChange={(_, { value }) => onChange({ ...workbook, description: value })} />
          </Field>
        </div>
        {workbook.parameters.map((parameter, place) => (
          <ParameterForm
            key={place}
            parameter={parameter}
            onChange={(changed) => setParameters(put(workbook.parameters, place, changed))}
            onDelete={() => setParameters(without(workbook.parameters, place))}
          />
        ))}
        {workbook.items.map((item, place) => (
          <ItemForm
            key={place}
            item={item}
            onChange={(changed) => setItems(put(workbook.items, place, changed))}
            onMove={(by) => setItems(moved(workbook.items, place, by))}
            onDelete={() => setItems(without(workbook.items, place))}
          />
        ))}
        <div className={styles.line}>
          <Button onClick={() => setItems([...workbook.items, { kind: "text", text: "# A heading" }])}>Add text</Button>
          <Button onClick={() => setItems([...workbook.items, { kind: "query", title: "A query", query: "SecurityAlert\n| count" }])}>Add a query</Button>
          <Button onClick={() => setParameters([...workbook.parameters, { name: `p${workbook.parameters.length + 1}`, label: "Parameter", kind: "text", value: "" }])}>
            Add a parameter
          </Button>
        </div>
      </div>
    </Section>
  );
}

function ParameterForm({ parameter, onChange, onDelete }: { parameter: Parameter; onChange(parameter: Parameter): void; onDelete(): void }) {
  const styles = useStyles();
  return (
    <div className={styles.line} role="group" aria-label={`Parameter ${parameter.name}`}>
      <Field label="Parameter" validationMessage={isParameterName(parameter.name) ? undefined : "A letter, then letters, digits and _"}>
        <Input value={parameter.name} onChange={(_, { value }) => onChange({ ...parameter, name: value })} />
      </Field>
      <Field label="Label">
        <Input value={parameter.label} onChange={(_, { value }) => onChange({ ...parameter, label: value })} />
      </Field>
      <Field label="Kind">
        <Dropdown value={KINDS[parameter.kind]} selectedOptions={[parameter.kind]} onOptionSelect={(_, { optionValue }) => onChange({ ...parameter, kind: (optionValue ?? "text") as ParameterKind })}>
          {Object.entries(KINDS).map(([kind, label]) => (
            <Option key={kind} value={kind}>
              {label}
            </Option>
          ))}
        </Dropdown>
      </Field>
      <Field label="Value">
        <Input value={parameter.value} onChange={(_, { value }) => onChange({ ...parameter, value })} />
      </Field>
      {parameter.kind === "choice" && (
        <Field label="Query of what to choose from" className={styles.grow}>
          <Input value={parameter.query ?? ""} onChange={(_, { value }) => onChange({ ...parameter, query: value })} />
        </Field>
      )}
      <Button icon={<DeleteRegular />} aria-label={`Delete the parameter ${parameter.name}`} onClick={onDelete} />
    </div>
  );
}

interface ItemFormProps {
  item: Item;
  onChange(item: Item): void;
  onMove(by: number): void;
  onDelete(): void;
}

function ItemForm({ item, onChange, onMove, onDelete }: ItemFormProps) {
  const styles = useStyles();
  const label = item.kind === "text" ? "Text" : `Query ${item.title}`;
  return (
    <div role="group" aria-label={label}>
      <div className={styles.line}>
        {item.kind === "query" && (
          <>
            <Field label="Title" className={styles.grow}>
              <Input value={item.title} onChange={(_, { value }) => onChange({ ...item, title: value })} />
            </Field>
            <Field label="Show as">
              <Dropdown value={VIEWS[item.view ?? ""] ?? ""} selectedOptions={[item.view ?? ""]} onOptionSelect={(_, { optionValue }) => onChange({ ...item, ...(optionValue ? { view: optionValue } : { view: undefined }) } as Item)}>
                {Object.entries(VIEWS).map(([view, name]) => (
                  <Option key={view} value={view}>
                    {name}
                  </Option>
                ))}
              </Dropdown>
            </Field>
          </>
        )}
        <Button icon={<ArrowUpRegular />} aria-label={`Move up: ${label}`} onClick={() => onMove(-1)} />
        <Button icon={<ArrowDownRegular />} aria-label={`Move down: ${label}`} onClick={() => onMove(1)} />
        <Button icon={<DeleteRegular />} aria-label={`Delete: ${label}`} onClick={onDelete} />
      </div>
      <Textarea
        style={{ width: "100%" }}
        resize="vertical"
        aria-label={item.kind === "text" ? "Text" : `KQL of ${item.title}`}
        value={item.kind === "text" ? item.text : item.query}
        onChange={(_, { value }) => onChange(item.kind === "text" ? { ...item, text: value } : { ...item, query: value })}
      />
    </div>
  );
}
