/** What the solution watches. */

import { nameIn } from "../../api/scope";
import { useSession } from "../../app/session";
import { List, type ListColumn } from "../../components/List";
import { Facts, Section } from "../../components/Page";

/** `IotHubs` of a resource's id. */
function typeIn(id: string): string {
  const parts = id.split("/").filter(Boolean);
  return parts.at(-2) ?? "";
}

const TYPES: Record<string, string> = { iothubs: "Hub", workspaces: "Workspace", subscriptions: "Subscription" };

export function MonitoredResources() {
  const { scope } = useSession();
  const { properties } = scope.solution;
  const columns: ListColumn<string>[] = [
    { key: "name", title: "Name", value: nameIn, show: nameIn },
    { key: "type", title: "Type", value: typeIn, show: (id) => TYPES[typeIn(id).toLowerCase()] ?? typeIn(id) },
    { key: "id", title: "Resource", value: (id) => id, show: (id) => id },
  ];
  const { userDefinedResources } = properties;
  return (
    <>
      <Section title="Found by themselves">
        <List label="Monitored resources" columns={columns} rows={properties.autoDiscoveredResources} keyOf={(id) => id} />
      </Section>
      {userDefinedResources && (
        <Section title="Defined by you">
          <Facts
            facts={[
              ["Query", userDefinedResources.query],
              ["Subscriptions", userDefinedResources.querySubscriptions?.join(", ")],
            ]}
          />
        </Section>
      )}
    </>
  );
}
