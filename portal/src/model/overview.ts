/** The numbers of the overview: one request for all that is told of alerts, one for recommendations. */

import { alertRows, SEVERITIES, stateLines } from "./alerts";
import { currentRows } from "./recommendations";
import { DAY, type Span, spanLength } from "./time";

/** As many names as a tile shows. */
const TOP = 5;

/** Three results: alerts of each day by severity, the devices with most, the types with most. */
export function overviewAlertsQuery(hubs: string[], span: Span, dismissed: readonly string[]): string {
  return `let alerts = ${alertRows(hubs, span)}${stateLines("open", dismissed)};
alerts | summarize Count = count_distinct(SystemAlertId) by Day = startofday(TimeGenerated), AlertSeverity | sort by Day asc;
alerts | summarize Count = count_distinct(SystemAlertId) by DeviceId | top ${TOP} by Count desc;
alerts | summarize Count = count_distinct(SystemAlertId), arg_max(TimeGenerated, DisplayName, AlertSeverity) by AlertType
| project AlertType, DisplayName, AlertSeverity, Count | top ${TOP} by Count desc`;
}

/** Three results: active recommendations by severity, those of most devices, how many devices have one. */
export function overviewRecommendationsQuery(hubs: string[]): string {
  return `let active = materialize(${currentRows(hubs)}
| where RecommendationState == "Active"
| project RecommendationName, DeviceId, RecommendationSeverity, RecommendationDisplayName);
active | summarize Count = count() by RecommendationSeverity;
active | summarize Devices = count(), take_any(RecommendationDisplayName, RecommendationSeverity) by RecommendationName | top ${TOP} by Devices desc;
active | where isnotempty(DeviceId) | summarize Devices = count_distinct(DeviceId)`;
}

export interface DayCount {
  Day: string;
  AlertSeverity: string;
  Count: number;
}

/** A plot has no more columns than this; of longer spans each column is of several days. */
const COLUMNS_MAX = 120;

export interface DaySeries {
  /** The first day of each column. */
  days: string[];
  series: Map<string, number[]>;
  /** Days that a column is of. */
  stepDays: number;
}

/** The counts of each severity, day by day, with a zero for a day without alerts. */
export function daySeries(rows: DayCount[], span: Span, now: number): DaySeries {
  const end = "to" in span ? Date.parse(span.to) : now;
  const first = new Date(end - spanLength(span)).toISOString().slice(0, 10);
  const days: string[] = [];
  const begin = Date.parse(`${first}T00:00:00Z`);
  const stepDays = Math.max(1, Math.ceil((end - begin) / DAY / COLUMNS_MAX));
  for (let day = begin; day <= end; day += stepDays * DAY) days.push(new Date(day).toISOString().slice(0, 10));
  const series = new Map<string, number[]>(SEVERITIES.map((severity) => [severity, days.map(() => 0)]));
  for (const row of rows) {
    const place = Math.floor((Date.parse(row.Day) - begin) / (stepDays * DAY));
    const counts = series.get(row.AlertSeverity);
    if (counts && place >= 0 && place < days.length) counts[place] = (counts[place] ?? 0) + row.Count;
  }
  for (const [severity, counts] of series) if (severity === "Informational" && counts.every((count) => count === 0)) series.delete(severity);
  return { days, series, stepDays };
}
