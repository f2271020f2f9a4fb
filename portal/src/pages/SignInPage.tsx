/** Who are you? By a one-time link, by name and password, or by an outside provider. */

import { Button, Field, Input, makeStyles, Text, tokens } from "@fluentui/react-components";
import { useEffect, useState, type FormEvent } from "react";
import { ApiError, getJson, send } from "../api/http";
import { takeLinkCode } from "../app/signInLink";
import { useData } from "../app/useData";
import { messageOf } from "../components/states";

const useStyles = makeStyles({
  page: { height: "100%", overflow: "auto", display: "grid", placeItems: "center", backgroundColor: tokens.colorNeutralBackground2 },
  card: {
    display: "flex",
    flexDirection: "column",
    gap: "14px",
    width: "min(380px, calc(100vw - 32px))",
    boxSizing: "border-box",
    padding: "28px",
    backgroundColor: tokens.colorNeutralBackground1,
    borderRadius: tokens.borderRadiusXLarge,
    boxShadow: tokens.shadow16,
  },
  title: { margin: 0, display: "flex", alignItems: "center", gap: "10px", fontSize: tokens.fontSizeBase600 },
  code: { fontFamily: tokens.fontFamilyMonospace },
});

export default function SignInPage({ onSignedIn }: { onSignedIn(): void }) {
  const styles = useStyles();
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const [needsCode, setNeedsCode] = useState(false);
  const [problem, setProblem] = useState("");
  const [isBusy, setIsBusy] = useState(false);
  const ways = useData("ways", (signal) => getJson<{ hasOutsideSignIn: boolean }>("/api/v1/session/ways", signal));

  useEffect(() => {
    const link = takeLinkCode();
    if (link) void signIn("/api/v1/session/link", { code: link });
    // Only when the page opens.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, []);

  const signIn = async (path: string, body: object) => {
    setIsBusy(true);
    setProblem("");
    try {
      await send("POST", path, body);
      onSignedIn();
    } catch (error) {
      if (error instanceof ApiError && error.code === "CodeNeeded") setNeedsCode(true);
      else setProblem(messageOf(error));
    } finally {
      setIsBusy(false);
    }
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void signIn("/api/v1/session", { name, password, ...(code ? { code } : {}) });
  };
  return (
    <main className={styles.page}>
      <form className={styles.card} onSubmit={submit}>
        <h1 className={styles.title}>
          <img src={`${import.meta.env.BASE_URL}turnstone.svg`} alt="" width={32} height={32} />
          Sign in to Turnstone
        </h1>
        <Field label="Name">
          <Input name="name" autoComplete="username" value={name} onChange={(_, { value }) => setName(value)} />
        </Field>
        <Field label="Password">
          <Input name="password" type="password" autoComplete="current-password" value={password} onChange={(_, { value }) => setPassword(value)} />
        </Field>
        {needsCode && (
          <Field label="One-time code" hint="From your authenticator">
            <Input name="code" inputMode="numeric" autoComplete="one-time-code" autoFocus value={code} onChange={(_, { value }) => setCode(value)} />
          </Field>
        )}
        {problem && (
          <Text role="alert" style={{ color: tokens.colorPaletteRedForeground1 }}>
            {problem}
          </Text>
        )}
        <Button type="submit" appearance="primary" disabled={isBusy || !name || !password}>
          Sign in
        </Button>
        {ways.value?.hasOutsideSignIn && (
          <Button as="a" href={`/api/v1/session/oidc?${new URLSearchParams({ returnTo: location.pathname + location.search })}`}>
            Sign in with your organization
          </Button>
        )}
        <Text size={200}>
          No account yet? On the server, <span className={styles.code}>turnstone admin link</span> prints a link that signs you in once.
        </Text>
      </form>
    </main>
  );
}
