/** All that is known of the alerts of one type on one day. */

import { Button, makeStyles, Text, tokens } from "@fluentui/react-components";
import { DismissRegular } from "@fluentui/react-icons";
import { useState } from "react";
import { useLocation } from "wouter";
import { ApiError } from "../../api/http";
import { query, rowsOf, type Cell } from "../../api/kusto";
import { usePreferences } from "../../app/preferences";
import { useSession } from "../../app/session";
import { useData } from "../../app/useData";
import { ConfirmButton } from "../../components/ConfirmButton";
import { List, type ListColumn } from "../../components/List";
import { SeverityMark } from "../../components/marks";
import { Facts, Section, Steps, TextLink } from "../../components/Page";
import { Empty, Failure, Loading } from "../../components/states";
import {
  aggregateName,
  alertDetailQuery,
  entitiesOf,
  investigateAlertQuery,
  members,
  nameList,
  textList,
  type AlertSummary,
  type DeviceAlert,
} from "../../model/alerts";
import { deviceAddress, logsAddress } from "../../model/links";
import { cellText } from "../../model/sorting";
import { formatCount, relativeTime } from "../../model/time";
import { Surroundings } from "./Surroundings";

const useStyles = makeStyles({
  pane: { display: "flex", flexDirection: "column", gap: "12px", minWidth: 0 },
  head: { display: "flex", gap: "8px", alignItems: "start" },
  title: { margin: 0, fontSize: tokens.fontSizeBase500, lineHeight: tokens.lineHeightBase500, flexGrow: 1, overflowWrap: "anywhere" },
  actions: { display: "flex", gap: "8px", flexWrap: "wrap" },
});

interface AlertPaneProps {
  type: string;
  day: string;
  /** The device to look at; the one with the newest alert where none is said. */
  device: string;
  /** The one alert to look at, before any device's newest. */
  alertId: string;
  isDismissed: boolean;
  onDismiss(name: string): void;
  onClose(): void;
}

interface Detail {
  summary: AlertSummary;
  /** The newest of each of the last ten devices. */
  devices: DeviceAlert[];
  /** The one that was asked for. */
  asked: DeviceAlert | undefined;
}

