/** People and programs, and what they may do where. */

import { Button, Dropdown, Field, Input, Option, Text } from "@fluentui/react-components";
import { useState, type FormEvent } from "react";
import { getAll, send } from "../../api/http";
import { usePreferences } from "../../app/preferences";
import { useSession, type Principal } from "../../app/session";
import { useData } from "../../app/useData";
import { ConfirmButton } from "../../components/ConfirmButton";
import { List, type ListColumn } from "../../components/List";
import { Section } from "../../components/Page";
import { ServerSwitch } from "../../components/ServerSwitch";
import { Failure, Loading, messageOf } from "../../components/states";
import { Secret } from "./Secret";

interface Person extends Principal {
  isEnabled: boolean;
  createdTime: string;
  appId?: string;
}

interface Assignment {
  id: string;
  principalId: string;
  principalName: string | null;
  role: string;
  scope: string;
}

interface Role {
  name: string;
  description: string;
}

export function Users() {
  const users = useData("users", (signal) => getAll<Person>("/api/v1/users", signal));
  const programs = useData("programs", (signal) => getAll<Person>("/api/v1/servicePrincipals", signal));
  const assignments = useData("assignments", (signal) => getAll<Assignment>("/api/v1/roleAssignments", signal));
  const roles = useData("roles", (signal) => getAll<Role>("/api/v1/roles", signal));
  const [problem, setProblem] = useState("");
  const attempt = async (action: () => Promise<unknown>) => {
    setProblem("");
    try {
      await action();
      return true;
    } catch (error) {
      setProblem(messageOf(error));
      return false;
    } finally {
      for (const data of [users, programs, assignments]) data.reload();
    }
  };
  const failed = [users, programs, assignments, roles].find((data) => data.error);
  if (failed) return <Failure error={failed.error} retry={failed.reload} />;
  if (!users.value || !programs.value || !assignments.value || !roles.value) return <Loading label="Reading who may do what" />;
  return (
    <>
      {problem && <Text role="alert">{problem}</Text>}
      <People people={users.value} attempt={attempt} />
      <Programs programs={programs.value} attempt={attempt} />
      <Assignments assignments={assignments.value} principals={[...users.value, ...programs.value]} roles={roles.value} attempt={attempt} />
    </>
  );
}

/** Does something, tells why it failed, and reads anew; whether it was done. */
type Attempt = (action: () => Promise<unknown>) => Promise<boolean>;

function People({ people, attempt }: { people: Person[]; attempt: Attempt }) {
  const { time } = usePreferences();
  const { session } = useSession();
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const create = (event: FormEvent) => {
    event.preventDefault();
    void attempt(async () => {
      await send("POST", "/api/v1/users", { name, password });
      setName("");
      setPassword("");
    });
  };
  const pathOf = (person: Person) => `/api/v1/users/${encodeURIComponent(person.id)}`;
  const columns: ListColumn<Person>[] = [
    { key: "name", title: "Name", value: (row) => row.displayName, show: (row) => row.displayName },
    { key: "kind", title: "Signs in by", value: (row) => row.kind, show: (row) => (row.kind === "User" ? (row.hasTotp ? "password and code" : "password") : "outside provider") },
    { key: "created", title: "Created", value: (row) => row.createdTime, show: (row) => time(row.createdTime) },
    {
      key: "state",
      title: "May sign in",
      show: (row) => (
        <ServerSwitch
          label={`${row.displayName} may sign in`}
          isOn={row.isEnabled}
          isDisabled={row.id === session.principal.id}
          words={{ on: "Yes", off: "No" }}
          onSwitch={(isEnabled) => attempt(() => send("PATCH", pathOf(row), { isEnabled }))}
        />
      ),
    },
    {
      key: "delete",
      title: "Delete",
      show: (row) =>
        row.id !== session.principal.id && (
          <ConfirmButton
            size="small"
            label={`Delete ${row.displayName}`}
            question={`Delete ${row.displayName}?`}
            consequence="Its roles, tokens and sessions go with it."
            action="Delete"
            onConfirm={() => void attempt(() => send("DELETE", pathOf(row)))}
          >
            Delete
          </ConfirmButton>
        ),
    },
  ];
  return (
    <Section title="People">
      <form onSubmit={create} style={{ display: "flex", gap: 12, flexWrap: "wrap", alignItems: "end", marginBottom: 12 }}>
        <Field label="Name" required>
          <Input autoComplete="off" value={name} onChange={(_, { value }) => setName(value)} />
        </Field>
        <Field label="First password" required>
          <Input type="password" autoComplete="new-password" value={password} onChange={(_, { value }) => setPassword(value)} />
        </Field>
        <Button type="submit" appearance="primary" disabled={!name.trim() || !password}>
          Create
        </Button>
      </form>
      {people.length === 0 ? <Text>There are no users yet.</Text> : <List label="People" columns={columns} rows={people} keyOf={(row) => row.id} />}
    </Section>
  );
}

