/** How the fleet is: threat prevention (recommendations) and threat detection (alerts). Every tile opens its list. */

import { makeStyles, Text, tokens } from "@fluentui/react-components";
import { lazy, Suspense, useMemo, type ReactNode } from "react";
import { useLocation } from "wouter";
import { useQueryString } from "../../app/location";
import { loadDismissed } from "../../api/alerts";
import { getAll } from "../../api/http";
import { query, rowsOf } from "../../api/kusto";
import { type Hub } from "../../api/devices";
import { useSession } from "../../app/session";
import { useLiveReload } from "../../app/live";
import { useData } from "../../app/useData";
import { FilterBar, SpanChoice } from "../../components/filters";
import { SeverityMark } from "../../components/marks";
import { Page, Section, TextLink } from "../../components/Page";
import { Failure, Loading } from "../../components/states";
import { SEVERITIES } from "../../model/alerts";
import { SEVERITY_COLORS } from "../../model/colors";
import { daySeries, type DayCount, overviewAlertsQuery, overviewRecommendationsQuery } from "../../model/overview";
import { DAY, formatCount, readSpan, type Span, writeSpan } from "../../model/time";

const Chart = lazy(() => import("../../components/chart/Chart"));

const useStyles = makeStyles({
  grid: { display: "grid", gridTemplateColumns: "repeat(auto-fit, minmax(min(320px, 100%), 1fr))", gap: "12px" },
  wide: { gridColumn: "1 / -1" },
  band: { margin: "6px 0 0", fontSize: tokens.fontSizeBase400, fontWeight: 600 },
  numbers: { display: "flex", flexWrap: "wrap", gap: "20px" },
  number: { display: "flex", flexDirection: "column" },
  big: { fontSize: tokens.fontSizeHero800, lineHeight: tokens.lineHeightHero800, fontWeight: 600, fontVariantNumeric: "tabular-nums" },
  list: { listStyleType: "none", margin: 0, padding: 0, display: "flex", flexDirection: "column", gap: "8px" },
  item: { display: "grid", gridTemplateColumns: "1fr auto", gap: "2px 12px", alignItems: "baseline" },
  count: { fontVariantNumeric: "tabular-nums" },
});

interface Alerts {
  days: DayCount[];
  devices: { DeviceId: string; Count: number }[];
  types: { AlertType: string; DisplayName: string; AlertSeverity: string; Count: number }[];
}

interface Recommendations {
  severities: { RecommendationSeverity: string; Count: number }[];
  prevalent: { RecommendationName: string; RecommendationDisplayName: string; RecommendationSeverity: string; Devices: number }[];
  devices: number;
}

