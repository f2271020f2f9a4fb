/** What lists are narrowed by. */

import { Dropdown, Input, makeStyles, Option } from "@fluentui/react-components";
import { DismissRegular, SearchRegular } from "@fluentui/react-icons";
import { Button } from "@fluentui/react-components";
import { useEffect, useState, type ReactNode } from "react";
import { DAY, readSpan, SPANS, spanLength, type Span, writeSpan } from "../model/time";
import { usePreferences } from "../app/preferences";

const useStyles = makeStyles({
  bar: { display: "flex", flexWrap: "wrap", gap: "8px", alignItems: "center" },
  small: { minWidth: "140px", maxWidth: "100%" },
  search: { minWidth: "220px" },
  moments: { display: "flex", gap: "6px", alignItems: "center", flexWrap: "wrap" },
});

export function FilterBar({ children, label = "Filters" }: { children: ReactNode; label?: string }) {
  const styles = useStyles();
  return (
    <div className={styles.bar} role="search" aria-label={label}>
      {children}
    </div>
  );
}

interface ChoiceProps {
  label: string;
  options: readonly { key: string; label: string }[];
  value: string;
  onChange(key: string): void;
}

/** One of several. */
export function Choice({ label, options, value, onChange }: ChoiceProps) {
  const styles = useStyles();
  const shown = options.find((option) => option.key === value)?.label ?? value;
  return (
    <Dropdown className={styles.small} aria-label={label} value={`${label}: ${shown}`} selectedOptions={[value]} onOptionSelect={(_, { optionValue }) => onChange(optionValue ?? "")}>
      {options.map((option) => (
        <Option key={option.key} value={option.key} text={option.label}>
          {option.label}
        </Option>
      ))}
    </Dropdown>
  );
}

interface ChoicesProps {
  label: string;
  options: readonly string[];
  values: string[];
  onChange(values: string[]): void;
}

/** Any of several; all of them where none is picked. */
export function Choices({ label, options, values, onChange }: ChoicesProps) {
  const styles = useStyles();
  return (
    <Dropdown
      className={styles.small}
      multiselect
      aria-label={label}
      value={`${label}: ${values.length === 0 ? "all" : values.join(", ")}`}
      selectedOptions={values}
      onOptionSelect={(_, { selectedOptions }) => onChange(selectedOptions)}
    >
      {options.map((option) => (
        <Option key={option} value={option}>
          {option}
        </Option>
      ))}
    </Dropdown>
  );
}

interface SearchProps {
  label: string;
  value: string;
  /** What is looked for must be whole: it is once Enter is pressed. */
  waitsForEnter?: boolean;
  onChange(text: string): void;
}

/** A text that is looked for once the person has stopped to write. */
export function Search({ label, value, waitsForEnter = false, onChange }: SearchProps) {
  const styles = useStyles();
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text === value || waitsForEnter) return;
    const timer = setTimeout(() => onChange(text), 300);
    return () => clearTimeout(timer);
  }, [text, value, waitsForEnter, onChange]);
  return (
    <Input
      className={styles.search}
      type="search"
      aria-label={label}
      placeholder={label}
      contentBefore={<SearchRegular aria-hidden />}
      value={text}
      onChange={(_, { value: written }) => setText(written)}
      onKeyDown={(event) => event.key === "Enter" && onChange(text)}
    />
  );
}

/** Something that a list is narrowed by and that can be taken away again. */
export function FilterChip({ label, onRemove }: { label: string; onRemove(): void }) {
  return (
    <Button size="small" shape="circular" icon={<DismissRegular />} iconPosition="after" aria-label={`Remove the filter ${label}`} onClick={onRemove}>
      {label}
    </Button>
  );
}

const BETWEEN = "between";
const NONE = "none";
const [FIRST_YEAR, LAST_YEAR] = [1970, 9998];

interface SpanChoiceProps {
  span: Span;
  onChange(span: Span): void;
}

/** A span of time: one of the usual, or between two moments. */
export function SpanChoice({ span, onChange }: SpanChoiceProps) {
  return <OptionalSpanChoice span={span} onChange={(chosen) => chosen && onChange(chosen)} />;
}

interface OptionalSpanChoiceProps {
  span: Span | undefined;
  /** What stands for no span; without it there is always one. */
  none?: string;
  onChange(span: Span | undefined): void;
}

/** A span of time, or none. */
export function OptionalSpanChoice({ span, none, onChange }: OptionalSpanChoiceProps) {
  const styles = useStyles();
  const { zone } = usePreferences();
  const between = span && "from" in span ? span : undefined;
  const usual = SPANS.map(({ key, label }) => ({ key, label }));
  const options = [...(none ? [{ key: NONE, label: none }] : []), ...usual, { key: BETWEEN, label: "Between two times" }];
  const choose = (key: string) => {
    if (key === NONE) return onChange(undefined);
    if (key !== BETWEEN) return onChange(readSpan(key));
    if (between) return;
    const now = Date.now();
    onChange({ from: new Date(now - (span ? spanLength(span) : DAY)).toISOString(), to: new Date(now).toISOString() });
  };
  // A field has a time at every key; it is taken when the person is done with it.
  const take = (name: "from" | "to", text: string) => {
    const read = readField(text, zone);
    if (between && read && read !== between[name]) onChange({ ...between, [name]: read });
  };
  const moment = (name: "from" | "to", label: string) =>
    between && (
      <Input
        type="datetime-local"
        aria-label={`${label}, ${zone === "utc" ? "UTC" : "local time"}`}
        step={60}
        key={`${between[name]} ${zone}`}
        defaultValue={fieldText(between[name], zone)}
        onBlur={(event) => take(name, event.currentTarget.value)}
        onKeyDown={(event) => event.key === "Enter" && take(name, event.currentTarget.value)}
      />
    );
  return (
    <span className={styles.moments}>
      <Choice label="Time" options={options} value={between ? BETWEEN : span ? writeSpan(span) : NONE} onChange={choose} />
      {between && (
        <>
          {moment("from", "From")} – {moment("to", "To")}
        </>
      )}
    </span>
  );
}

/** A moment as a field of the browser shows it, which knows no zones. */
function fieldText(iso: string, zone: "utc" | "local"): string {
  const time = new Date(iso);
  const shown = zone === "utc" ? time : new Date(time.getTime() - time.getTimezoneOffset() * 60_000);
  return shown.toISOString().slice(0, 16);
}

function readField(text: string, zone: "utc" | "local"): string | undefined {
  const time = new Date(zone === "utc" ? `${text}Z` : text);
  const isTime = !Number.isNaN(time.getTime()) && time.getUTCFullYear() >= FIRST_YEAR && time.getUTCFullYear() <= LAST_YEAR;
  return isTime ? time.toISOString() : undefined;
}
