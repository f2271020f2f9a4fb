/** What happened on the device around an alert: the processes that led to it, and other events. */

import { makeStyles, Text, tokens } from "@fluentui/react-components";
import { records } from "../../api/kusto";
import { usePreferences } from "../../app/preferences";
import { useSession } from "../../app/session";
import { useData } from "../../app/useData";
import { Section, TextLink } from "../../components/Page";
import { Failure, Loading } from "../../components/states";
import { members, type DeviceAlert } from "../../model/alerts";
import { eventLine, neighboursQuery, processTree, treesOfAlert, type ProcessNode, type RawEvent } from "../../model/events";
import { logsAddress } from "../../model/links";
import { cellText } from "../../model/sorting";

/** So far before and after an alert is looked. */
const MINUTES = 10;
const LINES_MAX = 40;

const useStyles = makeStyles({
  tree: { listStyleType: "none", margin: 0, paddingLeft: "18px", borderLeft: `1px solid ${tokens.colorNeutralStroke2}` },
  root: { listStyleType: "none", margin: 0, padding: 0 },
  command: { fontFamily: tokens.fontFamilyMonospace, fontSize: tokens.fontSizeBase200, overflowWrap: "anywhere" },
  ofAlert: { fontWeight: 600, color: tokens.colorPaletteRedForeground1 },
  lines: { listStyleType: "none", margin: 0, padding: 0, display: "grid", gridTemplateColumns: "max-content max-content 1fr", gap: "4px 12px" },
  line: { display: "contents" },
  faint: { color: tokens.colorNeutralForeground2, whiteSpace: "nowrap" },
});

export function Surroundings({ alert }: { alert: DeviceAlert }) {
  const styles = useStyles();
  const { scope } = useSession();
  const { time } = usePreferences();
  const at = alert.EndTime ?? alert.StartTime ?? alert.TimeGenerated;
  const text = neighboursQuery(alert.ResourceId, alert.DeviceId, at, MINUTES);
  const events = useData(text, (signal) => records<RawEvent>(scope.database, text, signal));
  if (events.error) return <Failure error={events.error} retry={events.reload} />;
  if (events.value === undefined) return <Loading label="Looking around the alert" />;
  if (events.value.length === 0) return null;
  const properties = new Map(members(alert.ExtendedProperties).map(([name, value]) => [name.replaceAll(" ", "").toLowerCase(), cellText(value)]));
  const trees = treesOfAlert(processTree(events.value, properties.get("processid") ?? "", properties.get("commandline") ?? ""));
  const shown = nearest(events.value, at);
  return (
    <>
      {trees.length > 0 && (
        <Section title="Process tree">
          <ul className={styles.root}>
            {trees.map((node) => (
              <Process key={node.id} node={node} />
            ))}
          </ul>
        </Section>
      )}
      <Section
        title={`Events within ${MINUTES} minutes`}
        actions={<TextLink href={logsAddress(text)}>Open as a query</TextLink>}
      >
        <ul className={styles.lines}>
          {shown.map((event, place) => (
            <li key={place} className={styles.line}>
              <span className={styles.faint}>{time(event.TimeStamp)}</span>
              <span className={styles.faint}>{event.RawEventName}</span>
              <span className={styles.command}>{eventLine(event)}</span>
            </li>
          ))}
        </ul>
        {shown.length < events.value.length && <Text>{`The ${shown.length} nearest of ${events.value.length}.`}</Text>}
      </Section>
    </>
  );
}

/** The events nearest to a moment, in the order of time. */
function nearest(events: RawEvent[], time: string): RawEvent[] {
  const at = Date.parse(time);
  const distance = (event: RawEvent) => Math.abs(Date.parse(event.TimeStamp) - at);
  const kept = new Set([...events].sort((a, b) => distance(a) - distance(b)).slice(0, LINES_MAX));
  return events.filter((event) => kept.has(event));
}

function Process({ node }: { node: ProcessNode }) {
  const styles = useStyles();
  return (
    <li>
      <span className={node.isOfAlert ? `${styles.command} ${styles.ofAlert}` : styles.command}>
        {node.commandLine || node.executable}
        {node.isOfAlert && " ← this alert"}
      </span>
      <Text size={200} className={styles.faint} block>
        {`process ${node.id}, parent ${node.parentId}${node.user && `, user ${node.user}`}`}
      </Text>
      {node.children.length > 0 && (
        <ul className={styles.tree}>
          {node.children.map((child) => (
            <Process key={child.id} node={child} />
          ))}
        </ul>
      )}
    </li>
  );
}
