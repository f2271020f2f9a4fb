/** What stands where there is nothing to show: not yet, not at all, not for this person, or because something failed. */

import { Button, makeStyles, Spinner, Text, tokens } from "@fluentui/react-components";
import { ErrorCircleRegular, LockClosedRegular, SearchRegular } from "@fluentui/react-icons";
import type { ReactNode } from "react";
import { ApiError } from "../api/http";
import { formatCount } from "../model/time";

const useStyles = makeStyles({
  state: {
    display: "flex",
    flexDirection: "column",
    alignItems: "center",
    justifyContent: "center",
    gap: "12px",
    padding: "48px 24px",
    textAlign: "center",
    color: tokens.colorNeutralForeground2,
  },
  icon: { fontSize: "40px", color: tokens.colorNeutralForeground3 },
  message: { maxWidth: "560px", overflowWrap: "anywhere", whiteSpace: "pre-wrap" },
});

export function Loading({ label = "Loading" }: { label?: string }) {
  const styles = useStyles();
  return (
    <div className={styles.state}>
      <Spinner label={label} />
    </div>
  );
}

interface EmptyProps {
  title: string;
  children?: ReactNode;
  action?: ReactNode;
}

export function Empty({ title, children, action }: EmptyProps) {
  const styles = useStyles();
  return (
    <div className={styles.state}>
      <SearchRegular className={styles.icon} aria-hidden />
      <Text weight="semibold" size={400}>
        {title}
      </Text>
      {children && <Text className={styles.message}>{children}</Text>}
      {action}
    </div>
  );
}

interface CutNoteProps {
  shown: number;
  /** So many are asked for at most. */
  most: number;
}

/** Says that there may be more than is shown. */
export function CutNote({ shown, most }: CutNoteProps) {
  if (shown < most) return null;
  return <Text role="note">The newest {formatCount(most)} are shown. For those before them choose a time that ends earlier.</Text>;
}

interface FailureProps {
  error: unknown;
  retry?: () => void;
  action?: { label: string; run(): void };
}

/** What a person is told of a failure. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Why something cannot be shown. A person without permission is told so in other words than of a fault. */
export function Failure({ error, retry, action }: FailureProps) {
  const styles = useStyles();
  const isForbidden = error instanceof ApiError && error.isForbidden;
  const isMissing = error instanceof ApiError && error.status === 404;
  const Icon = isForbidden ? LockClosedRegular : isMissing ? SearchRegular : ErrorCircleRegular;
  const title = isForbidden ? "You have no permission to see this" : isMissing ? "There is nothing here" : "This could not be loaded";
  return (
    <div className={styles.state} role="alert">
      <Icon className={styles.icon} aria-hidden />
      <Text weight="semibold" size={400}>
        {title}
      </Text>
      <Text className={styles.message}>{messageOf(error)}</Text>
      {retry && !isForbidden && <Button onClick={retry}>Try again</Button>}
      {action && <Button onClick={action.run}>{action.label}</Button>}
    </div>
  );
}
