/** What is done on a device so that it reports. */

interface Wanted {
  /** Where the hub answers: `https://host:port`. */
  address: string;
  hub: string;
  device: string;
  key: string;
  /** PEM; empty where the server's certificate is of an authority that devices know. */
  authority: string;
}

/** An id that hubs take. */
export function isDeviceId(text: string): boolean {
  return /^[A-Za-z0-9\-.%_*?!(),:=@$']{1,128}$/.test(text);
}

/** A text as one word of a shell. */
export function shellQuote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** The host name by which a device tells which hub it means: the first hub has the server's own. */
function hostOf({ address, hub }: Wanted): string {
  const host = address.replace(/^https:\/\//, "");
  return hub === "hub" ? host : `${hub}.${host}`;
}

/** The commands that set the agent up and start it. */
export function installCommands(wanted: Wanted): string {
  const connection = `HostName=${hostOf(wanted)};DeviceId=${wanted.device};SharedAccessKey=${wanted.key}`;
  // A certificate of the owner's is of an authority that the device knows already.
  const authority = wanted.authority
    ? `cat > /etc/turnstone-agent/ca.pem <<'END'\n${wanted.authority.trim()}\nEND`
    : "cp /etc/ssl/certs/ca-certificates.crt /etc/turnstone-agent/ca.pem";
  return [
    "install -d -m 700 /etc/turnstone-agent",
    authority,
    `(umask 077; printf '%s' ${shellQuote(connection)} > /etc/turnstone-agent/connection-string)`,
    "systemctl enable --now turnstone-agent",
  ].join("\n");
}
