/** The button that saves, and what came of it. */

import { Button, Text, tokens } from "@fluentui/react-components";
import { messageOf } from "../../components/states";

interface SaveBarProps {
  isBusy: boolean;
  isSaved: boolean;
  error: unknown;
  isChanged: boolean;
  onSave(): void;
}

export function SaveBar({ isBusy, isSaved, error, isChanged, onSave }: SaveBarProps) {
  return (
    <div style={{ display: "flex", gap: 12, alignItems: "center", flexWrap: "wrap", marginTop: 12 }}>
      <Button appearance="primary" disabled={isBusy || !isChanged} onClick={onSave}>
        Save
      </Button>
      {isSaved && !isChanged && <Text role="status">Saved. It is so for what comes from now on.</Text>}
      {error !== undefined && (
        <Text role="alert" style={{ color: tokens.colorPaletteRedForeground1 }}>
          {messageOf(error)}
        </Text>
      )}
    </div>
  );
}
