/** The frame of a page: its title, what can be done there, and its content. */

import { Link as FluentLink, makeStyles, mergeClasses, Text, tokens } from "@fluentui/react-components";
import type { ReactNode } from "react";
import { Link } from "wouter";

const useStyles = makeStyles({
  page: { display: "flex", flexDirection: "column", minHeight: "100%", boxSizing: "border-box", padding: "16px 20px 24px", gap: "12px" },
  full: { height: "100%", paddingBottom: "8px" },
  head: { display: "flex", flexWrap: "wrap", alignItems: "center", gap: "8px 12px" },
  title: { margin: 0, fontSize: tokens.fontSizeBase600, lineHeight: tokens.lineHeightBase600, fontWeight: 600, overflowWrap: "anywhere" },
  actions: { display: "flex", flexWrap: "wrap", gap: "8px", marginLeft: "auto", alignItems: "center" },
  trail: { display: "flex", flexWrap: "wrap", gap: "6px", color: tokens.colorNeutralForeground2 },
});

interface PageProps {
  title: string;
  /** The pages above, from the outermost. */
  trail?: { label: string; href: string }[];
  actions?: ReactNode;
  /** Beside the title: a badge, a count. */
  mark?: ReactNode;
  /** The content fills the window and scrolls within. */
  isFull?: boolean;
  children: ReactNode;
}

export function Page({ title, trail, actions, mark, isFull, children }: PageProps) {
  const styles = useStyles();
  return (
    <div className={mergeClasses(styles.page, isFull && styles.full)}>
      {trail && (
        <nav aria-label="Above" className={styles.trail}>
          {trail.map((above) => (
            <span key={above.href}>
              <TextLink href={above.href}>{above.label}</TextLink> ›
            </span>
          ))}
        </nav>
      )}
      <div className={styles.head}>
        <h1 className={styles.title}>{title}</h1>
        {mark}
        <div className={styles.actions}>{actions}</div>
      </div>
      {children}
    </div>
  );
}

/** A link within the portal that looks like one of Fluent's. */
export function TextLink({ href, children, label }: { href: string; children: ReactNode; label?: string }) {
  return (
    <Link href={href} asChild>
      <FluentLink as="a" inline aria-label={label}>
        {children}
      </FluentLink>
    </Link>
  );
}

const useSectionStyles = makeStyles({
  section: {
    backgroundColor: tokens.colorNeutralBackground1,
    border: `1px solid ${tokens.colorNeutralStroke2}`,
    borderRadius: tokens.borderRadiusLarge,
    padding: "14px 16px",
    minWidth: 0,
  },
  head: { display: "flex", alignItems: "center", flexWrap: "wrap", gap: "8px", marginBottom: "8px" },
  title: { margin: 0, fontSize: tokens.fontSizeBase400, fontWeight: 600 },
  space: { flexGrow: 1 },
});

/** A box with a heading. */
export function Section({ title, actions, children }: { title: string; actions?: ReactNode; children: ReactNode }) {
  const styles = useSectionStyles();
  return (
    <section className={styles.section} aria-label={title}>
      <div className={styles.head}>
        <h2 className={styles.title}>{title}</h2>
        <span className={styles.space} />
        {actions}
      </div>
      {children}
    </section>
  );
}

const useFactStyles = makeStyles({
  facts: { display: "grid", gridTemplateColumns: "minmax(120px, max-content) 1fr", gap: "6px 16px", margin: 0 },
  name: { color: tokens.colorNeutralForeground2 },
  value: { margin: 0, overflowWrap: "anywhere", minWidth: 0 },
});

/** Names and values below each other. What has no value is left out. */
export function Facts({ facts }: { facts: [string, ReactNode][] }) {
  const styles = useFactStyles();
  return (
    <dl className={styles.facts}>
      {facts
        .filter(([, value]) => value !== "" && value !== null && value !== undefined)
        .map(([name, value]) => (
          <FactRow key={name} name={name} value={value} />
        ))}
    </dl>
  );
}

function FactRow({ name, value }: { name: string; value: ReactNode }) {
  const styles = useFactStyles();
  return (
    <>
      <dt className={styles.name}>{name}</dt>
      <dd className={styles.value}>{value}</dd>
    </>
  );
}

const useStepStyles = makeStyles({ steps: { margin: 0, paddingLeft: "22px", display: "flex", flexDirection: "column", gap: "6px" } });

/** What to do, step by step. */
export function Steps({ steps }: { steps: string[] }) {
  const styles = useStepStyles();
  if (steps.length === 0) return <Text>There are no steps written down for this.</Text>;
  return (
    <ol className={styles.steps}>
      {steps.map((step, place) => (
        <li key={place}>{step}</li>
      ))}
    </ol>
  );
}
