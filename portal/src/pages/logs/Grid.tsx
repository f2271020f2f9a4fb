/**
 * The rows of a result. Only those in sight are in the page, so that a hundred thousand scroll as a hundred do. One cell
 * is the current one; the arrow keys move it, and what is copied or opened is its.
 */

import { Button, Input, makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useCallback, useEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";
import type { Cell, Column, Row, Table } from "../../api/kusto";
import { usePreferences } from "../../app/preferences";
import { cellText } from "../../model/sorting";
import { arrange, columnWidths, type Sorting } from "./arrange";

const ROW_PIXELS = 28;

const useStyles = makeStyles({
  frame: { display: "flex", flexDirection: "column", minHeight: 0, flexGrow: 1, gap: "6px" },
  scroller: {
    overflow: "auto",
    flexGrow: 1,
    minHeight: "120px",
    border: `1px solid ${tokens.colorNeutralStroke2}`,
    backgroundColor: tokens.colorNeutralBackground1,
    ":focus-visible": { outline: `2px solid ${tokens.colorStrokeFocus2}` },
  },
  head: { position: "sticky", top: 0, zIndex: 2, display: "flex", backgroundColor: tokens.colorNeutralBackground3 },
  headCell: { flexShrink: 0, boxSizing: "border-box", borderRight: `1px solid ${tokens.colorNeutralStroke3}`, display: "flex", alignItems: "center" },
  sort: { justifyContent: "flex-start", minWidth: 0, width: "100%", paddingLeft: "8px", overflow: "hidden", whiteSpace: "nowrap" },
  filters: { display: "flex", position: "sticky", top: "32px", zIndex: 2, backgroundColor: tokens.colorNeutralBackground3 },
  filter: { minWidth: 0, width: "100%" },
  row: { position: "absolute", left: 0, display: "flex", height: `${ROW_PIXELS}px`, ":hover": { backgroundColor: tokens.colorNeutralBackground1Hover } },
  cell: {
    flexShrink: 0,
    boxSizing: "border-box",
    padding: "4px 8px",
    overflow: "hidden",
    textOverflow: "ellipsis",
    whiteSpace: "pre",
    borderRight: `1px solid ${tokens.colorNeutralStroke3}`,
    borderBottom: `1px solid ${tokens.colorNeutralStroke3}`,
    fontSize: tokens.fontSizeBase200,
    lineHeight: "20px",
  },
  number: { textAlign: "right", fontVariantNumeric: "tabular-nums" },
  current: { outline: `2px solid ${tokens.colorBrandStroke1}`, outlineOffset: "-2px" },
  nothing: { color: tokens.colorNeutralForeground3, fontStyle: "italic" },
  detail: {
    maxHeight: "40%",
    overflow: "auto",
    border: `1px solid ${tokens.colorNeutralStroke2}`,
    backgroundColor: tokens.colorNeutralBackground1,
    padding: "8px 12px",
  },
  detailText: { margin: 0, fontFamily: tokens.fontFamilyMonospace, fontSize: tokens.fontSizeBase200, whiteSpace: "pre-wrap", overflowWrap: "anywhere" },
  detailList: { display: "grid", gridTemplateColumns: "minmax(100px, max-content) 1fr", gap: "4px 16px", margin: 0 },
  name: { color: tokens.colorNeutralForeground2 },
  value: { margin: 0, minWidth: 0 },
});

const NUMBERS = ["int", "long", "real", "decimal"];

interface GridProps {
  table: Table;
  showsFilters: boolean;
  /** Told of the rows as they are sorted and filtered. */
  onArranged(rows: Row[]): void;
}

export function Grid({ table, showsFilters, onArranged }: GridProps) {
  const styles = useStyles();
  const { zone, time } = usePreferences();
  const scroller = useRef<HTMLDivElement>(null);
  const [sorting, setSorting] = useState<Sorting>();
  const [filters, setFilters] = useState<Record<number, string>>({});
  const [current, setCurrent] = useState({ row: 0, column: 0 });
  const [isOpen, setIsOpen] = useState(false);
  const { columns } = table;
  const shown = useCallback(
    (cell: Cell, column: Column) => {
      // Whole seconds are enough to read; the value keeps its digits.
      if (column.type === "datetime" && typeof cell === "string") return zone === "utc" ? cell.replace("T", " ").replace(/\.?0*Z$/, "") : time(cell);
      return cellText(cell);
    },
    [zone, time],
  );
  const rows = useMemo(() => arrange(table, sorting, showsFilters ? filters : {}, shown), [table, sorting, filters, showsFilters, shown]);
  useEffect(() => onArranged(rows), [rows, onArranged]);
  const widths = useMemo(() => columnWidths(table), [table]);
  const width = widths.reduce((sum, one) => sum + one, 0);
  const virtualizer = useVirtualizer({ count: rows.length, getScrollElement: () => scroller.current, estimateSize: () => ROW_PIXELS, overscan: 12 });
  const move = (row: number, column: number) => {
    const to = { row: Math.min(Math.max(row, 0), Math.max(rows.length - 1, 0)), column: Math.min(Math.max(column, 0), columns.length - 1) };
    setCurrent(to);
    virtualizer.scrollToIndex(to.row);
    const left = widths.slice(0, to.column).reduce((sum, one) => sum + one, 0);
    const box = scroller.current;
    if (box && (left < box.scrollLeft || left + (widths[to.column] ?? 0) > box.scrollLeft + box.clientWidth)) box.scrollLeft = left;
  };
  const pressed = (event: KeyboardEvent) => {
    if (event.target !== event.currentTarget) return;
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 300) / ROW_PIXELS) - 2);
    const { row, column } = current;
    const moves: Record<string, [number, number]> = {
      ArrowDown: [row + 1, column],
      ArrowUp: [row - 1, column],
      ArrowRight: [row, column + 1],
      ArrowLeft: [row, column - 1],
      PageDown: [row + page, column],
      PageUp: [row - page, column],
      Home: event.ctrlKey ? [0, 0] : [row, 0],
      End: event.ctrlKey ? [rows.length - 1, columns.length - 1] : [row, columns.length - 1],
    };
    const to = moves[event.key];
    if (to) {
      event.preventDefault();
      move(...to);
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      setIsOpen(true);
    } else if (event.key === "Escape") {
      setIsOpen(false);
    } else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "c" && !getSelection()?.toString()) {
      event.preventDefault();
      void navigator.clipboard.writeText(cellText(rows[row]?.[column]));
    }
  };
  const opened = rows[current.row];
  const cellId = (row: number, column: number) => `cell-${row}-${column}`;
  return (
    <div className={styles.frame}>
      <div
        ref={scroller}
        className={styles.scroller}
        role="grid"
        aria-label={table.name}
        aria-rowcount={rows.length + 1}
        aria-colcount={columns.length}
        aria-activedescendant={rows.length > 0 ? cellId(current.row, current.column) : undefined}
        tabIndex={0}
        onKeyDown={pressed}
      >
        <div className={styles.head} role="row" aria-rowindex={1} style={{ width, height: 32 }}>
          {columns.map((column, place) => (
            <div
              key={place}
              className={styles.headCell}
              role="columnheader"
              aria-colindex={place + 1}
              aria-sort={sorting?.column === place ? (sorting.isDescending ? "descending" : "ascending") : "none"}
              style={{ width: widths[place] }}
            >
              <Button
                appearance="transparent"
                size="small"
                className={styles.sort}
                title={`${column.name}: ${column.type}`}
                onClick={() => setSorting(nextSorting(sorting, place))}
              >
                {column.name}
                {sorting?.column === place ? (sorting.isDescending ? " ↓" : " ↑") : ""}
              </Button>
            </div>
          ))}
        </div>
        {showsFilters && (
          <div className={styles.filters} role="row" style={{ width }}>
            {columns.map((column, place) => (
              <div key={place} role="gridcell" className={styles.headCell} style={{ width: widths[place] }}>
                <Input
                  size="small"
                  className={styles.filter}
                  aria-label={`Filter ${column.name}`}
                  placeholder="holds"
                  value={filters[place] ?? ""}
                  onChange={(_, { value }) => setFilters({ ...filters, [place]: value })}
                />
              </div>
            ))}
          </div>
        )}
        <div style={{ height: virtualizer.getTotalSize(), width, position: "relative" }} role="rowgroup">
          {virtualizer.getVirtualItems().map((item) => {
            const row = rows[item.index];
            if (!row) return null;
            return (
              <div key={item.index} className={styles.row} role="row" aria-rowindex={item.index + 2} style={{ transform: `translateY(${item.start}px)`, width }}>
                {columns.map((column, place) => {
                  const cell = row[place] ?? null;
                  const isCurrent = current.row === item.index && current.column === place;
                  return (
                    <div
                      key={place}
                      id={cellId(item.index, place)}
                      role="gridcell"
                      aria-colindex={place + 1}
                      aria-selected={isCurrent}
                      className={mergeClasses(styles.cell, NUMBERS.includes(column.type) && styles.number, isCurrent && styles.current)}
                      style={{ width: widths[place] }}
                      onClick={() => setCurrent({ row: item.index, column: place })}
                      onDoubleClick={() => setIsOpen(true)}
                    >
                      {cell === null ? <span className={styles.nothing}>null</span> : shown(cell, column)}
                    </div>
                  );
                })}
              </div>
            );
          })}
        </div>
      </div>
      {isOpen && opened && <Detail columns={columns} row={opened} onClose={() => setIsOpen(false)} />}
      {!isOpen && opened && (
        <div>
          <Button size="small" appearance="subtle" onClick={() => setIsOpen(true)}>
            Show the whole row
          </Button>
          <Button size="small" appearance="subtle" onClick={() => void navigator.clipboard.writeText(cellText(opened[current.column]))}>
            Copy the cell
          </Button>
          <Button size="small" appearance="subtle" onClick={() => void navigator.clipboard.writeText(opened.map(cellText).join("\t"))}>
            Copy the row
          </Button>
        </div>
      )}
    </div>
  );
}

