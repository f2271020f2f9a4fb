/** A switch that shows what was chosen while the server makes it so. */

import { Switch } from "@fluentui/react-components";
import { useEffect, useState } from "react";

interface ServerSwitchProps {
  label: string;
  /** As the server says. */
  isOn: boolean;
  words: { on: string; off: string };
  isDisabled?: boolean;
  /** Asks the server; whether it has done it. */
  onSwitch(isOn: boolean): Promise<boolean>;
}

export function ServerSwitch({ label, isOn, words, isDisabled = false, onSwitch }: ServerSwitchProps) {
  const [wanted, setWanted] = useState<boolean>();
  useEffect(() => setWanted(undefined), [isOn]);
  const shown = wanted ?? isOn;
  const change = async (next: boolean) => {
    setWanted(next);
    if (!(await onSwitch(next))) setWanted(undefined);
  };
  return <Switch aria-label={label} checked={shown} disabled={isDisabled} label={shown ? words.on : words.off} onChange={(_, { checked }) => void change(checked)} />;
}
