import { useEffect, useState } from "react";
import { t } from "../../i18n";
import { type NodeRun, nodeRun, type PlannedNode, useRun } from "../../stores/runStore";

interface BadgeProps {
  tab: string;
  /** Its full id. */
  node: string;
}

type BadgeState = NodeRun["state"] | PlannedNode["state"];

/** A shape of its own for each state, so that none is told by colour alone. */
const SHAPES: Record<BadgeState, string> = {
  run: "M4 2.5 L10 6 L4 9.5 Z",
  maybe: "M4 2.5 L10 6 L4 9.5 Z",
  cached: "M2 3.5 H10 M2 6 H10 M2 8.5 H10",
  unneeded: "M3 6 H9",
  running: "M6 1.5 A4.5 4.5 0 1 1 1.5 6",
  done: "M2 6.5 L5 9.5 L10.5 3",
  failed: "M3 3 L9 9 M9 3 L3 9",
  skipped: "M3 6 H9",
};

/** What happened with a node, or else what would happen. */
export function Badge({ tab, node }: BadgeProps) {
  const run = useRun((state) => nodeRun(state, tab, node));
  const plan = useRun((state) => state.plans[tab]?.[node]);
  // what is never kept runs again, and is up to date all the same
  const isOld = plan?.state === "run" && plan.changed;
  const stale = run !== undefined && run.state !== "running" && run.state !== "failed" && isOld;
  if (run?.state === "running") return <Running run={run} />;
  if (run !== undefined && !stale) {
    const seconds = run.state === "done" && run.seconds !== undefined ? showSeconds(run.seconds) : undefined;
    return <Mark state={run.state} text={seconds ?? (run.state === "failed" ? t("editor.state_failed") : "")} why="" />;
  }
  if (plan === undefined) return null;
  return <Mark state={plan.state} text={stale ? t("editor.state_stale") : ""} why={plan.reason} />;
}

function Mark({ state, text, why }: { state: BadgeState; text: string; why: string }) {
  const name = t(`editor.state_${state}`);
  const label = why === "" ? name : `${name}: ${why}`;
  const filled = state === "run";
  return (
    <span className={`badge ${state}`} title={label}>
      <svg
        viewBox="0 0 12 12"
        fill={filled ? "currentColor" : "none"}
        stroke="currentColor"
        strokeWidth="1.6"
        strokeLinecap="round"
        role="img"
        aria-label={label}
      >
        <path d={SHAPES[state]} />
      </svg>
      {text !== "" && <span className="badge-text">{text}</span>}
    </span>
  );
}

/** How long it has been running. */
function Running({ run }: { run: NodeRun }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, []);
  const steps = run.total !== undefined && run.total > 1 ? `${run.done ?? 0}/${run.total}` : "";
  const seconds = run.since === undefined ? "" : showSeconds(Math.max(0, now - run.since) / 1000);
  return <Mark state="running" text={[steps, seconds].filter(Boolean).join(" · ")} why="" />;
}

/** A line below the header that fills. */
export function Progress({ tab, node }: BadgeProps) {
  const share = useRun((state) => {
    const run = nodeRun(state, tab, node);
    if (run?.state !== "running") return null;
    return run.total === undefined || run.total === 0 ? 0 : (run.done ?? 0) / run.total;
  });
  if (share === null) return null;
  return (
    <div
      className="card-progress"
      role="progressbar"
      aria-label={t("editor.progress")}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(share * 100)}
    >
      <span style={{ width: `${share * 100}%` }} />
    </div>
  );
}

export function showSeconds(seconds: number): string {
  if (seconds < 0.1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  return `${Math.floor(seconds / 60)}:${String(Math.round(seconds % 60)).padStart(2, "0")} min`;
}
