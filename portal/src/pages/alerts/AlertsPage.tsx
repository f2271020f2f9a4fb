/** The list of alerts, and one of them beside it. */

import { Button, makeStyles, Text } from "@fluentui/react-components";
import { useCallback, useMemo, useState } from "react";
import { useLocation } from "wouter";
import { dismiss, loadDismissed } from "../../api/alerts";
import { records } from "../../api/kusto";
import { rawPath, usePathParts, useQueryString } from "../../app/location";
import { usePreferences } from "../../app/preferences";
import { useSession } from "../../app/session";
import { useLiveReload } from "../../app/live";
import { useData } from "../../app/useData";
import { Choice, Choices, FilterBar, FilterChip, Search, SpanChoice } from "../../components/filters";
import { ConfirmButton } from "../../components/ConfirmButton";
import { List, type ListColumn } from "../../components/List";
import { NewMark, SeverityMark } from "../../components/marks";
import { Page, TextLink } from "../../components/Page";
import { Empty, Failure, Loading, messageOf } from "../../components/states";
import {
  aggregateName,
  alertListQuery,
  alertTypesQuery,
  dayOf,
  GROUPINGS,
  isNew,
  readAlertFilter,
  ROWS_MAX,
  SEVERITIES,
  STATES,
  writeAlertFilter,
  type AlertFilter,
  type AlertGroup,
  type AlertState,
  type Grouping,
} from "../../model/alerts";
import { formatCount, relativeTime, writeSpan } from "../../model/time";
import { deviceAddress, logsAddress } from "../../model/links";
import { AlertPane } from "./AlertPane";

const useStyles = makeStyles({
  split: {
    display: "grid",
    gridTemplateColumns: "minmax(0, 1fr)",
    gap: "12px",
    flexGrow: 1,
    minHeight: 0,
    alignItems: "start",
  },
  open: {
    gridTemplateColumns: "minmax(0, 1fr) minmax(380px, 44%)",
    "@media (max-width: 1100px)": { gridTemplateColumns: "minmax(0, 1fr)", "& > :first-child": { display: "none" } },
  },
});

/** The columns that there is room for while one alert is open. */
const BESIDE_ONE = ["severity", "name", "device", "day", "count"];

const asOptions = (names: Record<string, string>) => Object.entries(names).map(([key, label]) => ({ key, label }));
const SEVERITY_ORDER = new Map<string, number>(SEVERITIES.map((severity, place) => [severity, place]));

