/** A new device, in under a minute: a name, a command to paste there, and a sign when the first event has come. */

import { Button, Field, Input, makeStyles, Spinner, Text, tokens } from "@fluentui/react-components";
import { CheckmarkCircleFilled, CopyRegular } from "@fluentui/react-icons";
import { useEffect, useState, type FormEvent } from "react";
import { createDevice, loadDevices, type NewDevice } from "../api/devices";
import { ApiError, request } from "../api/http";
import { nameIn } from "../api/scope";
import { useSession } from "../app/session";
import { Choice } from "../components/filters";
import { Page, Section, TextLink } from "../components/Page";
import { messageOf } from "../components/states";
import { installCommands, isDeviceId } from "../model/onboarding";

const LOOK_MILLISECONDS = 2000;

const useStyles = makeStyles({
  form: { display: "flex", flexWrap: "wrap", gap: "12px", alignItems: "end" },
  command: {
    margin: 0,
    padding: "12px",
    overflowX: "auto",
    whiteSpace: "pre-wrap",
    overflowWrap: "anywhere",
    fontFamily: tokens.fontFamilyMonospace,
    fontSize: tokens.fontSizeBase200,
    backgroundColor: tokens.colorNeutralBackground3,
    borderRadius: tokens.borderRadiusMedium,
  },
  state: { display: "flex", alignItems: "center", gap: "10px", fontSize: tokens.fontSizeBase400 },
  green: { color: tokens.colorStatusSuccessForeground1, fontSize: "28px" },
});

interface Made {
  device: NewDevice;
  hub: string;
  authority: string;
}

export default function OnboardingPage() {
  const styles = useStyles();
  const { scope } = useSession();
  const hubs = scope.hubs.map(nameIn);
  const [hub, setHub] = useState(hubs[0] ?? "");
  const [name, setName] = useState("");
  const [made, setMade] = useState<Made>();
  const [problem, setProblem] = useState("");
  const add = async (event: FormEvent) => {
    event.preventDefault();
    setProblem("");
    try {
      const authority = await readAuthority();
      setMade({ device: await createDevice(hub, name), hub, authority });
    } catch (error) {
      setProblem(error instanceof ApiError && error.status === 409 ? `There is a device '${name}' already. Choose another name.` : messageOf(error));
    }
  };
  return (
    <Page title="Add a device">
      <Section title="1. Name it">
        <form className={styles.form} onSubmit={(event) => void add(event)}>
          <Field label="Device id" required validationMessage={name && !isDeviceId(name) ? "Letters, digits and - . _ : up to 128" : undefined}>
            <Input value={name} onChange={(_, { value }) => setName(value.trim())} placeholder="pump-07" disabled={made !== undefined} />
          </Field>
          {hubs.length > 1 && <Choice label="Hub" options={hubs.map((one) => ({ key: one, label: one }))} value={hub} onChange={setHub} />}
          {made ? (
            <Button
              onClick={() => {
                setMade(undefined);
                setName("");
              }}
            >
              Add another
            </Button>
          ) : (
            <Button type="submit" appearance="primary" disabled={!isDeviceId(name)}>
              Create
            </Button>
          )}
        </form>
        {problem && <Text role="alert">{problem}</Text>}
      </Section>
      {made && <Install made={made} />}
      {made && <Waiting key={made.device.deviceId} made={made} />}
    </Page>
  );
}

/** The authority that the server's certificate is of, where it is the server's own. */
async function readAuthority(): Promise<string> {
  try {
    return await (await request("GET", "/api/v1/ca.pem", { headers: { Accept: "*/*" } })).text();
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return "";
    throw error;
  }
}

function Install({ made }: { made: Made }) {
  const styles = useStyles();
  const { scope } = useSession();
  const [isCopied, setIsCopied] = useState(false);
  const address = scope.settings.publicUrl ?? `https://${location.hostname}:${location.protocol === "https:" ? location.port || "443" : scope.settings.httpsPort}`;
  const text = installCommands({ address, hub: made.hub, device: made.device.deviceId, key: made.device.primaryKey, authority: made.authority });
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setIsCopied(true);
  };
  return (
    <Section
      title="2. Paste this in a terminal of the device, as root"
      actions={
        <Button icon={<CopyRegular />} onClick={() => void copy()}>
          {isCopied ? "Copied" : "Copy"}
        </Button>
      }
    >
      <pre className={styles.command}>{text}</pre>
      <Text size={200} block>
        The agent must be there: install the package turnstone-agent first. The device must reach {address}.
      </Text>
    </Section>
  );
}

/** Looks for the first event of the device until it has come. */
function Waiting({ made }: { made: Made }) {
  const styles = useStyles();
  const id = made.device.deviceId;
  const [hasCome, setHasCome] = useState(false);
  useEffect(() => {
    if (hasCome) return;
    let isOver = false;
    const look = async () => {
      const found = await loadDevices([made.hub], undefined, id).catch(() => []);
      if (!isOver && found.some((device) => device.lastActivityTime !== null)) setHasCome(true);
    };
    const timer = setInterval(() => void look(), LOOK_MILLISECONDS);
    return () => {
      isOver = true;
      clearInterval(timer);
    };
  }, [hasCome, id, made.hub]);
  return (
    <Section title="3. Wait for the first event">
      <div className={styles.state} role="status">
        {hasCome ? (
          <>
            <CheckmarkCircleFilled className={styles.green} aria-hidden />
            <span>
              {id} reports. <TextLink href={`/devices/${encodeURIComponent(id)}?hub=${encodeURIComponent(made.hub)}`}>Look at it</TextLink>
            </span>
          </>
        ) : (
          <Spinner size="tiny" label="Nothing has come yet. On the device, turnstone-agent doctor says why." />
        )}
      </div>
    </Section>
  );
}
