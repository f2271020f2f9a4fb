/** The portal: who is it, what do they look at, and which page. */

import { FluentProvider, webDarkTheme, webLightTheme } from "@fluentui/react-components";
import { lazy, Suspense, useCallback, useEffect, useMemo, useState, type ReactNode } from "react";
import { Route, Router, Switch, useLocation } from "wouter";
import { ApiError, getJson, send, SIGNED_OUT } from "../api/http";
import { loadVisible, scopeOf, solutionName, type Solution } from "../api/scope";
import { Failure, Loading } from "../components/states";
import { OverviewPage } from "../pages/overview/OverviewPage";
import { ErrorBoundary } from "../components/ErrorBoundary";
import { BASE, solutionBase, solutionIn, type SolutionName } from "./base";
import { LiveProvider } from "./live";
import { rawPath } from "./location";
import { PreferencesProvider, usePreferences } from "./preferences";
import { Session, SessionContext } from "./session";
import { hasLinkCode } from "./signInLink";
import { Shell } from "./Shell";
import { useData } from "./useData";
import { forget, forgetOthers } from "../model/history";

const SignInPage = lazy(() => import("../pages/SignInPage"));
const AlertsPage = lazy(() => import("../pages/alerts/AlertsPage"));
const RecommendationsPage = lazy(() => import("../pages/recommendations/RecommendationsPage"));
const RecommendationPage = lazy(() => import("../pages/recommendations/RecommendationPage"));
const DevicesPage = lazy(() => import("../pages/devices/DevicesPage"));
const DevicePage = lazy(() => import("../pages/devices/DevicePage"));
const LogsPage = lazy(() => import("../pages/logs/LogsPage"));
const WorkbooksPage = lazy(() => import("../pages/workbooks/WorkbooksPage"));
const WorkbookPage = lazy(() => import("../pages/workbooks/WorkbookPage"));
const SettingsPage = lazy(() => import("../pages/settings/SettingsPage"));
const OnboardingPage = lazy(() => import("../pages/OnboardingPage"));

const SOLUTION_KEY = "turnstone-solution";

export function App() {
  return (
    <PreferencesProvider>
      <Themed />
    </PreferencesProvider>
  );
}

function Themed() {
  const { isDark } = usePreferences();
  useEffect(() => {
    document.documentElement.style.colorScheme = isDark ? "dark" : "light";
  }, [isDark]);
  return (
    <FluentProvider theme={isDark ? webDarkTheme : webLightTheme} style={{ height: "100%" }}>
      <Router base={BASE}>
        <Gate />
      </Router>
    </FluentProvider>
  );
}

/** Lets those in who have a session. */
function Gate() {
  const session = useData("session", async (signal): Promise<Session | null> => {
    try {
      return await getJson<Session>("/api/v1/session", signal);
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return null;
      throw error;
    }
  });
  const { reload } = session;
  useEffect(() => {
    window.addEventListener(SIGNED_OUT, reload);
    return () => window.removeEventListener(SIGNED_OUT, reload);
  }, [reload]);
  // A link signs in whoever opens it, though somebody else may be.
  const [hasLink, setHasLink] = useState(hasLinkCode);
  if (session.error) return <Failure error={session.error} retry={reload} />;
  if (session.value === undefined) return <Loading />;
  if (session.value === null || hasLink) {
    const signedIn = () => {
      setHasLink(false);
      reload();
    };
    return (
      <Suspense fallback={<Loading />}>
        <SignInPage onSignedIn={signedIn} />
      </Suspense>
    );
  }
  return <SignedIn session={session.value} onSignedOut={reload} />;
}

