/** The rules that detection goes by: read, switched on and off, and tried on their own sample events. */

import { Button, makeStyles, Text, tokens } from "@fluentui/react-components";
import { useState } from "react";
import { useLocation } from "wouter";
import { useQueryString } from "../../app/location";
import { loadRule, loadRules, setRule, testRule, type Rule, type TestOutcome } from "../../api/rules";
import { useSession } from "../../app/session";
import { useData } from "../../app/useData";
import { List, type ListColumn } from "../../components/List";
import { SeverityMark } from "../../components/marks";
import { Facts, Section, Steps, TextLink } from "../../components/Page";
import { ServerSwitch } from "../../components/ServerSwitch";
import { Failure, Loading, messageOf } from "../../components/states";

const useStyles = makeStyles({
  text: {
    margin: 0,
    maxHeight: "480px",
    overflow: "auto",
    whiteSpace: "pre-wrap",
    fontFamily: tokens.fontFamilyMonospace,
    fontSize: tokens.fontSizeBase200,
  },
});

export function Rules() {
  const { scope, reloadScope } = useSession();
  const [problem, setProblem] = useState("");
  const chosen = new URLSearchParams(useQueryString()).get("rule");
  const solution = scope.solution.id;
  const rules = useData(`rules ${solution}`, (signal) => loadRules(signal, solution));
  const switchRule = async (rule: Rule, isEnabled: boolean) => {
    setProblem("");
    try {
      await setRule(rule.id, solution, isEnabled);
      rules.reload();
      reloadScope();
      return true;
    } catch (error) {
      setProblem(messageOf(error));
      return false;
    }
  };
  const columns: ListColumn<Rule>[] = [
    { key: "kind", title: "Raises", value: (row) => row.kind, show: (row) => row.kind },
    { key: "severity", title: "Severity", value: (row) => row.severity, show: (row) => <SeverityMark severity={row.severity} /> },
    {
      key: "name",
      title: "Rule",
      value: (row) => row.displayName,
      show: (row) => <TextLink href={`/settings/rules?rule=${encodeURIComponent(row.id)}`}>{row.displayName}</TextLink>,
    },
    { key: "tests", title: "Tests", value: (row) => row.tests.length, show: (row) => row.tests.length, isNumber: true },
    {
      key: "state",
      title: "State",
      value: (row) => (row.isEnabled ? 1 : 0),
      show: (row) => <ServerSwitch label={row.displayName} isOn={row.isEnabled} words={{ on: "On", off: "Off" }} onSwitch={(isOn) => switchRule(row, isOn)} />,
    },
  ];
  if (rules.error) return <Failure error={rules.error} retry={rules.reload} />;
  if (!rules.value) return <Loading label="Reading the rules" />;
  return (
    <>
      {problem && <Text role="alert">{problem}</Text>}
      {chosen && <OneRule key={chosen} id={chosen} />}
      <List label="Rules" columns={columns} rows={rules.value} keyOf={(row) => row.id} />
    </>
  );
}

function OneRule({ id }: { id: string }) {
  const styles = useStyles();
  const { scope } = useSession();
  const [, navigate] = useLocation();
  const [outcomes, setOutcomes] = useState<TestOutcome[]>();
  const [problem, setProblem] = useState("");
  const [isBusy, setIsBusy] = useState(false);
  const rule = useData(`rule ${id}`, (signal) => loadRule(id, scope.solution.id, signal));
  const test = async () => {
    setProblem("");
    setIsBusy(true);
    try {
      setOutcomes(await testRule(id));
    } catch (error) {
      setProblem(messageOf(error));
    } finally {
      setIsBusy(false);
    }
  };
  if (rule.error) return <Failure error={rule.error} retry={rule.reload} />;
  if (!rule.value) return <Loading />;
  const { displayName, description, severity, alertType, tactics, techniques, remediationSteps, version, text, tests } = rule.value;
  return (
    <Section title={displayName} actions={<Button onClick={() => navigate("/settings/rules")}>Close</Button>}>
      <Facts
        facts={[
          ["Severity", <SeverityMark key="severity" severity={severity} />],
          ["Description", description],
          ["Type of its alerts", alertType ?? ""],
          ["Tactics", tactics?.join(", ") ?? ""],
          ["Techniques", techniques?.join(", ") ?? ""],
          ["Version", version],
        ]}
      />
      <h3>Remediation steps</h3>
      <Steps steps={remediationSteps} />
      <h3>Its tests</h3>
      <ul>
        {tests.map((name) => {
          const outcome = outcomes?.find((one) => one.name === name);
          return (
            <li key={name}>
              {name}
              {outcome && (outcome.passed ? " – passed" : ` – failed: ${outcome.problem}`)}
            </li>
          );
        })}
      </ul>
      <Button onClick={() => void test()} disabled={isBusy}>
        Run its tests
      </Button>
      {problem && <Text role="alert">{problem}</Text>}
      <h3>The rule</h3>
      <pre className={styles.text} tabIndex={0} role="region" aria-label="The rule">
        {text}
      </pre>
    </Section>
  );
}
