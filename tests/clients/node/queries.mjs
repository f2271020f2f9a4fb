// What a program does with azure-kusto-data and @azure/monitor-query-logs. It reads where to go and as whom from
// standard input, and prints what came of each step.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { ClientSecretCredential } from "@azure/identity";
import { LogsQueryClient } from "@azure/monitor-query-logs";
import { Client, ClientRequestProperties, KustoConnectionStringBuilder } from "azure-kusto-data";

const asked = JSON.parse(readFileSync(0, "utf8"));
const DATABASE = "default";

// JSON has no dates; they are printed so that a test sees that they were dates here.
function printable(value) {
  if (value instanceof Date) return { date: value.toISOString() };
  if (Array.isArray(value)) return value.map(printable);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, printable(part)]));
}

async function attempt(work) {
  try {
    return printable(await work());
  } catch (error) {
    const body = error.response?.data?.error;
    return {
      error: error.constructor.name,
      name: error.name,
      message: error.message,
      code: error.code ?? null,
      status: error.response?.status ?? error.statusCode ?? null,
      details: error.details?.error ?? null,
      kusto: body ? { code: body.code, message: body["@message"], permanent: body["@permanent"] } : null,
    };
  }
}

// Kusto

const kustoClient = (token) => new Client(KustoConnectionStringBuilder.withAccessToken(asked.url, token));
// The authority is taken from AZURE_AUTHORITY_HOST.
const bySecret = (secret) =>
  new Client(
    KustoConnectionStringBuilder.withAadApplicationKeyAuthentication(asked.url, asked.principal.appId, secret, "adfs"),
  );
const rows = (answer, table = 0) => [...answer.primaryResults[table].rows()].map((row) => row.toJSON());

async function kusto() {
  const client = kustoClient(asked.token);
  const withOptions = new ClientRequestProperties();
  withOptions.setParameter("wanted", 2);
  withOptions.setTimeout(90_000);
  const steps = {
    all: async () => rows(await client.execute(DATABASE, "Sample | sort by L desc")),
    columns: async () => {
      const { columns } = (await client.execute(DATABASE, "Sample | take 1")).primaryResults[0];
      return columns.map(({ name, type }) => [name, type]);
    },
    version1: async () => rows(await client.executeQueryV1(DATABASE, "Sample | sort by L desc | project L, S")),
    parameters: async () => {
      const text = "declare query_parameters(wanted: long); Sample | where L == wanted | project L";
      return rows(await client.execute(DATABASE, text, withOptions));
    },
    several: async () => {
      const answer = await client.execute(DATABASE, "print a=1; print b='x'");
      return answer.primaryResults.map((_, table) => rows(answer, table));
    },
    management: async () => {
      const text = ".show tables | where TableName == 'Sample' | project TableName";
      return rows(await client.execute(DATABASE, text));
    },
    ingest: async () => {
      await client.execute(DATABASE, ".create table FromNode (a: long, b: string)");
      await client.executeStreamingIngest(DATABASE, "FromNode", gzipSync('1,"x, y"\n2,\n'), "csv", null);
      return rows(await client.execute(DATABASE, "FromNode | sort by a asc"));
    },
    unknown_column: async () => rows(await client.execute(DATABASE, "Sample | where Nope == 1")),
    unfinished: async () => rows(await client.execute(DATABASE, "Sample | where")),
    unknown_database: async () => rows(await client.execute("nowhere", "print 1")),
    too_much: async () => rows(await client.execute(DATABASE, "range x from 1 to 600000 step 1")).length,
    wrong_token: async () => rows(await kustoClient("tst_wrong").execute(DATABASE, "print 1")),
    stranger: async () => rows(await kustoClient(asked.stranger).execute(DATABASE, "print 1")),
    signed_in: async () => rows(await bySecret(asked.principal.secret).execute(DATABASE, "Sample | count")),
    wrong_secret: async () => rows(await bySecret("wrong").execute(DATABASE, "Sample | count")),
  };
  return await inOrder(steps);
}

// Log Analytics

const lasting = (token) => ({ getToken: async () => ({ token, expiresOnTimestamp: Date.now() + 3_600_000 }) });
const logsClient = (credential) => new LogsQueryClient(credential, { endpoint: `${asked.url}/v1` });
const ALWAYS = { duration: "P36500D" };

async function logs() {
  const client = logsClient(lasting(asked.token));
  const query = (text, timespan = ALWAYS, options = undefined) =>
    client.queryWorkspace(asked.workspace, text, timespan, options);
  const one = async (as, workspace = asked.workspace) => first(await as.queryWorkspace(workspace, "print 1", ALWAYS));
  const first = (answer) => answer.tables[0].rows;
  const within = { startTime: new Date("2026-03-03T00:00:00Z"), endTime: new Date("2026-03-03T23:00:00Z") };
  const steps = {
    all: async () => {
      const { status, tables } = await query("Sample | sort by L desc");
      return { status, columns: tables[0].columnDescriptors, rows: tables[0].rows };
    },
    within: async () => first(await query("Sample | project L", within)),
    from: async () => first(await query("Sample | project L", { startTime: within.startTime, duration: "PT12H" })),
    until: async () => first(await query("Sample | project L", { duration: "PT12H", endTime: within.endTime })),
    drawn: async () => {
      const text = "Sample | summarize rows=count() by S | render barchart with (title='Rows')";
      const options = { includeQueryStatistics: true, includeVisualization: true, serverTimeoutInSeconds: 60 };
      const { statistics, visualization } = await query(text, ALWAYS, options);
      return { statistics, visualization };
    },
    partial: async () => {
      const answer = await query("range x from 1 to 600000 step 1");
      return { status: answer.status, rows: answer.partialTables[0].rows.length, error: answer.partialError };
    },
    by_resource: async () => first(await client.queryResource(asked.resource, "Sample | count", ALWAYS)),
    batch: async () => {
      const texts = ["print 1", "Sample | where Nope", "Sample | count"];
      const members = texts.map((text) => ({ workspaceId: asked.workspace, query: text, timespan: ALWAYS }));
      const summary = ({ status, tables, partialError }) =>
        ({ status, rows: tables?.[0]?.rows ?? null, error: partialError ?? null });
      return (await client.queryBatch(members)).map(summary);
    },
    unknown_column: async () => first(await query("Sample | where Nope == 1")),
    unfinished: async () => first(await query("Sample | where")),
    unknown_workspace: () => one(client, "00000000-0000-0000-0000-000000000000"),
    wrong_token: () => one(logsClient(lasting("tst_wrong"))),
    stranger: () => one(logsClient(lasting(asked.stranger))),
    signed_in: async () => {
      const credential = new ClientSecretCredential("adfs", asked.principal.appId, asked.principal.secret);
      return first(await logsClient(credential).queryWorkspace(asked.workspace, "Sample | count", ALWAYS));
    },
  };
  return await inOrder(steps);
}

async function inOrder(steps) {
  const answers = {};
  for (const [name, step] of Object.entries(steps)) answers[name] = await attempt(step);
  return answers;
}

const given = { kusto: await kusto(), logs: await logs() };
// Connections that are kept open would keep the process too.
process.stdout.write(JSON.stringify(given) + "\n", () => process.exit(0));