function SignedIn({ session, onSignedOut }: { session: Session; onSignedOut(): void }) {
  useState(() => forgetOthers(session.principal.id));
  const visible = useData("solutions", loadVisible);
  const [path, navigate] = useLocation();
  const solutions = visible.value?.solutions ?? [];
  const named = useMemo(() => solutionIn(path), [path]);
  const solution = named ? solutions.find((one) => isNamed(one, named)) : (solutions.find((one) => one.id === localStorage.getItem(SOLUTION_KEY)) ?? solutions[0]);
  const choose = useCallback(
    (id: string) => {
      localStorage.setItem(SOLUTION_KEY, id);
      // What is open, such as one alert, may not be there in the other solution; its list is.
      navigate(`${solutionBase(solutionName(id))}/${rawPath().split("/")[1] ?? ""}`);
    },
    [navigate],
  );
  const signOut = useCallback(async () => {
    await send("DELETE", "/api/v1/session");
    forget();
    // The address may hold a query.
    window.history.replaceState(null, "", `${BASE}/`);
    onSignedOut();
  }, [onSignedOut]);
  const known = useMemo(
    () => visible.value && solution && { session, scope: scopeOf(visible.value, solution), choose, reloadScope: visible.reload, signOut },
    [session, visible.value, solution, choose, visible.reload, signOut],
  );
  // Of several solutions each has addresses of its own.
  const isUnnamed = solution !== undefined && solutions.length > 1 && !named;
  useEffect(() => {
    if (!isUnnamed) return;
    const { search, hash } = window.location;
    navigate(`${solutionBase(solutionName(solution.id))}${rawPath()}${search}${hash}`, { replace: true });
  }, [isUnnamed, solution, navigate]);
  if (visible.error instanceof ApiError && visible.error.isForbidden) return <NothingToSee name={session.principal.displayName} signOut={signOut} />;
  if (visible.error) return <Failure error={visible.error} retry={visible.reload} action={{ label: "Sign out", run: () => void signOut() }} />;
  if (visible.value === undefined || isUnnamed) return <Loading />;
  if (named && !known && solutions.length > 0) {
    const error = new ApiError(404, "SolutionNotFound", `There is no solution '${named.name}' that you may see.`);
    return <Failure error={error} action={{ label: "Go to the overview", run: () => navigate("/") }} />;
  }
  if (!known) return <NothingToSee name={session.principal.displayName} signOut={signOut} />;
  return (
    <SessionContext value={known}>
      <Router base={named ? solutionBase(named) : ""}>
        <LiveProvider>
          <Shell>
            <Suspense fallback={<Loading />} key={known.scope.solution.id}>
              <Bounded>
                <Route path="/" component={OverviewPage} />
                <Route path="/alerts" component={AlertsPage} />
                <Route path="/alerts/:type/:day" component={AlertsPage} />
                <Route path="/recommendations" component={RecommendationsPage} />
                <Route path="/recommendations/:name" component={RecommendationPage} />
                <Route path="/recommendations/:name/devices/:device" component={RecommendationPage} />
                <Route path="/devices" component={DevicesPage} />
                <Route path="/devices/:id" component={DevicePage} />
                <Route path="/logs" component={LogsPage} />
                <Route path="/workbooks" component={WorkbooksPage} />
                <Route path="/workbooks/:id" component={WorkbookPage} />
                <Route path="/settings/:section?" component={SettingsPage} />
                <Route path="/onboarding" component={OnboardingPage} />
                <Route>
                  <Failure error={new ApiError(404, "NotFound", "There is no page at this address.")} />
                </Route>
              </Bounded>
            </Suspense>
          </Shell>
        </LiveProvider>
      </Router>
    </SessionContext>
  );
}

function isNamed(solution: Solution, { group, name }: SolutionName): boolean {
  const own = solutionName(solution.id);
  return own.group.toLowerCase() === group.toLowerCase() && own.name.toLowerCase() === name.toLowerCase();
}

/** The page of the address; when one breaks, the others can still be gone to. */
function Bounded({ children }: { children: ReactNode }) {
  const [location] = useLocation();
  return (
    <ErrorBoundary place={location}>
      <Switch>{children}</Switch>
    </ErrorBoundary>
  );
}

function NothingToSee({ name, signOut }: { name: string; signOut(): Promise<void> }) {
  const message = `You are signed in as ${name}, but there is no security solution that you may see. Ask an owner for a role, such as Security Reader.`;
  return <Failure error={new ApiError(403, "Forbidden", message)} action={{ label: "Sign out", run: () => void signOut() }} />;
}
