/** A list of rows with columns that can be sorted by, chosen and, where something can be done with them, picked. */

import { Button, Checkbox, makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import { ArrowDownRegular, ArrowUpRegular } from "@fluentui/react-icons";
import { useCallback, useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import { compareCells } from "../model/sorting";
import { formatCount } from "../model/time";

const useStyles = makeStyles({
  frame: {
    overflow: "auto",
    backgroundColor: tokens.colorNeutralBackground1,
    border: `1px solid ${tokens.colorNeutralStroke2}`,
    borderRadius: tokens.borderRadiusLarge,
    ":focus-visible": { outline: `2px solid ${tokens.colorStrokeFocus2}` },
  },
  table: { borderCollapse: "collapse", width: "100%", fontSize: tokens.fontSizeBase300 },
  head: {
    textAlign: "left",
    fontWeight: 600,
    padding: "4px 6px",
    borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
    whiteSpace: "nowrap",
    fontSize: tokens.fontSizeBase200,
    backgroundColor: tokens.colorNeutralBackground1,
  },
  plainHead: { padding: "4px 12px" },
  cell: { padding: "7px 12px", borderBottom: `1px solid ${tokens.colorNeutralStroke3}`, verticalAlign: "top", overflowWrap: "break-word" },
  number: { textAlign: "right", fontVariantNumeric: "tabular-nums" },
  group: { padding: "10px 12px 4px", fontWeight: 600, textAlign: "left", backgroundColor: tokens.colorNeutralBackground2 },
  row: { ":hover": { backgroundColor: tokens.colorNeutralBackground1Hover } },
  chosen: { backgroundColor: tokens.colorNeutralBackground1Selected },
  sort: { minWidth: 0, paddingLeft: "6px", paddingRight: "6px", fontWeight: 600 },
  pick: { width: "32px" },
  more: { display: "flex", justifyContent: "center", padding: "8px" },
});

export interface ListColumn<T> {
  key: string;
  title: string;
  /** What rows are sorted by; a column without it cannot be sorted by. */
  value?: (row: T) => string | number | null | undefined;
  show(row: T): ReactNode;
  isNumber?: boolean;
  width?: string;
}

interface ListProps<T> {
  label: string;
  columns: ListColumn<T>[];
  rows: T[];
  keyOf(row: T): string;
  /** The row that is open beside the list. */
  chosen?: string;
  picked?: ReadonlySet<string>;
  onPick?: (picked: Set<string>) => void;
  /** What rows that stand together have in common. */
  groupOf?: (row: T) => string;
}

/** So many rows are drawn at first, and so many more each time that somebody comes to their end. */
const ROWS_STEP = 200;

interface Sorting {
  key: string;
  isDescending: boolean;
}

export function List<T>({ label, columns, rows, keyOf, chosen, picked, onPick, groupOf }: ListProps<T>) {
  const styles = useStyles();
  const [sorting, setSorting] = useState<Sorting | undefined>();
  const sorted = useMemo(() => {
    const value = columns.find((column) => column.key === sorting?.key)?.value;
    const ordered = [...rows];
    if (value && sorting) {
      ordered.sort((a, b) => (sorting.isDescending ? -1 : 1) * compareCells(value(a) ?? null, value(b) ?? null));
    }
    if (groupOf) ordered.sort((a, b) => groupOf(a).localeCompare(groupOf(b)));
    return ordered;
  }, [rows, columns, sorting, groupOf]);
  const [wanted, setDrawn] = useState(ROWS_STEP);
  // The row that is open is there, wherever it stands.
  const open = chosen === undefined ? -1 : sorted.findIndex((row) => keyOf(row) === chosen);
  const drawn = Math.max(wanted, open + 1);
  const drawMore = useCallback(() => setDrawn((count) => count + ROWS_STEP), []);
  const pick = (key: string, isPicked: boolean) => {
    const next = new Set(picked);
    if (isPicked) next.add(key);
    else next.delete(key);
    onPick?.(next);
  };
  const allPicked = picked !== undefined && rows.length > 0 && rows.every((row) => picked.has(keyOf(row)));
  const width = columns.length + (onPick ? 1 : 0);
  return (
    <div className={styles.frame} role="region" aria-label={label} tabIndex={0}>
      <table className={styles.table} aria-label={label} aria-rowcount={drawn < sorted.length ? sorted.length + 1 : undefined}>
        <thead>
          <tr>
            {onPick && (
              <th className={mergeClasses(styles.head, styles.pick)}>
                <Checkbox
                  aria-label="Pick all rows"
                  checked={allPicked ? true : picked && picked.size > 0 ? "mixed" : false}
                  onChange={() => onPick(allPicked ? new Set() : new Set(rows.map(keyOf)))}
                />
              </th>
            )}
            {columns.map((column) => (
              <HeadCell key={column.key} column={column} sorting={sorting} onSort={setSorting} />
            ))}
          </tr>
        </thead>
        <tbody>
          {sorted.slice(0, drawn).map((row, place) => {
            const key = keyOf(row);
            const group = groupOf?.(row);
            const before = sorted[place - 1];
            const begins = group !== undefined && (before === undefined || groupOf?.(before) !== group);
            return [
              begins && (
                <tr key={`group ${group}`}>
                  <th className={styles.group} colSpan={width} scope="rowgroup">
                    {group || "Unknown"}
                  </th>
                </tr>
              ),
              <tr key={key} className={mergeClasses(styles.row, chosen === key && styles.chosen)} aria-selected={chosen === undefined ? undefined : chosen === key}>
                {onPick && (
                  <td className={styles.cell}>
                    <Checkbox aria-label={`Pick ${key}`} checked={picked?.has(key) ?? false} onChange={(_, { checked }) => pick(key, checked === true)} />
                  </td>
                )}
                {columns.map((column) => (
                  <td key={column.key} className={mergeClasses(styles.cell, column.isNumber && styles.number)}>
                    {column.show(row)}
                  </td>
                ))}
              </tr>,
            ];
          })}
        </tbody>
      </table>
      {drawn < sorted.length && <More shown={drawn} all={sorted.length} onMore={drawMore} />}
    </div>
  );
}

interface MoreProps {
  shown: number;
  all: number;
  onMore(): void;
}

/** The end of what is drawn: it grows when somebody comes to it. */
function More({ shown, all, onMore }: MoreProps) {
  const styles = useStyles();
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!end.current) return;
    const observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && onMore());
    observer.observe(end.current);
    return () => observer.disconnect();
    // A list whose end is still in sight once it has grown is looked at anew.
  }, [shown, onMore]);
  return (
    <div ref={end} className={styles.more}>
      <Button appearance="transparent" onClick={onMore}>
        {formatCount(shown)} of {formatCount(all)} rows are shown: show more
      </Button>
    </div>
  );
}

interface HeadCellProps<T> {
  column: ListColumn<T>;
  sorting: Sorting | undefined;
  onSort(sorting: Sorting): void;
}

function HeadCell<T>({ column, sorting, onSort }: HeadCellProps<T>) {
  const styles = useStyles();
  const isSorted = sorting?.key === column.key;
  const direction = isSorted ? (sorting.isDescending ? "descending" : "ascending") : undefined;
  const classes = mergeClasses(styles.head, column.isNumber && styles.number, !column.value && styles.plainHead);
  return (
    <th className={classes} aria-sort={direction} scope="col" style={column.width ? { width: column.width } : undefined}>
      {column.value ? (
        <Button
          appearance="transparent"
          size="small"
          className={styles.sort}
          iconPosition="after"
          icon={direction === "descending" ? <ArrowDownRegular /> : direction === "ascending" ? <ArrowUpRegular /> : undefined}
          onClick={() => onSort({ key: column.key, isDescending: isSorted ? !sorting.isDescending : column.isNumber === true })}
        >
          {column.title}
        </Button>
      ) : (
        column.title
      )}
    </th>
  );
}
