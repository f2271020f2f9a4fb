/** The workbooks of a workspace. */

import { Badge, Button, makeStyles, Text } from "@fluentui/react-components";
import { AddRegular } from "@fluentui/react-icons";
import { useState } from "react";
import { useLocation } from "wouter";
import { createWorkbook, loadWorkbooks } from "../../api/workbooks";
import { useSession } from "../../app/session";
import { useData } from "../../app/useData";
import { Page, Section, TextLink } from "../../components/Page";
import { Failure, Loading, messageOf } from "../../components/states";

const useStyles = makeStyles({ grid: { display: "grid", gridTemplateColumns: "repeat(auto-fill, minmax(min(300px, 100%), 1fr))", gap: "12px" } });

export default function WorkbooksPage() {
  const styles = useStyles();
  const { scope } = useSession();
  const [, navigate] = useLocation();
  const [problem, setProblem] = useState("");
  const workbooks = useData(`workbooks ${scope.database}`, (signal) => loadWorkbooks(scope.database, signal));
  const create = async () => {
    try {
      const made = await createWorkbook(scope.database, {
        id: "",
        title: "New workbook",
        description: "",
        isBuiltIn: false,
        parameters: [{ name: "span", label: "Time", kind: "span", value: "7d" }],
        items: [{ kind: "query", title: "Alerts by severity", query: "SecurityAlert\n| where TimeGenerated > ago(span)\n| summarize Alerts = count() by AlertSeverity", view: "piechart" }],
      });
      navigate(`/workbooks/${encodeURIComponent(made.id)}?edit=true`);
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  return (
    <Page
      title="Workbooks"
      actions={
        <Button appearance="primary" icon={<AddRegular />} onClick={() => void create()}>
          New workbook
        </Button>
      }
    >
      {problem && <Text role="alert">{problem}</Text>}
      {workbooks.error ? (
        <Failure error={workbooks.error} retry={workbooks.reload} />
      ) : !workbooks.value ? (
        <Loading label="Reading the workbooks" />
      ) : (
        <div className={styles.grid}>
          {workbooks.value.map((workbook) => (
            <Section key={workbook.id} title={workbook.title} actions={workbook.isBuiltIn && <Badge appearance="tint">Built in</Badge>}>
              <Text block>{workbook.description}</Text>
              <TextLink href={`/workbooks/${encodeURIComponent(workbook.id)}`} label={`Open ${workbook.title}`}>
                Open
              </TextLink>
            </Section>
          ))}
        </div>
      )}
    </Page>
  );
}
