/** Which recommendations are wanted. */

import { Switch } from "@fluentui/react-components";
import type { RecommendationSetting } from "../../api/scope";
import { useSession } from "../../app/session";
import { List, type ListColumn } from "../../components/List";
import { Section } from "../../components/Page";
import { SaveBar } from "./SaveBar";
import { useEdited } from "./useEdited";
import { useSolutionChange } from "./useSolutionChange";

export function RecommendationSettings() {
  const { scope } = useSession();
  const kept = scope.solution.properties.recommendationsConfiguration;
  const { value: chosen, isChanged, edit } = useEdited(kept);
  const change = useSolutionChange();
  const columns: ListColumn<RecommendationSetting>[] = [
    { key: "name", title: "Recommendation", value: (row) => row.name, show: (row) => row.name },
    { key: "type", title: "Type", value: (row) => row.recommendationType, show: (row) => row.recommendationType },
    {
      key: "status",
      title: "Wanted",
      value: (row) => row.status,
      show: (row) => (
        <Switch
          aria-label={row.name}
          checked={row.status === "Enabled"}
          label={row.status === "Enabled" ? "On" : "Off"}
          onChange={(_, { checked }) =>
            edit(chosen.map((one) => (one.recommendationType === row.recommendationType ? { ...one, status: checked ? "Enabled" : "Disabled" } : one)))
          }
        />
      ),
    },
  ];
  return (
    <Section title="Recommendations configuration">
      <List label="Recommendations" columns={columns} rows={chosen} keyOf={(row) => row.recommendationType} />
      <SaveBar {...change} isChanged={isChanged} onSave={() => void change.save({ recommendationsConfiguration: chosen })} />
    </Section>
  );
}
