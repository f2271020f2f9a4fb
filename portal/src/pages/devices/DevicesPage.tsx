/** The inventory of the devices of a solution. */

import {
  Button,
  Menu,
  MenuItem,
  MenuItemCheckbox,
  MenuList,
  MenuPopover,
  MenuTrigger,
  Text,
} from "@fluentui/react-components";
import { AddRegular, ArrowClockwiseRegular, ArrowDownloadRegular, ColumnEditRegular } from "@fluentui/react-icons";
import { useMemo, useState } from "react";
import { useLocation } from "wouter";
import { useQueryString } from "../../app/location";
import { loadDevices, type Device } from "../../api/devices";
import { download } from "../../api/http";
import { nameIn } from "../../api/scope";
import { usePreferences } from "../../app/preferences";
import { useSession } from "../../app/session";
import { useData } from "../../app/useData";
import { Choice, FilterBar, FilterChip, Search } from "../../components/filters";
import { List, type ListColumn } from "../../components/List";
import { Page, TextLink } from "../../components/Page";
import { Empty, Failure, Loading } from "../../components/states";
import { ACTIVITIES, columnOf, COLUMNS, inventoryCsv, matching, readInventoryFilter, USUAL_COLUMNS, writeInventoryFilter, type Condition, type InventoryFilter } from "../../model/devices";
import { formatCount, relativeTime } from "../../model/time";
import { AddCondition } from "./AddCondition";

const KEPT_COLUMNS = "turnstone-inventory-columns";

function keptColumns(): string[] {
  const kept = (localStorage.getItem(KEPT_COLUMNS) ?? "").split(",").filter((key) => columnOf(key));
  return kept.length > 0 ? kept : USUAL_COLUMNS;
}

