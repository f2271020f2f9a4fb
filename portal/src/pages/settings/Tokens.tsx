/** The personal access tokens of whoever is signed in. */

import { Button, Field, Input, Text } from "@fluentui/react-components";
import { useState, type FormEvent } from "react";
import { getAll, send } from "../../api/http";
import { usePreferences } from "../../app/preferences";
import { useData } from "../../app/useData";
import { List, type ListColumn } from "../../components/List";
import { Section } from "../../components/Page";
import { Failure, Loading, messageOf } from "../../components/states";
import { Secret } from "./Secret";

interface Token {
  id: string;
  name: string;
  createdTime: string;
  expiresTime: string;
  role?: string;
  scope?: string;
}

export function Tokens() {
  const { time } = usePreferences();
  const [name, setName] = useState("");
  const [days, setDays] = useState("90");
  const [made, setMade] = useState("");
  const [problem, setProblem] = useState("");
  const tokens = useData("tokens", (signal) => getAll<Token>("/api/v1/tokens", signal));
  const attempt = async (action: () => Promise<void>) => {
    setProblem("");
    try {
      await action();
    } catch (error) {
      setProblem(messageOf(error));
    }
    tokens.reload();
  };
  const create = (event: FormEvent) => {
    event.preventDefault();
    void attempt(async () => {
      const token = await send<{ token: string }>("POST", "/api/v1/tokens", { name, days: Number(days) });
      setMade(token.token);
      setName("");
    });
  };
  const columns: ListColumn<Token>[] = [
    { key: "name", title: "Name", value: (row) => row.name, show: (row) => row.name },
    { key: "limit", title: "May", show: (row) => (row.role ? `${row.role} at ${row.scope}` : "all that you may") },
    { key: "created", title: "Created", value: (row) => row.createdTime, show: (row) => time(row.createdTime) },
    { key: "expires", title: "Good until", value: (row) => row.expiresTime, show: (row) => time(row.expiresTime) },
    {
      key: "delete",
      title: "Delete",
      show: (row) => (
        <Button size="small" aria-label={`Delete the token ${row.name}`} onClick={() => void attempt(() => send("DELETE", `/api/v1/tokens/${encodeURIComponent(row.id)}`))}>
          Delete
        </Button>
      ),
    },
  ];
  return (
    <Section title="My personal access tokens">
      <form onSubmit={create} style={{ display: "flex", gap: 12, flexWrap: "wrap", alignItems: "end", marginBottom: 12 }}>
        <Field label="Name" required>
          <Input value={name} onChange={(_, { value }) => setName(value)} />
        </Field>
        <Field label="Good for, days">
          <Input type="number" min={1} max={3650} value={days} onChange={(_, { value }) => setDays(value)} />
        </Field>
        <Button type="submit" appearance="primary" disabled={!name.trim() || !(Number(days) > 0)}>
          Create
        </Button>
      </form>
      {made && <Secret label="The token. It is shown this once" text={made} onClose={() => setMade("")} />}
      {problem && <Text role="alert">{problem}</Text>}
      {tokens.error ? (
        <Failure error={tokens.error} retry={tokens.reload} />
      ) : !tokens.value ? (
        <Loading />
      ) : tokens.value.length === 0 ? (
        <Text>You have no tokens. Scripts and notebooks sign in with one.</Text>
      ) : (
        <List label="Tokens" columns={columns} rows={tokens.value} keyOf={(row) => row.id} />
      )}
    </Section>
  );
}