function nextSorting(sorting: Sorting | undefined, column: number): Sorting | undefined {
  if (sorting?.column !== column) return { column, isDescending: false };
  return sorting.isDescending ? undefined : { column, isDescending: true };
}

/** One row, column by column, with dynamic values spread out. */
function Detail({ columns, row, onClose }: { columns: Column[]; row: Row; onClose(): void }) {
  const styles = useStyles();
  return (
    <div className={styles.detail} role="region" aria-label="The whole row" tabIndex={0}>
      <Button size="small" onClick={onClose}>
        Close
      </Button>
      <dl className={styles.detailList}>
        {columns.map((column, place) => (
          <DetailRow key={place} name={column.name} cell={row[place] ?? null} />
        ))}
      </dl>
    </div>
  );
}

function DetailRow({ name, cell }: { name: string; cell: Cell }) {
  const styles = useStyles();
  return (
    <>
      <dt className={styles.name}>{name}</dt>
      <dd className={styles.value}>
        <pre className={styles.detailText}>{spread(cell)}</pre>
      </dd>
    </>
  );
}

/** A value over several lines, where it is an object or a text that holds one. */
function spread(cell: Cell): string {
  let value = cell;
  if (typeof value === "string" && /^\s*[[{]/.test(value)) {
    try {
      value = JSON.parse(value) as Cell;
    } catch {
      return cellText(cell);
    }
  }
  return value !== null && typeof value === "object" ? JSON.stringify(value, null, 2) : cellText(value);
}
