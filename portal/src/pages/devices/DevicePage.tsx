/** One device: who it is, how its agent does, what was found on it and what happened there. */

import { Button, Dialog, DialogActions, DialogBody, DialogContent, DialogSurface, DialogTitle, DialogTrigger, makeStyles, Tab, TabList, Text, tokens } from "@fluentui/react-components";
import { useState } from "react";
import { useLocation } from "wouter";
import { deleteDevice, loadDevices, loadTimeline, setEnabled, TIMELINE_MAX, type Device, type TimelineEntry } from "../../api/devices";
import { ApiError } from "../../api/http";
import { records } from "../../api/kusto";
import { nameIn } from "../../api/scope";
import { rawPath, usePathParts, useQueryString } from "../../app/location";
import { usePreferences } from "../../app/preferences";
import { useSession } from "../../app/session";
import { useData } from "../../app/useData";
import { FilterBar, SpanChoice } from "../../components/filters";
import { List, type ListColumn } from "../../components/List";
import { SeverityMark, StateMark } from "../../components/marks";
import { Facts, Page, Section, TextLink } from "../../components/Page";
import { CutNote, Empty, Failure, Loading, messageOf } from "../../components/states";
import { dayOf } from "../../model/alerts";
import { COLUMNS } from "../../model/devices";
import { collectorsQuery, portsQuery, usersQuery, type Collector, type LocalUser, type OpenPort } from "../../model/deviceQueries";
import { logsAddress } from "../../model/links";
import { deviceRecommendationsQuery, type DeviceRecommendation } from "../../model/recommendations";
import { cellText } from "../../model/sorting";
import { betweenOf, readSpan, relativeTime, writeSpan } from "../../model/time";

const useStyles = makeStyles({
  columns: { display: "grid", gridTemplateColumns: "repeat(auto-fit, minmax(min(360px, 100%), 1fr))", gap: "12px", alignItems: "start" },
  details: { fontFamily: tokens.fontFamilyMonospace, fontSize: tokens.fontSizeBase200, overflowWrap: "anywhere" },
});

const TABS = { timeline: "Timeline", recommendations: "Recommendations", users: "Users", ports: "Open ports" } as const;
type TabName = keyof typeof TABS;

export default function DevicePage() {
  const styles = useStyles();
  const { scope } = useSession();
  const { time } = usePreferences();
  const [, navigate] = useLocation();
  const search = useQueryString();
  const id = usePathParts()[1] ?? "";
  const parameters = new URLSearchParams(search);
  const names = scope.hubs.map(nameIn);
  const asked = parameters.get("hub");
  const tab = (parameters.get("tab") ?? "timeline") in TABS ? ((parameters.get("tab") ?? "timeline") as TabName) : "timeline";
  const device = useData(`device ${names.join(" ")} ${asked} ${id}`, async (signal) => {
    const all = await loadDevices(asked ? [asked] : names, signal, id);
    const found = all[0];
    if (!found || !names.includes(found.hub)) throw new ApiError(404, "DeviceNotFound", `There is no device '${id}' in this solution's hubs.`);
    return found;
  });
  const open = (changes: Record<string, string>) => {
    const next = new URLSearchParams(search);
    for (const [name, value] of Object.entries(changes)) next.set(name, value);
    navigate(`${rawPath()}?${next}`, { replace: true });
  };
  const known = device.value;
  const hubId = known ? (scope.hubs.find((hub) => nameIn(hub) === known.hub) ?? "") : "";
  const trail = [{ label: "Devices", href: "/devices" }];
  if (device.error) {
    return (
      <Page title={id} trail={trail}>
        <Failure error={device.error} retry={device.reload} />
      </Page>
    );
  }
  if (!known) {
    return (
      <Page title={id} trail={trail}>
        <Loading label="Reading the device" />
      </Page>
    );
  }
  return (
    <Page title={id} trail={trail} actions={<Actions device={known} onChanged={device.reload} onDeleted={() => navigate("/devices")} />}>
      <div className={styles.columns}>
        <Section title="Identity">
          <Facts
            facts={COLUMNS.filter((column) => !["alerts", "recommendations", "first", "last", "updated"].includes(column.key)).map((column): [string, string] => {
              const value = column.value(known);
              return [column.title, column.isTime ? time(value) : cellText(value)];
            })}
          />
        </Section>
        <Section title="Agent">
          <Facts
            facts={[
              ["Last activity", known.lastActivityTime ? `${time(known.lastActivityTime)} (${relativeTime(known.lastActivityTime)})` : "never"],
              ["First seen", time(known.firstSeenTime)],
              ["Last update", time(known.systemInformationTime)],
              ["Version", known.agentVersion ?? ""],
            ]}
          />
          <Collectors hub={hubId} device={id} />
        </Section>
        <Section title="Security">
          <Facts
            facts={[
              ["Alerts, 7 days", <TextLink key="alerts" href={`/alerts?device=${encodeURIComponent(id)}&group=none`}>{known.alerts}</TextLink>],
              [
                "Active recommendations",
                <TextLink key="recommendations" href={`/recommendations?device=${encodeURIComponent(id)}`}>{known.activeRecommendations}</TextLink>,
              ],
            ]}
          />
        </Section>
      </div>
      <TabList selectedValue={tab} onTabSelect={(_, { value }) => open({ tab: String(value) })} style={{ flexWrap: "wrap" }}>
        {Object.entries(TABS).map(([name, label]) => (
          <Tab key={name} value={name}>
            {label}
          </Tab>
        ))}
      </TabList>
      {tab === "timeline" && <Timeline device={known} search={search} onSpan={(span) => open({ span })} />}
      {tab === "recommendations" && <Recommendations hub={hubId} device={id} />}
      {tab === "users" && <Users hub={hubId} device={id} />}
      {tab === "ports" && <Ports hub={hubId} device={id} />}
    </Page>
  );
}