export default function DevicesPage() {
  const { scope } = useSession();
  const { time } = usePreferences();
  const [, navigate] = useLocation();
  const search = useQueryString();
  const filter = useMemo(() => readInventoryFilter(search), [search]);
  const setFilter = (next: InventoryFilter) => {
    const written = writeInventoryFilter(next);
    navigate(written ? `/devices?${written}` : "/devices", { replace: true });
  };
  const [shown, setShown] = useState(keptColumns);
  const names = scope.hubs.map(nameIn);
  const devices = useData(`devices ${names.join(" ")}`, (signal) => loadDevices(names, signal));
  const show = (keys: string[]) => {
    localStorage.setItem(KEPT_COLUMNS, keys.join(","));
    setShown(keys);
  };
  const rows = useMemo(() => matching(devices.value ?? [], filter, Date.now()), [devices.value, filter]);
  const columns = useMemo(
    () =>
      shown.flatMap((key): ListColumn<Device>[] => {
        const column = columnOf(key);
        if (!column) return [];
        return [
          {
            key,
            title: column.title,
            value: column.value,
            isNumber: column.isNumber === true,
            show: (device) => {
              const value = column.value(device);
              if (key === "name") return <TextLink href={`/devices/${encodeURIComponent(device.deviceId)}?hub=${encodeURIComponent(device.hub)}`}>{device.deviceId}</TextLink>;
              if (column.isTime) return value ? <span title={relativeTime(value)}>{time(value)}</span> : "never";
              return typeof value === "number" ? formatCount(value) : value;
            },
          },
        ];
      }),
    [shown, time],
  );
  const groupOf = useMemo(() => {
    const column = columnOf(filter.group);
    return column ? (device: Device) => String(column.value(device) ?? "") : undefined;
  }, [filter.group]);
  const move = (key: string, by: number) => {
    const place = shown.indexOf(key);
    const next = [...shown];
    next.splice(place, 1);
    next.splice(Math.max(0, place + by), 0, key);
    show(next);
  };
  const exportCsv = () => download(new Blob([inventoryCsv(rows, shown)], { type: "text/csv" }), "devices.csv");
  const groups = [{ key: "", label: "nothing" }, ...COLUMNS.filter((column) => !column.isTime && !column.isNumber && column.key !== "name").map(({ key, title }) => ({ key, label: title }))];
  return (
    <Page
      title="Devices"
      mark={devices.value && <Text>{rows.length === devices.value.length ? formatCount(rows.length) : `${formatCount(rows.length)} of ${formatCount(devices.value.length)}`}</Text>}
      actions={
        <>
          <Menu checkedValues={{ column: shown }} onCheckedValueChange={(_, { checkedItems }) => show(checkedItems.length > 0 ? inOrder(shown, checkedItems) : USUAL_COLUMNS)}>
            <MenuTrigger disableButtonEnhancement>
              <Button icon={<ColumnEditRegular />}>Columns</Button>
            </MenuTrigger>
            <MenuPopover style={{ maxHeight: 420 }}>
              <MenuList>
                {COLUMNS.map(({ key, title }) => (
                  <MenuItemCheckbox key={key} name="column" value={key}>
                    {title}
                  </MenuItemCheckbox>
                ))}
                <MoveColumns shown={shown} onMove={move} />
                <MenuItem onClick={() => show(USUAL_COLUMNS)}>The usual columns</MenuItem>
              </MenuList>
            </MenuPopover>
          </Menu>
          <Button icon={<ArrowClockwiseRegular />} onClick={devices.reload}>
            Refresh
          </Button>
          <Button icon={<ArrowDownloadRegular />} onClick={exportCsv} disabled={rows.length === 0}>
            Export CSV
          </Button>
          <Button appearance="primary" icon={<AddRegular />} onClick={() => navigate("/onboarding")}>
            Add a device
          </Button>
        </>
      }
    >
      <FilterBar>
        <Search label="Find devices" value={filter.text} onChange={(text) => setFilter({ ...filter, text })} />
        <Choice
          label="Activity"
          options={Object.entries(ACTIVITIES).map(([key, label]) => ({ key, label }))}
          value={filter.activity}
          onChange={(activity) => setFilter({ ...filter, activity: activity as InventoryFilter["activity"] })}
        />
        <Choice label="Group by" options={groups} value={filter.group} onChange={(group) => setFilter({ ...filter, group })} />
        <AddCondition onAdd={(condition) => setFilter({ ...filter, conditions: [...filter.conditions, condition] })} />
        {filter.conditions.map((condition: Condition) => (
          <FilterChip
            key={`${condition.column} ${condition.text}`}
            label={`${columnOf(condition.column)?.title ?? condition.column}: ${condition.text}`}
            onRemove={() => setFilter({ ...filter, conditions: filter.conditions.filter((one) => one !== condition) })}
          />
        ))}
      </FilterBar>
      {devices.error ? (
        <Failure error={devices.error} retry={devices.reload} />
      ) : devices.value === undefined ? (
        <Loading label="Reading the inventory" />
      ) : devices.value.length === 0 ? (
        <Empty title="There are no devices yet" action={<Button onClick={() => navigate("/onboarding")}>Add the first</Button>} />
      ) : rows.length === 0 ? (
        <Empty title="No device matches these filters" action={<TextLink href="/devices">Show all</TextLink>} />
      ) : (
        <List label="Devices" columns={columns} rows={rows} keyOf={(device) => `${device.hub} ${device.deviceId}`} {...(groupOf ? { groupOf } : {})} />
      )}
    </Page>
  );
}

/** Keys that were shown keep their order; new ones come behind. */
function inOrder(shown: string[], checked: string[]): string[] {
  return [...shown.filter((key) => checked.includes(key)), ...checked.filter((key) => !shown.includes(key))];
}

function MoveColumns({ shown, onMove }: { shown: string[]; onMove(key: string, by: number): void }) {
  return (
    <Menu>
      <MenuTrigger disableButtonEnhancement>
        <MenuItem>Order of columns</MenuItem>
      </MenuTrigger>
      <MenuPopover>
        <MenuList>
          {shown.map((key, place) => (
            <MenuItem key={key} persistOnClick disabled={place === 0} onClick={() => onMove(key, -1)}>
              {`${columnOf(key)?.title ?? key}: move left`}
            </MenuItem>
          ))}
        </MenuList>
      </MenuPopover>
    </Menu>
  );
}
