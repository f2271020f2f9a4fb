/** What stands around every page: the way to all others, and the choices that hold for all. */

import {
  Button,
  makeStyles,
  mergeClasses,
  Menu,
  MenuDivider,
  MenuGroup,
  MenuGroupHeader,
  MenuItem,
  MenuItemRadio,
  MenuList,
  MenuPopover,
  MenuTrigger,
  tokens,
  Tooltip,
} from "@fluentui/react-components";
import {
  AddCircleRegular,
  AlertRegular,
  BoardRegular,
  CodeRegular,
  DesktopPulseRegular,
  LightbulbRegular,
  NavigationRegular,
  PersonRegular,
  SettingsRegular,
  ShieldTaskRegular,
} from "@fluentui/react-icons";
import { useEffect, useRef, useState, type ReactNode } from "react";
import { Link, useLocation } from "wouter";
import { useLive } from "./live";
import { type Theme, usePreferences } from "./preferences";
import { useSession } from "./session";

const NARROW = "@media (max-width: 760px)";

const useStyles = makeStyles({
  shell: {
    height: "100%",
    display: "grid",
    gridTemplateRows: "48px 1fr",
    gridTemplateColumns: "208px 1fr",
    gridTemplateAreas: '"header header" "nav main"',
    backgroundColor: tokens.colorNeutralBackground2,
    [NARROW]: { gridTemplateColumns: "1fr", gridTemplateAreas: '"header" "main"' },
  },
  header: {
    gridArea: "header",
    display: "flex",
    alignItems: "center",
    gap: "8px",
    paddingLeft: "12px",
    paddingRight: "8px",
    backgroundColor: tokens.colorNeutralBackground1,
    borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
  },
  brand: { display: "flex", alignItems: "center", gap: "8px", color: "inherit", textDecorationLine: "none", fontWeight: 600, fontSize: "16px" },
  space: { flexGrow: 1 },
  menuButton: { display: "none", [NARROW]: { display: "inline-flex" } },
  hideNarrow: { [NARROW]: { display: "none" } },
  nav: {
    gridArea: "nav",
    overflowY: "auto",
    padding: "8px",
    backgroundColor: tokens.colorNeutralBackground1,
    borderRight: `1px solid ${tokens.colorNeutralStroke2}`,
    [NARROW]: { display: "none" },
  },
  navOpen: {
    [NARROW]: { display: "block", position: "fixed", top: "48px", bottom: 0, left: 0, width: "240px", zIndex: 20, boxShadow: tokens.shadow16 },
  },
  list: { listStyleType: "none", margin: 0, padding: 0 },
  link: {
    display: "flex",
    alignItems: "center",
    gap: "10px",
    minHeight: "36px",
    padding: "0 10px",
    borderRadius: tokens.borderRadiusMedium,
    color: tokens.colorNeutralForeground2,
    textDecorationLine: "none",
    fontSize: "20px",
    ":hover": { backgroundColor: tokens.colorNeutralBackground1Hover },
    ":focus-visible": { outline: `2px solid ${tokens.colorStrokeFocus2}` },
    "& span": { fontSize: tokens.fontSizeBase300 },
  },
  current: {
    backgroundColor: tokens.colorNeutralBackground1Selected,
    color: tokens.colorNeutralForeground1Selected,
    fontWeight: 600,
    boxShadow: `inset 3px 0 ${tokens.colorBrandStroke1}`,
  },
  main: { gridArea: "main", overflow: "auto", minWidth: 0, outlineStyle: "none" },
});

const PAGES = [
  { path: "/", label: "Overview", icon: <ShieldTaskRegular /> },
  { path: "/alerts", label: "Alerts", icon: <AlertRegular /> },
  { path: "/recommendations", label: "Recommendations", icon: <LightbulbRegular /> },
  { path: "/devices", label: "Devices", icon: <DesktopPulseRegular /> },
  { path: "/logs", label: "Logs", icon: <CodeRegular /> },
  { path: "/workbooks", label: "Workbooks", icon: <BoardRegular /> },
  { path: "/settings", label: "Settings", icon: <SettingsRegular /> },
  { path: "/onboarding", label: "Add a device", icon: <AddCircleRegular /> },
];

