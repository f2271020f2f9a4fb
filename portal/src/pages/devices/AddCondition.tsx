/** A small form that adds one more condition to the inventory's filter. */

import { Button, Dropdown, Input, Option, Popover, PopoverSurface, PopoverTrigger } from "@fluentui/react-components";
import { FilterAddRegular } from "@fluentui/react-icons";
import { useState, type FormEvent } from "react";
import { columnOf, COLUMNS, type Condition } from "../../model/devices";

export function AddCondition({ onAdd }: { onAdd(condition: Condition): void }) {
  const [isOpen, setIsOpen] = useState(false);
  const [column, setColumn] = useState("distribution");
  const [text, setText] = useState("");
  const add = (event: FormEvent) => {
    event.preventDefault();
    if (!text.trim()) return;
    onAdd({ column, text: text.trim() });
    setText("");
    setIsOpen(false);
  };
  return (
    <Popover open={isOpen} onOpenChange={(_, { open }) => setIsOpen(open)} trapFocus>
      <PopoverTrigger disableButtonEnhancement>
        <Button icon={<FilterAddRegular />}>Add filter</Button>
      </PopoverTrigger>
      <PopoverSurface aria-label="Add filter">
        <form onSubmit={add} style={{ display: "flex", gap: 8, flexWrap: "wrap" }}>
          <Dropdown aria-label="Column" value={columnOf(column)?.title ?? ""} selectedOptions={[column]} onOptionSelect={(_, { optionValue }) => setColumn(optionValue ?? column)}>
            {COLUMNS.map(({ key, title }) => (
              <Option key={key} value={key}>
                {title}
              </Option>
            ))}
          </Dropdown>
          <Input aria-label="Holds the text" placeholder="holds the text" value={text} onChange={(_, { value }) => setText(value)} />
          <Button type="submit" appearance="primary">
            Add
          </Button>
        </form>
      </PopoverSurface>
    </Popover>
  );
}