export function OverviewPage() {
  const styles = useStyles();
  const { scope } = useSession();
  const [, navigate] = useLocation();
  const search = useQueryString();
  const span = readSpan(new URLSearchParams(search).get("span"));
  const { database, hubs, solution } = scope;
  const alerts = useData(`${solution.id} ${writeSpan(span)}`, async (signal): Promise<Alerts> => {
    const dismissed = await loadDismissed(solution, signal);
    const { tables } = await query(database, overviewAlertsQuery(hubs, span, dismissed), { signal });
    return { days: rowsOf(tables[0]), devices: rowsOf(tables[1]), types: rowsOf(tables[2]) };
  });
  const recommendations = useData(solution.id, async (signal): Promise<Recommendations> => {
    const { tables } = await query(database, overviewRecommendationsQuery(hubs), { signal });
    const devices = rowsOf<{ Devices: number }>(tables[2])[0]?.Devices ?? 0;
    return { severities: rowsOf(tables[0]), prevalent: rowsOf(tables[1]), devices };
  });
  const fleet = useData(`hubs ${solution.id}`, async (signal) => {
    const all = await getAll<Hub>("/api/v1/hubs", signal);
    return all.filter((hub) => hubs.some((id) => id.toLowerCase() === hub.id.toLowerCase()));
  });
  useLiveReload(alerts.reload);
  const setSpan = (chosen: Span) => navigate(writeSpan(chosen) === "7d" ? "/" : `/?span=${writeSpan(chosen)}`, { replace: true });
  return (
    <Page
      title="Overview"
      actions={
        <FilterBar label="Time of alerts">
          <SpanChoice span={span} onChange={setSpan} />
        </FilterBar>
      }
    >
      <h2 className={styles.band}>Threat prevention</h2>
      <div className={styles.grid}>
        <Section title="Resource health">
          <Shown data={[recommendations, fleet]}>
            <Health hubs={fleet.value ?? []} unhealthy={recommendations.value?.devices ?? 0} />
          </Shown>
        </Section>
        <Section title="Recommendations by severity">
          <Shown data={[recommendations]}>
            <Counts
              counts={SEVERITIES.map((severity) => ({
                severity,
                count: recommendations.value?.severities.find((row) => row.RecommendationSeverity === severity)?.Count ?? 0,
              }))}
            />
          </Shown>
        </Section>
        <Section title="Most prevalent device recommendations">
          <Shown data={[recommendations]}>
            <Top
              none="Nothing needs to be done."
              items={(recommendations.value?.prevalent ?? []).map((row) => ({
                href: `/recommendations/${encodeURIComponent(row.RecommendationName)}`,
                label: row.RecommendationDisplayName,
                severity: row.RecommendationSeverity,
                count: `${formatCount(row.Devices)} ${row.Devices === 1 ? "device" : "devices"}`,
              }))}
            />
          </Shown>
        </Section>
      </div>
      <h2 className={styles.band}>Threat detection</h2>
      <div className={styles.grid}>
        <div className={styles.wide}>
          <Section title="Device security alerts">
            <Shown data={[alerts]}>
              <AlertDays rows={alerts.value?.days ?? []} span={span} />
            </Shown>
          </Section>
        </div>
        <Section title="Devices with the most alerts">
          <Shown data={[alerts]}>
            <Top
              none="No device has raised an alert in this time."
              items={(alerts.value?.devices ?? []).map((row) => ({
                href: `/alerts?span=${writeSpan(span)}&device=${encodeURIComponent(row.DeviceId)}`,
                label: row.DeviceId || "Unknown device",
                count: `${formatCount(row.Count)} ${row.Count === 1 ? "alert" : "alerts"}`,
              }))}
            />
          </Shown>
        </Section>
        <Section title="Most prevalent device security alerts">
          <Shown data={[alerts]}>
            <Top
              none="There are no alerts in this time."
              items={(alerts.value?.types ?? []).map((row) => ({
                href: `/alerts?span=${writeSpan(span)}&type=${encodeURIComponent(row.AlertType)}`,
                label: row.DisplayName,
                severity: row.AlertSeverity,
                count: `${formatCount(row.Count)} ${row.Count === 1 ? "alert" : "alerts"}`,
              }))}
            />
          </Shown>
        </Section>
      </div>
    </Page>
  );
}

/** What is read, once it is there. */
function Shown({ data, children }: { data: { value: unknown; error: unknown; reload(): void }[]; children: ReactNode }) {
  const failed = data.find((one) => one.error);
  if (failed) return <Failure error={failed.error} retry={failed.reload} />;
  if (data.some((one) => one.value === undefined)) return <Loading />;
  return children;
}

function Health({ hubs, unhealthy }: { hubs: Hub[]; unhealthy: number }) {
  const styles = useStyles();
  const devices = hubs.reduce((sum, hub) => sum + hub.deviceCount, 0);
  const numbers: [string, number, string][] = [
    ["devices need attention", unhealthy, "/recommendations"],
    ["devices without recommendations", Math.max(0, devices - unhealthy), "/devices"],
    [hubs.length === 1 ? "hub" : "hubs", hubs.length, "/settings/resources"],
  ];
  return (
    <div className={styles.numbers}>
      {numbers.map(([label, number, href]) => (
        <div key={label} className={styles.number}>
          <span className={styles.big}>{formatCount(number)}</span>
          <TextLink href={href}>{label}</TextLink>
        </div>
      ))}
    </div>
  );
}