export function Shell({ children }: { children: ReactNode }) {
  const styles = useStyles();
  const [location] = useLocation();
  const [isOpen, setIsOpen] = useState(false);
  const main = useRef<HTMLElement>(null);
  const isCurrent = (path: string) => (path === "/" ? location === "/" : location === path || location.startsWith(`${path}/`));
  const current = PAGES.find((page) => isCurrent(page.path));
  useEffect(() => {
    document.title = current ? `${current.label} – Turnstone` : "Turnstone";
    setIsOpen(false);
  }, [current, location]);
  return (
    <div className={styles.shell}>
      <a
        className="skip-link"
        href="#content"
        onClick={(event) => {
          // The fragment is the page's own.
          event.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to the content
      </a>
      <header className={styles.header}>
        <Button
          className={styles.menuButton}
          appearance="subtle"
          icon={<NavigationRegular />}
          aria-label="Pages"
          aria-expanded={isOpen}
          onClick={() => setIsOpen(!isOpen)}
        />
        <Link href="/" className={styles.brand}>
          <img src={`${import.meta.env.BASE_URL}turnstone.svg`} alt="" width={26} height={26} />
          Turnstone
        </Link>
        <span className={styles.space} />
        <SolutionMenu />
        <LiveMark />
        <ViewMenu />
        <PersonMenu />
      </header>
      <nav aria-label="Pages" className={mergeClasses(styles.nav, isOpen && styles.navOpen)}>
        <ul className={styles.list}>
          {PAGES.map((page) => (
            <li key={page.path}>
              <Link
                href={page.path}
                className={mergeClasses(styles.link, isCurrent(page.path) && styles.current)}
                aria-current={isCurrent(page.path) ? "page" : undefined}
              >
                {page.icon}
                <span>{page.label}</span>
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      <main id="content" ref={main} tabIndex={-1} className={styles.main}>
        {children}
      </main>
    </div>
  );
}

/** Which solution is looked at, where there is more than one. */
function SolutionMenu() {
  const { scope, choose } = useSession();
  if (scope.solutions.length < 2) return null;
  return (
    <Menu checkedValues={{ solution: [scope.solution.id] }} onCheckedValueChange={(_, { checkedItems }) => checkedItems[0] && choose(checkedItems[0])}>
      <MenuTrigger disableButtonEnhancement>
        <Button appearance="subtle">Solution: {scope.solution.properties.displayName}</Button>
      </MenuTrigger>
      <MenuPopover>
        <MenuList>
          {scope.solutions.map((solution) => (
            <MenuItemRadio key={solution.id} name="solution" value={solution.id}>
              {solution.properties.displayName}
            </MenuItemRadio>
          ))}
        </MenuList>
      </MenuPopover>
    </Menu>
  );
}

function LiveMark() {
  const styles = useStyles();
  const { isConnected, newest, count } = useLive();
  return (
    <>
      <Tooltip relationship="description" content={isConnected ? "New alerts appear by themselves" : "Not connected: reload to see what is new"}>
        <span className={styles.hideNarrow} style={{ color: isConnected ? tokens.colorStatusSuccessForeground1 : tokens.colorNeutralForeground3 }}>
          {isConnected ? "● Live" : "○ Not live"}
        </span>
      </Tooltip>
      <span className="visually-hidden" role="status">
        {count > 0 && newest ? `New alert: ${newest.AlertSeverity}, ${newest.DisplayName}` : ""}
      </span>
    </>
  );
}

function ViewMenu() {
  const { theme, setTheme, zone, setZone } = usePreferences();
  return (
    <Menu
      checkedValues={{ theme: [theme], zone: [zone] }}
      onCheckedValueChange={(_, { name, checkedItems }) => {
        if (name === "theme") setTheme(checkedItems[0] as Theme);
        else setZone(checkedItems[0] === "local" ? "local" : "utc");
      }}
    >
      <MenuTrigger disableButtonEnhancement>
        <Button appearance="subtle" aria-label={`View: times in ${zone === "utc" ? "UTC" : "local time"}`}>
          {zone === "utc" ? "UTC" : "Local"}
        </Button>
      </MenuTrigger>
      <MenuPopover>
        <MenuList>
          <MenuGroup>
            <MenuGroupHeader>Times</MenuGroupHeader>
            <MenuItemRadio name="zone" value="utc">
              UTC
            </MenuItemRadio>
            <MenuItemRadio name="zone" value="local">
              Local time
            </MenuItemRadio>
          </MenuGroup>
          <MenuDivider />
          <MenuGroup>
            <MenuGroupHeader>Theme</MenuGroupHeader>
            <MenuItemRadio name="theme" value="system">
              As the system
            </MenuItemRadio>
            <MenuItemRadio name="theme" value="light">
              Light
            </MenuItemRadio>
            <MenuItemRadio name="theme" value="dark">
              Dark
            </MenuItemRadio>
          </MenuGroup>
        </MenuList>
      </MenuPopover>
    </Menu>
  );
}

function PersonMenu() {
  const { session, signOut } = useSession();
  const [, navigate] = useLocation();
  return (
    <Menu>
      <MenuTrigger disableButtonEnhancement>
        <Button appearance="subtle" icon={<PersonRegular />} aria-label={`Signed in as ${session.principal.displayName}`} />
      </MenuTrigger>
      <MenuPopover>
        <MenuList>
          <MenuGroup>
            <MenuGroupHeader>{session.principal.displayName}</MenuGroupHeader>
            <MenuItem onClick={() => navigate("/settings/tokens")}>My tokens</MenuItem>
            <MenuItem onClick={() => void signOut()}>Sign out</MenuItem>
          </MenuGroup>
        </MenuList>
      </MenuPopover>
    </Menu>
  );
}