function Actions({ device, onChanged, onDeleted }: { device: Device; onChanged(): void; onDeleted(): void }) {
  const [problem, setProblem] = useState("");
  const run = async (action: () => Promise<void>, done: () => void) => {
    try {
      await action();
      done();
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  return (
    <>
      {problem && <Text role="alert">{problem}</Text>}
      <Button onClick={() => void run(() => setEnabled(device.hub, device.deviceId, !device.isEnabled), onChanged)}>
        {device.isEnabled ? "Stop it from sending" : "Let it send"}
      </Button>
      <Dialog>
        <DialogTrigger disableButtonEnhancement>
          <Button>Delete</Button>
        </DialogTrigger>
        <DialogSurface>
          <DialogBody>
            <DialogTitle>Delete the device {device.deviceId}?</DialogTitle>
            <DialogContent>It can send no more. What it has told stays in the workspace.</DialogContent>
            <DialogActions>
              <DialogTrigger disableButtonEnhancement>
                <Button>Keep it</Button>
              </DialogTrigger>
              <Button appearance="primary" onClick={() => void run(() => deleteDevice(device.hub, device.deviceId), onDeleted)}>
                Delete
              </Button>
            </DialogActions>
          </DialogBody>
        </DialogSurface>
      </Dialog>
    </>
  );
}

/** What the agent's collectors can see, by the events that came of each. */
function Collectors({ hub, device }: { hub: string; device: string }) {
  const { scope } = useSession();
  const { time } = usePreferences();
  const text = collectorsQuery(hub, device);
  const collectors = useData(text, (signal) => records<Collector>(scope.database, text, signal));
  const columns: ListColumn<Collector>[] = [
    { key: "name", title: "Collector", value: (row) => row.RawEventName, show: (row) => row.RawEventName },
    { key: "events", title: "Events, 7 days", value: (row) => row.Events, show: (row) => row.Events, isNumber: true },
    { key: "last", title: "Last", value: (row) => row.Last, show: (row) => time(row.Last) },
    { key: "problem", title: "Said of itself", show: (row) => row.Problem },
  ];
  if (collectors.error) return <Failure error={collectors.error} retry={collectors.reload} />;
  if (!collectors.value) return <Loading />;
  if (collectors.value.length === 0) {
    return (
      <Text>
        What the collectors see is told by raw events, and there are none of the last 7 days. Raw events are stored where{" "}
        <TextLink href="/settings/data">Data Collection</TextLink> says so.
      </Text>
    );
  }
  return <List label="Collectors" columns={columns} rows={collectors.value} keyOf={(row) => row.RawEventName} />;
}

function Timeline({ device, search, onSpan }: { device: Device; search: string; onSpan(span: string): void }) {
  const styles = useStyles();
  const { time } = usePreferences();
  const span = readSpan(new URLSearchParams(search).get("span"));
  const entries = useData(`timeline ${device.hub} ${device.deviceId} ${writeSpan(span)}`, (signal) => {
    const { from, to } = betweenOf(span);
    return loadTimeline(device.hub, device.deviceId, from, to, signal);
  });
  const href = (entry: TimelineEntry) => {
    if (entry.kind === "alert") return `/alerts/${encodeURIComponent(entry.name)}/${dayOf(entry.recorded)}?device=${encodeURIComponent(device.deviceId)}`;
    if (entry.kind === "recommendation") return `/recommendations/${encodeURIComponent(entry.name)}/devices/${encodeURIComponent(device.deviceId)}`;
    return undefined;
  };
  const columns: ListColumn<TimelineEntry>[] = [
    { key: "time", title: "Time", value: (row) => row.time, show: (row) => time(row.time), width: "165px" },
    { key: "kind", title: "What", value: (row) => row.kind, show: (row) => row.kind, width: "130px" },
    {
      key: "title",
      title: "Title",
      value: (row) => row.title,
      show: (row) => {
        const target = href(row);
        return target ? <TextLink href={target}>{row.title || row.name}</TextLink> : row.title;
      },
    },
    { key: "severity", title: "Severity", value: (row) => row.severity, show: (row) => (row.severity ? <SeverityMark severity={row.severity} /> : "") },
    { key: "state", title: "State", value: (row) => row.state, show: (row) => (row.kind === "recommendation" ? <StateMark state={row.state} /> : row.state) },
    { key: "details", title: "Details", show: (row) => <span className={styles.details}>{cellText(row.details as never).slice(0, 400)}</span> },
  ];
  return (
    <>
      <FilterBar label="Time of the timeline">
        <SpanChoice span={span} onChange={(chosen) => onSpan(writeSpan(chosen))} />
      </FilterBar>
      {entries.error ? (
        <Failure error={entries.error} retry={entries.reload} />
      ) : !entries.value ? (
        <Loading label="Reading what happened" />
      ) : entries.value.length === 0 ? (
        <Empty title="Nothing happened in this time" />
      ) : (
        <>
          <CutNote shown={entries.value.length} most={TIMELINE_MAX} />
          <List label="Timeline" columns={columns} rows={entries.value} keyOf={(row) => `${row.kind} ${row.id} ${row.time} ${cellText(row.details as never)}`} />
        </>
      )}
    </>
  );
}

function Recommendations({ hub, device }: { hub: string; device: string }) {
  const { scope } = useSession();
  const { time } = usePreferences();
  const text = deviceRecommendationsQuery([hub], device);
  const rows = useData(text, (signal) => records<DeviceRecommendation>(scope.database, text, signal));
  const columns: ListColumn<DeviceRecommendation>[] = [
    { key: "severity", title: "Severity", value: (row) => row.RecommendationSeverity, show: (row) => <SeverityMark severity={row.RecommendationSeverity} /> },
    {
      key: "name",
      title: "Recommendation",
      value: (row) => row.RecommendationDisplayName,
      show: (row) => (
        <TextLink href={`/recommendations/${encodeURIComponent(row.RecommendationName)}/devices/${encodeURIComponent(device)}`}>
          {row.RecommendationDisplayName || row.RecommendationName}
        </TextLink>
      ),
    },
    { key: "state", title: "State", value: (row) => row.RecommendationState, show: (row) => <StateMark state={row.RecommendationState} /> },
    { key: "since", title: "Since", value: (row) => row.Since, show: (row) => time(row.Since) },
  ];
  return <Rows label="Recommendations" query={text} rows={rows} columns={columns} keyOf={(row) => row.RecommendationName} none="No recommendation was raised for this device" />;
}

function Users({ hub, device }: { hub: string; device: string }) {
  const { scope } = useSession();
  const text = usersQuery(hub, device);
  const rows = useData(text, (signal) => records<LocalUser>(scope.database, text, signal));
  const columns: ListColumn<LocalUser>[] = [
    { key: "name", title: "User", value: (row) => row.UserName, show: (row) => row.UserName },
    { key: "id", title: "Id", value: (row) => row.UserId, show: (row) => row.UserId },
    { key: "groups", title: "Groups", value: (row) => row.GroupNames, show: (row) => row.GroupNames.replaceAll(";", ", ") },
  ];
  return <Rows label="Users" query={text} rows={rows} columns={columns} keyOf={(row) => `${row.UserId} ${row.UserName}`} none="No list of users came from this device" />;
}

function Ports({ hub, device }: { hub: string; device: string }) {
  const { scope } = useSession();
  const text = portsQuery(hub, device);
  const rows = useData(text, (signal) => records<OpenPort>(scope.database, text, signal));
  const columns: ListColumn<OpenPort>[] = [
    { key: "port", title: "Port", value: (row) => Number(row.LocalPort), show: (row) => row.LocalPort, isNumber: true },
    { key: "protocol", title: "Protocol", value: (row) => row.Protocol, show: (row) => row.Protocol },
    { key: "address", title: "Address", value: (row) => row.LocalAddress, show: (row) => row.LocalAddress },
    { key: "process", title: "Process", value: (row) => row.Pid, show: (row) => row.Pid },
  ];
  return <Rows label="Open ports" query={text} rows={rows} columns={columns} keyOf={(row) => `${row.Protocol} ${row.LocalAddress} ${row.LocalPort}`} none="No list of open ports came from this device" />;
}

interface RowsProps<T> {
  label: string;
  query: string;
  rows: { value: T[] | undefined; error: unknown; reload(): void };
  columns: ListColumn<T>[];
  keyOf(row: T): string;
  none: string;
}

function Rows<T>({ label, query, rows, columns, keyOf, none }: RowsProps<T>) {
  if (rows.error) return <Failure error={rows.error} retry={rows.reload} />;
  if (!rows.value) return <Loading />;
  if (rows.value.length === 0) return <Empty title={none} action={<TextLink href={logsAddress(query)}>Open as a query</TextLink>} />;
  return (
    <>
      <TextLink href={logsAddress(query)}>Open as a query</TextLink>
      <List label={label} columns={columns} rows={rows.value} keyOf={keyOf} />
    </>
  );
}
