/** What is done with what the devices of the solution's hubs send. */

import { Button, Checkbox, Field, Input, Switch, Text } from "@fluentui/react-components";
import { useState } from "react";
import { getAll, send } from "../../api/http";
import { API, nameIn, workspacesPath, type SolutionProperties, type Workspace } from "../../api/scope";
import { useSession } from "../../app/session";
import { useData } from "../../app/useData";
import { Choice } from "../../components/filters";
import { Section } from "../../components/Page";
import { messageOf } from "../../components/states";
import { SaveBar } from "./SaveBar";
import { useEdited } from "./useEdited";
import { useSolutionChange } from "./useSolutionChange";

type Choices = Pick<SolutionProperties, "status" | "workspace" | "export" | "unmaskedIpLoggingStatus">;

export function DataCollection() {
  const { scope } = useSession();
  const { properties, id } = scope.solution;
  const kept: Choices = { status: properties.status, workspace: properties.workspace, export: properties.export, unmaskedIpLoggingStatus: properties.unmaskedIpLoggingStatus };
  const { value: chosen, isChanged, edit } = useEdited(kept);
  const change = useSolutionChange();
  const workspaces = useData("workspaces", (signal) => getAll<Workspace>(workspacesPath(scope.settings.subscriptionId), signal));
  const put = (changes: Partial<Choices>) => edit({ ...chosen, ...changes });
  const all = workspaces.value ?? [];
  const current = all.find((workspace) => workspace.id.toLowerCase() === chosen.workspace?.toLowerCase());
  // Until they are read, there is the one that is kept.
  const options = all.length > 0 ? all.map(({ id: key, name }) => ({ key, label: name })) : [{ key: chosen.workspace ?? "", label: nameIn(chosen.workspace ?? "") }];
  return (
    <Section title={`Data collection of the solution ${properties.displayName}`}>
      <Switch
        checked={chosen.status === "Enabled"}
        onChange={(_, { checked }) => put({ status: checked ? "Enabled" : "Disabled" })}
        label="Look at what the devices send"
      />
      <Text block size={200}>
        Switched off, messages are taken and passed over: nothing is stored and nothing is judged.
      </Text>
      <br />
      <Field label="Workspace that alerts, recommendations and raw events go to">
        <span style={{ display: "flex", gap: 8, flexWrap: "wrap" }}>
          <Choice
            label="Workspace"
            options={options}
            value={current?.id ?? chosen.workspace ?? ""}
            onChange={(workspace) => put({ workspace })}
          />
          <NewWorkspace
            group={id.split("/")[4] ?? "default"}
            onMade={(workspace) => {
              workspaces.reload();
              put({ workspace: workspace.id });
            }}
          />
        </span>
      </Field>
      <br />
      <Checkbox
        label="Access to raw security data: keep the raw events in the workspace"
        checked={chosen.export.length > 0}
        onChange={(_, { checked }) => put({ export: checked === true ? ["RawEvents"] : [] })}
      />
      <br />
      <Checkbox
        label="IP data collection: keep addresses as they are"
        checked={chosen.unmaskedIpLoggingStatus === "Enabled"}
        onChange={(_, { checked }) => put({ unmaskedIpLoggingStatus: checked === true ? "Enabled" : "Disabled" })}
      />
      <Text block size={200}>
        Without it, addresses are masked before they are stored or judged.
      </Text>
      <SaveBar {...change} isChanged={isChanged} onSave={() => void change.save(chosen)} />
    </Section>
  );
}

function NewWorkspace({ group, onMade }: { group: string; onMade(workspace: Workspace): void }) {
  const { scope } = useSession();
  const [name, setName] = useState<string>();
  const [problem, setProblem] = useState("");
  if (name === undefined) return <Button onClick={() => setName("")}>Create new</Button>;
  const create = async () => {
    setProblem("");
    try {
      const path = `/subscriptions/${scope.settings.subscriptionId}/resourceGroups/${group}/providers/Microsoft.OperationalInsights/workspaces/${encodeURIComponent(name)}`;
      onMade(await send<Workspace>("PUT", `${path}?${API.workspaces}`, { location: "local", properties: {} }));
      setName(undefined);
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  return (
    <span style={{ display: "flex", gap: 8, flexWrap: "wrap", alignItems: "center" }}>
      <Input aria-label="Name of the new workspace" value={name} onChange={(_, { value }) => setName(value)} />
      <Button disabled={!name.trim()} onClick={() => void create()}>
        Create
      </Button>
      <Button onClick={() => setName(undefined)}>Cancel</Button>
      {problem && <Text role="alert">{problem}</Text>}
    </span>
  );
}
