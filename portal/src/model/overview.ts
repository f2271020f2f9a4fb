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

/** The counts of each severity, day by day, with a zero for a day without alerts. */
export function daySeries(rows: DayCount[], span: Span, now: number): { days: string[]; series: Map<string, number[]> } {
  const end = "to" in span ? Date.parse(span.to) : now;
  const first = new Date(end - spanLength(span)).toISOString().slice(0, 10);
  const days: string[] = [];
  for (let day = Date.parse(`${first}T00:00:00Z`); day <= end; day += DAY) days.push(new Date(day).toISOString().slice(0, 10));
  const places = new Map(days.map((day, place) => [day, place]));
  const series = new Map<string, number[]>(SEVERITIES.map((severity) => [severity, days.map(() => 0)]));
  for (const row of rows) {
    const place = places.get(row.Day.slice(0, 10));
    const counts = series.get(row.AlertSeverity);
    if (place !== undefined && counts) counts[place] = (counts[place] ?? 0) + row.Count;
  }
  for (const [severity, counts] of series) if (severity === "Informational" && counts.every((count) => count === 0)) series.delete(severity);
  return { days, series };
}
