import { expect, it } from "vitest";
import { changesOf, readRecommendationFilter, recommendationListQuery, writeRecommendationFilter } from "./recommendations";

const row = (RecommendationState: string, TimeGenerated: string, RecommendationAdditionalData: unknown = null) => ({ RecommendationState, TimeGenerated, RecommendationAdditionalData });

it("tells when a recommendation became active and when it healed", () => {
  const rows = [row("Active", "d", "new"), row("Inactive", "c"), row("Active", "b", "again"), row("Active", "a", "first")];
  expect(changesOf(rows)).toEqual([
    { state: "Active", from: "d", data: "new" },
    { state: "Inactive", from: "c", to: "d", data: null },
    { state: "Active", from: "a", to: "c", data: "again" },
  ]);
  expect(changesOf([])).toEqual([]);
});

it("keeps the filter in the address", () => {
  const search = "severity=Medium&device=a&state=Inactive";
  expect(writeRecommendationFilter(readRecommendationFilter(search))).toBe(search);
  expect(recommendationListQuery(["/h"], readRecommendationFilter(search))).toContain('RecommendationState == "Inactive"');
});