export default function AlertsPage() {
  const styles = useStyles();
  const { scope } = useSession();
  const { database, hubs, solution } = scope;
  const { time } = usePreferences();
  const [, navigate] = useLocation();
  const search = useQueryString();
  // alerts/{type}/{day}
  const [, type, day] = usePathParts();
  const isChosen = type !== undefined && day !== undefined;
  const asked = new URLSearchParams(search);
  const filter = useMemo(() => readAlertFilter(search), [search]);
  const [picked, setPicked] = useState<ReadonlySet<string>>(new Set());
  const [failure, setFailure] = useState<unknown>();
  const [isBusy, setIsBusy] = useState(false);
  const pathOf = useCallback((row: { AlertType?: string; Day?: string }) => `/alerts/${encodeURIComponent(row.AlertType ?? "")}/${dayOf(row.Day ?? "")}`, []);
  const address = (changed: Partial<AlertFilter>) => {
    const written = writeAlertFilter({ ...filter, ...changed });
    return written ? `/alerts?${written}` : "/alerts";
  };
  const change = (changed: Partial<AlertFilter>) => {
    setPicked(new Set());
    navigate(address(changed), { replace: true });
  };
  const dismissed = useData(`dismissed ${solution.id}`, (signal) => loadDismissed(solution, signal));
  const source = useMemo(() => dismissed.value && { hubs, dismissed: dismissed.value }, [hubs, dismissed.value]);
  const listQuery = source ? alertListQuery(filter, source) : null;
  const list = useData(listQuery, (signal) => records<AlertGroup>(database, listQuery ?? "", signal));
  const typesQuery = alertTypesQuery(hubs, filter.span);
  const types = useData(typesQuery, (signal) => records<{ AlertType: string; DisplayName: string }>(database, typesQuery, signal));
  useLiveReload(list.reload);
  const dismissAll = async (names: string[]) => {
    setFailure(undefined);
    setIsBusy(true);
    try {
      for (const name of names) await dismiss(solution, name);
      setPicked(new Set());
      if (isChosen) navigate(address({}));
    } catch (error) {
      setFailure(error);
    }
    setIsBusy(false);
    dismissed.reload();
  };
  const rows = list.value ?? [];
  const columns = useMemo(() => {
    const all = columnsOf(filter, hubs, pathOf, search, time, dismissed.value ?? []);
    return isChosen ? all.filter((column) => BESIDE_ONE.includes(column.key)) : all;
  }, [filter, hubs, pathOf, search, time, dismissed.value, isChosen]);
  const keyOf = useCallback(
    (row: AlertGroup) => row.SystemAlertId ?? (row.AlertType && row.Day ? aggregateName(row.AlertType, row.Day) : (row.AlertType ?? row.DeviceId ?? row.AlertSeverity)),
    [],
  );
  const canPick = filter.grouping === "day" && filter.state !== "dismissed";
  const typeNames = (types.value ?? []).map(({ AlertType, DisplayName }) => ({ key: AlertType, label: DisplayName || AlertType }));
  return (
    <Page
      title="Alerts"
      mark={list.value && <Text>{rows.length >= ROWS_MAX ? `the first ${ROWS_MAX}` : formatCount(rows.length)}</Text>}
      actions={
        <>
          {picked.size > 0 && (
            <ConfirmButton
              appearance="primary"
              question={`Dismiss ${picked.size === 1 ? "this alert" : `these ${picked.size} alerts`}?`}
              consequence="Alerts of these types and days leave the lists and the numbers, for good and for everybody. They stay in the workspace."
              action="Dismiss"
              onConfirm={() => void dismissAll([...picked])}
            >
              {isBusy ? "Dismissing …" : `Dismiss ${picked.size}`}
            </ConfirmButton>
          )}
          {listQuery && <Button onClick={() => navigate(logsAddress(listQuery))}>Open as a query</Button>}
        </>
      }
    >
      <FilterBar>
        <Search label="Find alerts" value={filter.text} onChange={(text) => change({ text })} />
        <Choices label="Severity" options={SEVERITIES} values={filter.severities} onChange={(severities) => change({ severities })} />
        <SpanChoice span={filter.span} onChange={(span) => change({ span })} />
        <Choice label="Type" options={[{ key: "", label: "all" }, ...typeNames]} value={filter.type} onChange={(type) => change({ type })} />
        <Choice label="State" options={asOptions(STATES)} value={filter.state} onChange={(state) => change({ state: state as AlertState })} />
        <Choice label="Group by" options={asOptions(GROUPINGS)} value={filter.grouping} onChange={(grouping) => change({ grouping: grouping as Grouping })} />
        {filter.device ? (
          <FilterChip label={`Device: ${filter.device}`} onRemove={() => change({ device: "" })} />
        ) : (
          <Search label="One device's id" waitsForEnter value="" onChange={(device) => change({ device: device.trim() })} />
        )}
      </FilterBar>
      {failure !== undefined && <Text role="alert">The alerts could not be dismissed: {messageOf(failure)}</Text>}
      <div className={isChosen ? `${styles.split} ${styles.open}` : styles.split}>
        <div>
          {list.error || dismissed.error ? (
            <Failure error={list.error ?? dismissed.error} retry={list.error ? list.reload : dismissed.reload} />
          ) : list.value === undefined ? (
            <Loading label="Looking for alerts" />
          ) : rows.length === 0 ? (
            <NoAlerts isFiltered={writeAlertFilter({ ...filter, grouping: "day" }) !== ""} />
          ) : (
            <List
              label="Alerts"
              columns={columns}
              rows={rows}
              keyOf={keyOf}
              {...(isChosen ? { chosen: asked.get("alert") ?? aggregateName(type, day) } : {})}
              {...(canPick ? { picked, onPick: setPicked } : {})}
            />
          )}
        </div>
        {isChosen && (
          <AlertPane
            key={`${rawPath()} ${filter.device} ${asked.get("alert")}`}
            type={type}
            day={day}
            device={filter.device}
            alertId={asked.get("alert") ?? ""}
            isDismissed={(dismissed.value ?? []).includes(aggregateName(type, day))}
            onDismiss={(name) => void dismissAll([name])}
            onClose={() => navigate(address({}))}
          />
        )}
      </div>
    </Page>
  );
}

