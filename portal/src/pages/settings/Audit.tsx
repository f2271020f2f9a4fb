/** Who has changed what, and who has signed in. */

import { useLocation } from "wouter";
import { rawPath, useQueryString } from "../../app/location";
import { getJson } from "../../api/http";
import { usePreferences } from "../../app/preferences";
import { useData } from "../../app/useData";
import { FilterBar, Search, SpanChoice } from "../../components/filters";
import { List, type ListColumn } from "../../components/List";
import { TextLink } from "../../components/Page";
import { CutNote, Empty, Failure, Loading } from "../../components/states";
import { logsAddress } from "../../model/links";
import { betweenOf, readSpan, writeSpan } from "../../model/time";

interface Entry {
  time: string;
  caller: string;
  address: string;
  operation: string;
  resource: string;
  status: string;
  statusCode: number;
  request: string;
  correlationId: string;
}

/** So many entries are shown at most: the newest. */
const ENTRIES_MAX = 1000;

export function Audit() {
  const { time } = usePreferences();
  const [, navigate] = useLocation();
  const search = useQueryString();
  const asked = new URLSearchParams(search);
  const span = readSpan(asked.get("span"));
  const caller = asked.get("caller") ?? "";
  const set = (name: string, value: string) => {
    const next = new URLSearchParams(search);
    if (value) next.set(name, value);
    else next.delete(name);
    navigate(`${rawPath()}?${next}`, { replace: true });
  };
  const entries = useData(`audit ${writeSpan(span)} ${caller}`, async (signal) => {
    const parameters = new URLSearchParams({ ...betweenOf(span), top: String(ENTRIES_MAX), ...(caller ? { caller } : {}) });
    return (await getJson<{ value: Entry[] }>(`/api/v1/audit?${parameters}`, signal)).value;
  });
  const columns: ListColumn<Entry>[] = [
    { key: "time", title: "Time", value: (row) => row.time, show: (row) => time(row.time), width: "165px" },
    { key: "caller", title: "Who", value: (row) => row.caller, show: (row) => row.caller },
    { key: "address", title: "From", value: (row) => row.address, show: (row) => row.address },
    { key: "operation", title: "What", value: (row) => row.operation, show: (row) => row.operation },
    { key: "resource", title: "Of", value: (row) => row.resource, show: (row) => row.resource },
    { key: "status", title: "Outcome", value: (row) => row.status, show: (row) => `${row.status} (${row.statusCode})` },
  ];
  return (
    <>
      <FilterBar>
        <Search label="One person's alone" waitsForEnter value={caller} onChange={(name) => set("caller", name)} />
        <SpanChoice span={span} onChange={(chosen) => set("span", writeSpan(chosen))} />
        <TextLink href={logsAddress("AzureActivity\n| where TimeGenerated > ago(7d)\n| sort by TimeGenerated desc\n| take 1000")}>Open as a query</TextLink>
      </FilterBar>
      {entries.error ? (
        <Failure error={entries.error} retry={entries.reload} />
      ) : !entries.value ? (
        <Loading label="Reading the audit" />
      ) : entries.value.length === 0 ? (
        <Empty title="Nothing was changed in this time" />
      ) : (
        <>
          <CutNote shown={entries.value.length} most={ENTRIES_MAX} />
          <List label="Audit" columns={columns} rows={entries.value} keyOf={(row) => `${row.correlationId} ${row.operation} ${row.time}`} />
        </>
      )}
    </>
  );
}