function Programs({ programs, attempt }: { programs: Person[]; attempt: Attempt }) {
  const { time } = usePreferences();
  const [name, setName] = useState("");
  const [made, setMade] = useState<{ appId: string; secret: string }>();
  const create = (event: FormEvent) => {
    event.preventDefault();
    void attempt(async () => {
      const program = await send<{ appId: string; secret: { secretText: string } }>("POST", "/api/v1/servicePrincipals", { displayName: name });
      setMade({ appId: program.appId, secret: program.secret.secretText });
      setName("");
    });
  };
  const columns: ListColumn<Person>[] = [
    { key: "name", title: "Name", value: (row) => row.displayName, show: (row) => row.displayName },
    { key: "app", title: "Client id", value: (row) => row.appId ?? "", show: (row) => row.appId ?? "" },
    { key: "created", title: "Created", value: (row) => row.createdTime, show: (row) => time(row.createdTime) },
    {
      key: "delete",
      title: "Delete",
      show: (row) => (
        <ConfirmButton
          size="small"
          label={`Delete ${row.displayName}`}
          question={`Delete ${row.displayName}?`}
          consequence="Programs that sign in with its secrets cannot any more."
          action="Delete"
          onConfirm={() => void attempt(() => send("DELETE", `/api/v1/servicePrincipals/${encodeURIComponent(row.id)}`))}
        >
          Delete
        </ConfirmButton>
      ),
    },
  ];
  return (
    <Section title="Programs (service principals)">
      <form onSubmit={create} style={{ display: "flex", gap: 12, flexWrap: "wrap", alignItems: "end", marginBottom: 12 }}>
        <Field label="Name" required>
          <Input value={name} onChange={(_, { value }) => setName(value)} />
        </Field>
        <Button type="submit" appearance="primary" disabled={!name.trim()}>
          Create
        </Button>
      </form>
      {made && <Secret label={`The secret of ${made.appId}. It is shown this once`} text={made.secret} onClose={() => setMade(undefined)} />}
      {programs.length === 0 ? <Text>There are no service principals yet.</Text> : <List label="Programs" columns={columns} rows={programs} keyOf={(row) => row.id} />}
    </Section>
  );
}

interface AssignmentsProps {
  assignments: Assignment[];
  principals: Person[];
  roles: Role[];
  attempt: Attempt;
}

function Assignments({ assignments, principals, roles, attempt }: AssignmentsProps) {
  const { scope } = useSession();
  const [principal, setPrincipal] = useState("");
  const [role, setRole] = useState("Security Reader");
  const [at, setAt] = useState("/");
  const subscription = `/subscriptions/${scope.settings.subscriptionId}`;
  const scopes = ["/", subscription, scope.solution.id, ...scope.hubs];
  const assign = (event: FormEvent) => {
    event.preventDefault();
    void attempt(() => send("POST", "/api/v1/roleAssignments", { principalId: principal, role, scope: at }));
  };
  const columns: ListColumn<Assignment>[] = [
    { key: "who", title: "Who", value: (row) => row.principalName ?? row.principalId, show: (row) => row.principalName ?? row.principalId },
    { key: "role", title: "Role", value: (row) => row.role, show: (row) => row.role },
    { key: "scope", title: "Where", value: (row) => row.scope, show: (row) => (row.scope === "/" ? "everywhere" : row.scope) },
    {
      key: "delete",
      title: "Take back",
      show: (row) => (
        <Button
          size="small"
          aria-label={`Take the role ${row.role} back from ${row.principalName ?? row.principalId}`}
          onClick={() => void attempt(() => send("DELETE", `/api/v1/roleAssignments/${encodeURIComponent(row.id)}`))}
        >
          Take back
        </Button>
      ),
    },
  ];
  const pick = (label: string, value: string, options: [string, string][], onPick: (value: string) => void) => (
    <Field label={label}>
      <Dropdown value={options.find(([key]) => key === value)?.[1] ?? ""} selectedOptions={[value]} onOptionSelect={(_, { optionValue }) => onPick(optionValue ?? "")}>
        {options.map(([key, name]) => (
          <Option key={key} value={key}>
            {name}
          </Option>
        ))}
      </Dropdown>
    </Field>
  );
  return (
    <Section title="Roles">
      <form onSubmit={assign} style={{ display: "flex", gap: 12, flexWrap: "wrap", alignItems: "end", marginBottom: 12 }}>
        {pick("Who", principal, principals.map((one) => [one.id, one.displayName]), setPrincipal)}
        {pick("Role", role, roles.map((one) => [one.name, one.name]), setRole)}
        {pick("Where", at, scopes.map((one) => [one, one === "/" ? "everywhere" : one]), setAt)}
        <Button type="submit" appearance="primary" disabled={!principal}>
          Give the role
        </Button>
      </form>
      <Text block size={200}>
        {roles.find((one) => one.name === role)?.description}
      </Text>
      {assignments.length === 0 ? <Text>No roles are given yet.</Text> : <List label="Roles" columns={columns} rows={assignments} keyOf={(row) => row.id} />}
    </Section>
  );
}