function NoAlerts({ isFiltered }: { isFiltered: boolean }) {
  return isFiltered ? (
    <Empty title="No alert matches these filters" action={<TextLink href="/alerts">Show all of the last 7 days</TextLink>} />
  ) : (
    <Empty title="No alerts in the last 7 days" action={<TextLink href="/devices">See the devices that report</TextLink>}>
      Alerts appear here by themselves when devices report what the rules look for.
    </Empty>
  );
}

function columnsOf(
  filter: AlertFilter,
  hubs: readonly string[],
  pathOf: (row: AlertGroup) => string,
  search: string,
  time: (value: string) => string,
  dismissed: readonly string[],
): ListColumn<AlertGroup>[] {
  const severity: ListColumn<AlertGroup> = {
    key: "severity",
    title: "Severity",
    value: (row) => SEVERITY_ORDER.get(row.AlertSeverity) ?? 9,
    show: (row) => <SeverityMark severity={row.AlertSeverity} />,
    width: "120px",
  };
  const count: ListColumn<AlertGroup> = { key: "count", title: "Count", value: (row) => row.Count, show: (row) => formatCount(row.Count), isNumber: true };
  const devices: ListColumn<AlertGroup> = { key: "devices", title: "Devices", value: (row) => row.Devices, show: (row) => formatCount(row.Devices), isNumber: true };
  const last: ListColumn<AlertGroup> = {
    key: "last",
    title: "Last",
    value: (row) => row.Last,
    show: (row) => <span title={relativeTime(row.Last)}>{time(row.Last)}</span>,
    width: "160px",
  };
  const query = (changed: Partial<AlertFilter>) => writeAlertFilter({ ...filter, grouping: "day", ...changed });
  const named = (href: (row: AlertGroup) => string): ListColumn<AlertGroup> => ({
    key: "name",
    title: "Alert",
    value: (row) => row.DisplayName ?? "",
    show: (row) => (
      <>
        <TextLink href={href(row)}>{row.DisplayName || row.AlertType || "Unnamed"}</TextLink>
        {isNew(row.Last) && <NewMark />}
      </>
    ),
  });
  const suffix = search ? `?${search}` : "";
  switch (filter.grouping) {
    case "day":
      return [
        severity,
        named((row) => pathOf(row) + suffix),
        { key: "day", title: "Day (UTC)", value: (row) => row.Day ?? "", show: (row) => dayOf(row.Day ?? ""), width: "110px" },
        count,
        devices,
        last,
        { key: "resource", title: "Resource", show: () => "IoT device" },
        { key: "source", title: "Source", value: (row) => row.VendorName ?? "", show: (row) => row.VendorName ?? "" },
        {
          key: "state",
          title: "State",
          show: (row) => (dismissed.includes(aggregateName(row.AlertType ?? "", row.Day ?? "")) ? "Dismissed" : "Open"),
        },
      ];
    case "type":
      return [severity, named((row) => `/alerts?${query({ type: row.AlertType ?? "" })}`), count, devices, last];
    case "device":
      return [
        severity,
        {
          key: "device",
          title: "Device",
          value: (row) => row.DeviceId ?? "",
          show: (row) => <TextLink href={`/alerts?${query({ device: row.DeviceId ?? "" })}`}>{row.DeviceId || "Unknown"}</TextLink>,
        },
        count,
        last,
      ];
    case "severity":
      return [{ ...severity, show: (row) => <TextLink href={`/alerts?${query({ severities: [row.AlertSeverity] })}`}>{row.AlertSeverity}</TextLink> }, count, devices, last];
    case "none":
      return [
        severity,
        named((row) => `${pathOf(row)}?${new URLSearchParams({ ...Object.fromEntries(new URLSearchParams(search)), alert: row.SystemAlertId ?? "" })}`),
        {
          key: "device",
          title: "Device",
          value: (row) => row.DeviceId ?? "",
          show: (row) => <TextLink href={deviceAddress(hubs, row.DeviceId ?? "", row.ResourceId, { span: writeSpan(filter.span) })}>{row.DeviceId ?? ""}</TextLink>,
        },
        last,
      ];
  }
}
