/** One recommendation: what it is about, the devices that raised it and, of one of these, how it came about and went. */

import { Button, makeStyles, Text, tokens } from "@fluentui/react-components";
import { useMemo } from "react";
import { useLocation } from "wouter";
import { records } from "../../api/kusto";
import { loadRules } from "../../api/rules";
import { usePathParts } from "../../app/location";
import { usePreferences } from "../../app/preferences";
import { useSession } from "../../app/session";
import { useData } from "../../app/useData";
import { List, type ListColumn } from "../../components/List";
import { SeverityMark, StateMark } from "../../components/marks";
import { Facts, Page, Section, Steps, TextLink } from "../../components/Page";
import { Empty, Failure, Loading } from "../../components/states";
import { deviceAddress, logsAddress } from "../../model/links";
import {
  baselineQuery,
  changesOf,
  historyQuery,
  investigateRecommendationQuery,
  recommendationDevicesQuery,
  type BaselineCheck,
  type DeviceRecommendation,
} from "../../model/recommendations";
import { cellText } from "../../model/sorting";
import { formatCount } from "../../model/time";

const useStyles = makeStyles({
  columns: { display: "grid", gridTemplateColumns: "repeat(auto-fit, minmax(min(380px, 100%), 1fr))", gap: "12px", alignItems: "start" },
  data: { fontFamily: tokens.fontFamilyMonospace, fontSize: tokens.fontSizeBase200, whiteSpace: "pre-wrap", overflowWrap: "anywhere", margin: 0 },
});

export default function RecommendationPage() {
  const { scope } = useSession();
  const [, navigate] = useLocation();
  // recommendations/{name}/devices/{device}
  const parts = usePathParts();
  const name = parts[1] ?? "";
  const device = parts[3];
  const text = recommendationDevicesQuery(scope.hubs, name);
  const devices = useData(text, (signal) => records<DeviceRecommendation>(scope.database, text, signal));
  const rules = useData("rules", (signal) => loadRules(signal));
  const rows = devices.value ?? [];
  const first = rows[0];
  const rule = rules.value?.find((known) => known.kind === "Recommendation" && known.id === name);
  const title = first?.RecommendationDisplayName || rule?.displayName || name;
  const href = `/recommendations/${encodeURIComponent(name)}`;
  const trail = [{ label: "Recommendations", href: "/recommendations" }, ...(device === undefined ? [] : [{ label: title, href }])];
  return (
    <Page
      title={device ?? title}
      trail={trail}
      mark={first && <SeverityMark severity={first.RecommendationSeverity} />}
      actions={
        <Button appearance="primary" onClick={() => navigate(logsAddress(investigateRecommendationQuery(scope.hubs, name)))}>
          Investigate recommendations in the workspace
        </Button>
      }
    >
      {devices.error ? (
        <Failure error={devices.error} retry={devices.reload} />
      ) : devices.value === undefined ? (
        <Loading label="Reading the recommendation" />
      ) : rows.length === 0 && !rule ? (
        <Empty title="There is no such recommendation" action={<TextLink href="/recommendations">All recommendations</TextLink>} />
      ) : device === undefined ? (
        <Recommendation name={name} description={first?.Description ?? rule?.description ?? ""} steps={rule?.remediationSteps ?? []} rows={rows} />
      ) : (
        <OfDevice name={name} device={device} row={rows.find((row) => row.DeviceId === device)} steps={rule?.remediationSteps ?? []} />
      )}
    </Page>
  );
}

interface RecommendationProps {
  name: string;
  description: string;
  steps: string[];
  rows: DeviceRecommendation[];
}

function Recommendation({ name, description, steps, rows }: RecommendationProps) {
  const styles = useStyles();
  const { time } = usePreferences();
  const active = rows.filter((row) => row.RecommendationState === "Active").length;
  const columns: ListColumn<DeviceRecommendation>[] = [
    {
      key: "device",
      title: "Device",
      value: (row) => row.DeviceId,
      show: (row) => (
        <TextLink href={`/recommendations/${encodeURIComponent(name)}/devices/${encodeURIComponent(row.DeviceId)}`}>{row.DeviceId || "Unknown"}</TextLink>
      ),
    },
    { key: "state", title: "State", value: (row) => row.RecommendationState, show: (row) => <StateMark state={row.RecommendationState} /> },
    { key: "changed", title: "Since", value: (row) => row.Since, show: (row) => time(row.Since), width: "170px" },
    { key: "data", title: "Details", show: (row) => <Data value={row.RecommendationAdditionalData} /> },
  ];
  return (
    <>
      <div className={styles.columns}>
        <Section title="Description">
          <Text block>{description}</Text>
          <br />
          <Facts facts={[["Devices", `${formatCount(active)} active, ${formatCount(rows.length - active)} healed`], ["Type", name]]} />
        </Section>
        <Section title="Manual remediation steps">
          <Steps steps={steps} />
        </Section>
      </div>
      <Section title="Devices">
        {rows.length === 0 ? (
          <Text>No device has raised this.</Text>
        ) : (
          <List label="Devices" columns={columns} rows={rows} keyOf={(row) => `${row.AssessedResourceId} ${row.DeviceId}`} />
        )}
      </Section>
    </>
  );
}