function Counts({ counts }: { counts: { severity: string; count: number }[] }) {
  const styles = useStyles();
  const [, navigate] = useLocation();
  const option = useMemo(
    () => ({
      tooltip: {},
      series: [
        {
          type: "pie",
          radius: ["58%", "88%"],
          label: { show: false },
          data: counts
            .filter(({ count }) => count > 0)
            .map(({ severity, count }) => ({ name: severity, value: count, itemStyle: { color: SEVERITY_COLORS[severity] } })),
        },
      ],
    }),
    [counts],
  );
  const total = counts.reduce((sum, { count }) => sum + count, 0);
  return (
    <div style={{ display: "flex", gap: 16, alignItems: "center" }}>
      {total > 0 && (
        <div style={{ width: 120, flexShrink: 0 }}>
          <Suspense fallback={<Loading />}>
            <Chart
              option={option}
              height={120}
              label={`Active recommendations: ${counts.map(({ severity, count }) => `${severity} ${count}`).join(", ")}`}
              onClick={({ name }) => navigate(`/recommendations?severity=${name}`)}
            />
          </Suspense>
        </div>
      )}
      <ul className={styles.list} style={{ flexGrow: 1 }}>
        {counts.map(({ severity, count }) => (
          <li key={severity} className={styles.item}>
            <TextLink href={`/recommendations?severity=${severity}`}>
              <SeverityMark severity={severity} />
            </TextLink>
            <span className={styles.count}>{formatCount(count)}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

interface TopItem {
  href: string;
  label: string;
  severity?: string;
  count: string;
}

function Top({ items, none }: { items: TopItem[]; none: string }) {
  const styles = useStyles();
  if (items.length === 0) return <Text>{none}</Text>;
  return (
    <ul className={styles.list}>
      {items.map((item) => (
        <li key={item.href} className={styles.item}>
          <TextLink href={item.href}>{item.label}</TextLink>
          <span className={styles.count}>{item.count}</span>
          {item.severity && <SeverityMark severity={item.severity} />}
        </li>
      ))}
    </ul>
  );
}

function AlertDays({ rows, span }: { rows: DayCount[]; span: Span }) {
  const [, navigate] = useLocation();
  const { days, series, stepDays } = useMemo(() => daySeries(rows, span, Date.now()), [rows, span]);
  const total = rows.reduce((sum, row) => sum + row.Count, 0);
  const option = useMemo(
    () => ({
      grid: { left: 48, right: 12, top: 36, bottom: 28 },
      tooltip: { trigger: "axis", axisPointer: { type: "shadow" } },
      legend: { top: 0, left: 0, itemWidth: 14 },
      xAxis: { type: "category", data: days, axisTick: { show: false } },
      yAxis: { type: "value", minInterval: 1 },
      series: [...series].map(([severity, counts]) => ({
        type: "bar",
        name: severity,
        stack: "alerts",
        barMaxWidth: 40,
        itemStyle: { color: SEVERITY_COLORS[severity] },
        data: counts,
      })),
    }),
    [days, series],
  );
  const open = (day: string, severity: string) => {
    const begin = new Date(`${day}T00:00:00Z`);
    const end = new Date(begin.getTime() + stepDays * DAY - 1);
    navigate(`/alerts?span=${begin.toISOString()}..${end.toISOString()}&severity=${severity}`);
  };
  return (
    <>
      <Suspense fallback={<div style={{ height: 260 }} />}>
        <Chart option={option} label={`Alerts of each day by severity; ${formatCount(total)} in all`} onClick={({ name, series: severity }) => open(name, severity)} />
      </Suspense>
      <TextLink href={`/alerts?span=${writeSpan(span)}`}>
        {formatCount(total)} {total === 1 ? "alert" : "alerts"} in this time
      </TextLink>
      <table className="visually-hidden">
        <caption>Alerts of each day by severity</caption>
        <tbody>
          {days.map((day, place) => (
            <tr key={day}>
              <th scope="row">{day}</th>
              {[...series].map(([severity, counts]) => (
                <td key={severity}>
                  {severity} {counts[place]}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