export function AlertPane({ type, day, device, alertId, isDismissed, onDismiss, onClose }: AlertPaneProps) {
  const styles = useStyles();
  const { scope } = useSession();
  const { time } = usePreferences();
  const [, navigate] = useLocation();
  const [chosenDevice, setChosenDevice] = useState("");
  const isDay = /^\d{4}-\d\d-\d\d$/.test(day) && !Number.isNaN(Date.parse(day));
  const text = isDay ? alertDetailQuery(scope.hubs, type, day, { device, alertId }) : null;
  const detail = useData(text, async (signal): Promise<Detail | null> => {
    const { tables } = await query(scope.database, text ?? "", { signal });
    const [summary] = rowsOf<AlertSummary>(tables[0]);
    const devices = rowsOf<DeviceAlert>(tables[1]);
    const [asked] = rowsOf<DeviceAlert>(tables[2]);
    return summary && devices.length > 0 ? { summary, devices, asked } : null;
  });
  if (!isDay) return <Failure error={new ApiError(404, "NotFound", `'${day}' is no day: it is written as 2026-03-02.`)} action={{ label: "Close", run: onClose }} />;
  if (detail.error) return <Failure error={detail.error} retry={detail.reload} />;
  if (detail.value === undefined) return <Loading label="Reading the alert" />;
  if (detail.value === null) {
    return (
      <Empty title="There is no such alert" action={<Button onClick={onClose}>Close</Button>}>
        It may be older than the workspace keeps alerts.
      </Empty>
    );
  }
  const { summary, devices, asked } = detail.value;
  const newest = devices.find((one) => one.DeviceId === chosenDevice) ?? asked ?? devices[0];
  if (!newest) return null;
  const name = aggregateName(type, day);
  return (
    <article className={styles.pane} aria-label={`Alert: ${newest.DisplayName}`}>
      <div className={styles.head}>
        <h2 className={styles.title} tabIndex={-1} ref={focusOn}>
          {newest.DisplayName}
        </h2>
        <Button appearance="subtle" icon={<DismissRegular />} aria-label="Close the alert" onClick={onClose} />
      </div>
      <div className={styles.actions}>
        <Button appearance="primary" onClick={() => navigate(logsAddress(investigateAlertQuery(scope.hubs, type, day)))}>
          Investigate alerts in the workspace
        </Button>
        {isDismissed ? (
          <Text>Dismissed</Text>
        ) : (
          <ConfirmButton
            question="Dismiss this alert?"
            consequence="All alerts of this type and day leave the lists and the numbers, for good and for everybody. They stay in the workspace."
            action="Dismiss"
            onConfirm={() => onDismiss(name)}
          >
            Dismiss
          </ConfirmButton>
        )}
      </div>
      <Section title="General information">
        <Facts
          facts={[
            ["Severity", <SeverityMark key="severity" severity={newest.AlertSeverity} />],
            ["Day (UTC)", day],
            ["Count", `${formatCount(summary.Count)} on ${formatCount(summary.Devices)} ${summary.Devices === 1 ? "device" : "devices"}`],
            ["First", time(summary.First)],
            ["Last", `${time(summary.Last)} (${relativeTime(summary.Last)})`],
            ["Affected resource", "IoT device"],
            ["Detected by", [newest.VendorName, newest.ProductName].filter(Boolean).join(" – ")],
            ["Action taken", isDismissed ? "Dismissed" : "Detected"],
            ["Type", type],
            ["Tactics", nameList(newest.Tactics).join(", ")],
            ["Techniques", nameList(newest.Techniques).join(", ")],
          ]}
        />
      </Section>
      <Section title="Description">
        <Text>{newest.Description}</Text>
      </Section>
      <Section title="Manual remediation steps">
        <Steps steps={textList(newest.RemediationSteps)} />
      </Section>
      <Section title="Last 10 affected devices">
        <AffectedDevices devices={devices} chosen={newest.DeviceId} onChoose={setChosenDevice} />
      </Section>
      <Section title={`${alertId && newest === asked ? "This one" : "The newest"} on ${newest.DeviceId || "this device"}`}>
        <Facts
          facts={[
            ["Time", time(newest.TimeGenerated)],
            ["Began", newest.StartTime ? time(newest.StartTime) : ""],
            ["Ended", newest.EndTime ? time(newest.EndTime) : ""],
            ...members(newest.ExtendedProperties).map(([property, value]): [string, string] => [property, cellText(value as Cell)]),
          ]}
        />
      </Section>
      <Entities text={newest.Entities} />
      <Surroundings alert={newest} />
    </article>
  );
}

/** Where somebody who has opened the pane goes on. */
function focusOn(heading: HTMLElement | null) {
  heading?.focus({ preventScroll: true });
}

function AffectedDevices({ devices, chosen, onChoose }: { devices: DeviceAlert[]; chosen: string; onChoose(device: string): void }) {
  const { scope } = useSession();
  const { time } = usePreferences();
  const columns: ListColumn<DeviceAlert>[] = [
    {
      key: "device",
      title: "Device",
      value: (row) => row.DeviceId,
      show: (row) => <TextLink href={deviceAddress(scope.hubs, row.DeviceId, row.ResourceId)}>{row.DeviceId || "Unknown"}</TextLink>,
    },
    { key: "count", title: "Alerts", value: (row) => row.Count, show: (row) => formatCount(row.Count), isNumber: true },
    { key: "last", title: "Last", value: (row) => row.TimeGenerated, show: (row) => time(row.TimeGenerated) },
    {
      key: "show",
      title: "Newest alert",
      show: (row) =>
        row.DeviceId === chosen ? (
          "Shown below"
        ) : (
          <Button size="small" onClick={() => onChoose(row.DeviceId)}>
            Show
          </Button>
        ),
    },
  ];
  return <List label="Last 10 affected devices" columns={columns} rows={devices} keyOf={(row) => row.DeviceId} chosen={chosen} />;
}

function Entities({ text }: { text: string }) {
  const entities = entitiesOf(text);
  if (entities.length === 0) return null;
  return (
    <Section title="Entities">
      {entities.map((entity, place) => (
        <div key={place}>
          <Text weight="semibold">{entity.kind}</Text>
          <Facts facts={entity.members} />
        </div>
      ))}
    </Section>
  );
}