/** What a recommendation says beside its text, such as the ports that are open. */
function Data({ value }: { value: unknown }) {
  const styles = useStyles();
  let read = value;
  if (typeof value === "string") {
    try {
      read = JSON.parse(value);
    } catch {
      return <pre className={styles.data}>{value}</pre>;
    }
  }
  if (!read || typeof read !== "object") return null;
  return <Facts facts={Object.entries(read).map(([name, member]): [string, string] => [name, cellText(member)])} />;
}

function OfDevice({ name, device, row, steps }: { name: string; device: string; row: DeviceRecommendation | undefined; steps: string[] }) {
  const styles = useStyles();
  const { scope } = useSession();
  const { time } = usePreferences();
  const text = historyQuery(scope.hubs, name, device);
  const history = useData(text, (signal) => records<DeviceRecommendation>(scope.database, text, signal));
  const changes = useMemo(() => changesOf(history.value ?? []), [history.value]);
  if (!row) return <Empty title="This device has not raised the recommendation" />;
  return (
    <>
      <div className={styles.columns}>
        <Section title="Now">
          <Facts
            facts={[
              ["Device", <TextLink key="device" href={deviceAddress(scope.hubs, device, row.AssessedResourceId)}>{device}</TextLink>],
              ["State", <StateMark key="state" state={row.RecommendationState} />],
              ["Since", time(row.Since)],
              ["Found", row.DiscoveredTimeUTC ? time(row.DiscoveredTimeUTC) : ""],
              ["Description", row.Description],
            ]}
          />
        </Section>
        <Section title="Details">
          <Data value={row.RecommendationAdditionalData} />
        </Section>
        <Section title="Manual remediation steps">
          <Steps steps={steps} />
        </Section>
        <Section title="History">
          {history.error ? (
            <Failure error={history.error} retry={history.reload} />
          ) : (
            <ol style={{ margin: 0, paddingLeft: 20 }}>
              {changes.map((change) => (
                <li key={change.from}>
                  <StateMark state={change.state} /> from {time(change.from)}
                  {change.to ? ` until ${time(change.to)}` : ""}
                </li>
              ))}
            </ol>
          )}
        </Section>
      </div>
      {/baseline|cis/i.test(name) && <Baseline device={device} />}
    </>
  );
}

/** The checks of a device's baseline, one by one. */
function Baseline({ device }: { device: string }) {
  const { scope } = useSession();
  const text = baselineQuery(scope.hubs, device);
  const checks = useData(text, (signal) => records<BaselineCheck>(scope.database, text, signal));
  const columns: ListColumn<BaselineCheck>[] = [
    { key: "result", title: "Result", value: (row) => row.Result, show: (row) => <StateMark state={row.Result} /> },
    { key: "severity", title: "Severity", value: (row) => row.Severity, show: (row) => row.Severity },
    { key: "check", title: "Check", value: (row) => row.Check, show: (row) => row.Check },
    {
      key: "description",
      title: "Rule",
      value: (row) => row.Description,
      show: (row) => (
        <>
          {row.Description}
          {row.Remediation && <Text block>{row.Remediation}</Text>}
        </>
      ),
    },
    { key: "problem", title: "Problem", value: (row) => row.Problem, show: (row) => row.Problem },
  ];
  return (
    <Section title="Baseline rules" actions={<TextLink href={logsAddress(text)}>Open as a query</TextLink>}>
      {checks.error ? (
        <Failure error={checks.error} retry={checks.reload} />
      ) : checks.value === undefined ? (
        <Loading label="Reading the checks" />
      ) : checks.value.length === 0 ? (
        <Text>
          The checks are raw events, and there are none of this device. Raw events are stored where <TextLink href="/settings/data">Data Collection</TextLink> says so.
        </Text>
      ) : (
        <List label="Baseline rules" columns={columns} rows={checks.value} keyOf={(row) => `${row.Check} ${row.Description}`} />
      )}
    </Section>
  );
}
