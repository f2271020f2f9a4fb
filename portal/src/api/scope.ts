/** What the portal looks at: a security solution, the hubs that it watches and the workspace that it fills. */

import { getAll, getJson } from "./http";

export interface Settings {
  version: string;
  subscriptionId: string;
  defaultWorkspace: string;
  defaultWorkspaceId: string;
  publicUrl: string | null;
  httpsPort: number;
  hasOutsideSignIn: boolean;
  hubs: string[];
}

export interface Resource<P = Record<string, unknown>> {
  id: string;
  name: string;
  type: string;
  location?: string;
  tags?: Record<string, string>;
  properties: P;
}

export interface RecommendationSetting {
  recommendationType: string;
  name: string;
  status: "Enabled" | "Disabled";
}

export interface SolutionProperties {
  displayName: string;
  status: "Enabled" | "Disabled";
  workspace?: string;
  iotHubs: string[];
  export: string[];
  unmaskedIpLoggingStatus: "Enabled" | "Disabled";
  recommendationsConfiguration: RecommendationSetting[];
  autoDiscoveredResources: string[];
  userDefinedResources?: { query: string; querySubscriptions: string[] };
}

export type Solution = Resource<SolutionProperties>;

export interface WorkspaceProperties {
  customerId: string;
  retentionInDays?: number;
}

export type Workspace = Resource<WorkspaceProperties>;

export const API = {
  solutions: "api-version=2019-08-01",
  workspaces: "api-version=2022-10-01",
  hubs: "api-version=2021-07-02",
};

/** The last part of a resource's id. */
export function nameIn(id: string): string {
  return id.split("/").filter(Boolean).at(-1) ?? id;
}

export interface Scope {
  settings: Settings;
  solutions: Solution[];
  solution: Solution;
  /** The database that the solution's data goes to. */
  database: string;
  /** The ids of the solution's hubs. */
  hubs: string[];
}

export function solutionsPath(subscription: string): string {
  return `/subscriptions/${subscription}/providers/Microsoft.Security/iotSecuritySolutions?${API.solutions}`;
}

export function workspacesPath(subscription: string): string {
  return `/subscriptions/${subscription}/providers/Microsoft.OperationalInsights/workspaces?${API.workspaces}`;
}

/** What the caller may look at. */
export type Visible = Pick<Scope, "settings" | "solutions">;

export async function loadVisible(signal?: AbortSignal): Promise<Visible> {
  const settings = await getJson<Settings>("/api/v1/settings", signal);
  return { settings, solutions: await getAll<Solution>(solutionsPath(settings.subscriptionId), signal) };
}

/** The group and name of a solution, by its id. */
export function solutionName(id: string): { group: string; name: string } {
  // /subscriptions/{subscription}/resourceGroups/{group}/...
  return { group: id.split("/")[4] ?? "", name: nameIn(id) };
}

/** What is looked at with one of the solutions. */
export function scopeOf({ settings, solutions }: Visible, solution: Solution): Scope {
  const { workspace, iotHubs } = solution.properties;
  return { settings, solutions, solution, database: workspace ? nameIn(workspace) : settings.defaultWorkspace, hubs: iotHubs };
}
