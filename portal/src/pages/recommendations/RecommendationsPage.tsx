/** The list of recommendations: what should be done, and on how many devices. */

import { Button, Text } from "@fluentui/react-components";
import { useMemo } from "react";
import { useLocation } from "wouter";
import { useQueryString } from "../../app/location";
import { records } from "../../api/kusto";
import { usePreferences } from "../../app/preferences";
import { useSession } from "../../app/session";
import { useLiveReload } from "../../app/live";
import { useData } from "../../app/useData";
import { Choice, Choices, FilterBar, FilterChip, Search } from "../../components/filters";
import { List, type ListColumn } from "../../components/List";
import { NewMark, SeverityMark, StateMark } from "../../components/marks";
import { Page, TextLink } from "../../components/Page";
import { Empty, Failure, Loading } from "../../components/states";
import { isNew, SEVERITIES } from "../../model/alerts";
import { logsAddress } from "../../model/links";
import {
  readRecommendationFilter,
  recommendationListQuery,
  writeRecommendationFilter,
  type RecommendationFilter,
  type RecommendationGroup,
} from "../../model/recommendations";
import { formatCount, relativeTime } from "../../model/time";

const STATES = [
  { key: "Active", label: "Active" },
  { key: "Inactive", label: "Healed" },
  { key: "all", label: "Active and healed" },
];
const ORDER = new Map<string, number>(SEVERITIES.map((severity, place) => [severity, place]));

export default function RecommendationsPage() {
  const { scope } = useSession();
  const { time } = usePreferences();
  const [, navigate] = useLocation();
  const search = useQueryString();
  const filter = useMemo(() => readRecommendationFilter(search), [search]);
  const text = recommendationListQuery(scope.hubs, filter);
  const list = useData(text, (signal) => records<RecommendationGroup>(scope.database, text, signal));
  useLiveReload(list.reload);
  const change = (changed: Partial<RecommendationFilter>) => {
    const written = writeRecommendationFilter({ ...filter, ...changed });
    navigate(written ? `/recommendations?${written}` : "/recommendations", { replace: true });
  };
  const columns = useMemo(
    (): ListColumn<RecommendationGroup>[] => [
      {
        key: "severity",
        title: "Severity",
        value: (row) => ORDER.get(row.RecommendationSeverity) ?? 9,
        show: (row) => <SeverityMark severity={row.RecommendationSeverity} />,
        width: "120px",
      },
      {
        key: "name",
        title: "Recommendation",
        value: (row) => row.RecommendationDisplayName,
        show: (row) => (
          <>
            <TextLink href={`/recommendations/${encodeURIComponent(row.RecommendationName)}`}>{row.RecommendationDisplayName || row.RecommendationName}</TextLink>
            {row.RecommendationState === "Active" && isNew(row.Last) && <NewMark />}
          </>
        ),
      },
      { key: "devices", title: "Devices", value: (row) => row.Devices, show: (row) => formatCount(row.Devices), isNumber: true },
      { key: "state", title: "State", value: (row) => row.RecommendationState, show: (row) => <StateMark state={row.RecommendationState} /> },
      {
        key: "last",
        title: "Last change",
        value: (row) => row.Last,
        show: (row) => <span title={relativeTime(row.Last)}>{time(row.Last)}</span>,
        width: "160px",
      },
    ],
    [time],
  );
  const rows = list.value ?? [];
  return (
    <Page
      title="Recommendations"
      mark={list.value && <Text>{formatCount(rows.length)}</Text>}
      actions={<Button onClick={() => navigate(logsAddress(text))}>Open as a query</Button>}
    >
      <FilterBar>
        <Search label="Find recommendations" value={filter.text} onChange={(written) => change({ text: written })} />
        <Choices label="Severity" options={SEVERITIES} values={filter.severities} onChange={(severities) => change({ severities })} />
        <Choice label="State" options={STATES} value={filter.state} onChange={(state) => change({ state: state as RecommendationFilter["state"] })} />
        {filter.device && <FilterChip label={`Device: ${filter.device}`} onRemove={() => change({ device: "" })} />}
      </FilterBar>
      {list.error ? (
        <Failure error={list.error} retry={list.reload} />
      ) : list.value === undefined ? (
        <Loading label="Looking for recommendations" />
      ) : rows.length === 0 ? (
        writeRecommendationFilter(filter) ? (
          <Empty title="No recommendation matches these filters" action={<TextLink href="/recommendations">Show all that are active</TextLink>} />
        ) : (
          <Empty title="Nothing needs to be done" action={<TextLink href="/devices">See the devices that report</TextLink>}>
            No device has told of something that a recommendation is for.
          </Empty>
        )
      ) : (
        <List label="Recommendations" columns={columns} rows={rows} keyOf={(row) => `${row.RecommendationName} ${row.RecommendationState}`} />
      )}
    </Page>
  );
}
