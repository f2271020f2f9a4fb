/** The portal: who is it, what do they look at, and which page. */

import { FluentProvider, webDarkTheme, webLightTheme } from "@fluentui/react-components";
import { lazy, Suspense, useCallback, useEffect, useMemo, useState, type ReactNode } from "react";
import { Route, Router, Switch, useLocation } from "wouter";
import { ApiError, getJson, send, SIGNED_OUT } from "../api/http";
import { loadScope } from "../api/scope";
import { Failure, Loading } from "../components/states";
import { OverviewPage } from "../pages/overview/OverviewPage";
import { ErrorBoundary } from "../components/ErrorBoundary";
import { BASE } from "./base";
import { LiveProvider } from "./live";
import { PreferencesProvider, usePreferences } from "./preferences";
import { Session, SessionContext } from "./session";
import { hasLinkCode } from "./signInLink";
import { Shell } from "./Shell";
import { useData } from "./useData";
import { forget } from "../model/history";

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
  const [solutionId, setSolutionId] = useState(() => localStorage.getItem(SOLUTION_KEY));
  const scope = useData(`scope ${solutionId}`, (signal) => loadScope(solutionId, signal));
  const choose = useCallback((id: string) => {
    localStorage.setItem(SOLUTION_KEY, id);
    setSolutionId(id);
  }, []);
  const signOut = useCallback(async () => {
    await send("DELETE", "/api/v1/session");
    forget();
    // What was being written, too.
    sessionStorage.clear();
    onSignedOut();
  }, [onSignedOut]);
  const known = useMemo(
    () => scope.value && { session, scope: scope.value, choose, reloadScope: scope.reload, signOut },
    [session, scope.value, choose, scope.reload, signOut],
  );
  if (scope.error instanceof ApiError && scope.error.isForbidden) return <NothingToSee name={session.principal.displayName} signOut={signOut} />;
  if (scope.error) return <Failure error={scope.error} retry={scope.reload} action={{ label: "Sign out", run: () => void signOut() }} />;
  if (scope.value === undefined) return <Loading />;
  if (!known) return <NothingToSee name={session.principal.displayName} signOut={signOut} />;
  return (
    <SessionContext value={known}>
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
    </SessionContext>
  );
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
