/** Small marks: severities, states, what is new. Colour never says it alone. */

import { Badge, tokens } from "@fluentui/react-components";
import { SEVERITY_COLORS } from "../model/colors";

export function SeverityMark({ severity }: { severity: string }) {
  const color = SEVERITY_COLORS[severity] ?? tokens.colorNeutralForeground3;
  return (
    <span style={{ display: "inline-flex", alignItems: "center", gap: 6, whiteSpace: "nowrap" }}>
      <span aria-hidden style={{ width: 10, height: 10, borderRadius: severity === "High" ? 2 : 5, backgroundColor: color, flexShrink: 0 }} />
      {severity || "Unknown"}
    </span>
  );
}

export function NewMark() {
  return (
    <Badge appearance="filled" color="brand" size="small" style={{ marginLeft: 8, whiteSpace: "nowrap", flexShrink: 0 }}>
      NEW
    </Badge>
  );
}

export function StateMark({ state }: { state: string }) {
  const colors: Record<string, "danger" | "success" | "informative" | "warning"> = {
    Active: "danger",
    Inactive: "success",
    Fail: "danger",
    FAIL: "danger",
    Err: "warning",
    ERROR: "warning",
    Pass: "success",
    PASS: "success",
  };
  return (
    <Badge appearance="tint" color={colors[state] ?? "informative"}>
      {state || "Unknown"}
    </Badge>
  );
}
