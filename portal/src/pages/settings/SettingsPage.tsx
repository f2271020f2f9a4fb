/** How Turnstone is set up: what is collected, what is looked for, who may do what. */

import { Tab, TabList } from "@fluentui/react-components";
import { useLocation } from "wouter";
import { usePathParts } from "../../app/location";
import { Page } from "../../components/Page";
import { Failure } from "../../components/states";
import { ApiError } from "../../api/http";
import { Audit } from "./Audit";
import { DataCollection } from "./DataCollection";
import { MonitoredResources } from "./MonitoredResources";
import { RecommendationSettings } from "./RecommendationSettings";
import { Rules } from "./Rules";
import { Tokens } from "./Tokens";
import { Users } from "./Users";

const SECTIONS = {
  data: { title: "Data collection", content: DataCollection },
  recommendations: { title: "Recommendations", content: RecommendationSettings },
  resources: { title: "Monitored resources", content: MonitoredResources },
  rules: { title: "Rules", content: Rules },
  users: { title: "Users and roles", content: Users },
  tokens: { title: "My tokens", content: Tokens },
  audit: { title: "Audit", content: Audit },
} as const;

export default function SettingsPage() {
  const [, navigate] = useLocation();
  const name = usePathParts()[1] ?? "data";
  const section = name in SECTIONS ? SECTIONS[name as keyof typeof SECTIONS] : undefined;
  const Content = section?.content;
  return (
    <Page title="Settings">
      <TabList selectedValue={name} onTabSelect={(_, { value }) => navigate(`/settings/${String(value)}`)} style={{ flexWrap: "wrap" }}>
        {Object.entries(SECTIONS).map(([key, { title }]) => (
          <Tab key={key} value={key}>
            {title}
          </Tab>
        ))}
      </TabList>
      {Content ? <Content /> : <Failure error={new ApiError(404, "NotFound", "There are no such settings.")} />}
    </Page>
  );
}
