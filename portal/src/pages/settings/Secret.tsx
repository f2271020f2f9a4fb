/** A secret, shown once. It stays in the memory of the page alone. */

import { Button, Field, Input } from "@fluentui/react-components";

export function Secret({ label, text, onClose }: { label: string; text: string; onClose(): void }) {
  return (
    <Field label={label} style={{ marginBottom: 12 }}>
      <span style={{ display: "flex", gap: 8, flexWrap: "wrap" }}>
        <Input readOnly value={text} style={{ flexGrow: 1 }} aria-label={label} onFocus={(event) => event.target.select()} />
        <Button onClick={() => void navigator.clipboard.writeText(text)}>Copy</Button>
        <Button onClick={onClose}>I have it</Button>
      </span>
    </Field>
  );
}
