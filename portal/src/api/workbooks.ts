/** Workbooks, as our own interface keeps them. */

import type { Workbook } from "../model/workbook";
import { getAll, getJson, send } from "./http";

const pathOf = (database: string, id = "") => `/api/v1/workbooks${id && `/${encodeURIComponent(id)}`}?workspace=${encodeURIComponent(database)}`;

export async function loadWorkbooks(database: string, signal?: AbortSignal): Promise<Workbook[]> {
  return getAll<Workbook>(pathOf(database), signal);
}

export async function loadWorkbook(database: string, id: string, signal?: AbortSignal): Promise<Workbook> {
  return getJson<Workbook>(pathOf(database, id), signal);
}

function body({ title, description, parameters, items }: Workbook) {
  return { title, description, parameters, items };
}

/** Keeps a new workbook; what it is called from now on. */
export async function createWorkbook(database: string, workbook: Workbook): Promise<Workbook> {
  return send<Workbook>("POST", pathOf(database), body(workbook));
}

export async function changeWorkbook(database: string, workbook: Workbook): Promise<Workbook> {
  return send<Workbook>("PUT", pathOf(database, workbook.id), body(workbook));
}

export async function deleteWorkbook(database: string, id: string): Promise<void> {
  await send("DELETE", pathOf(database, id));
}
