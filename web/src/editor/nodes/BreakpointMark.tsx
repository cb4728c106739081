import { t } from "../../i18n";
import { toggleBreakpoint } from "../actions";

/** A stop sign before a node's title; pressing it takes the breakpoint off. */
export function BreakpointMark({ id }: { id: string }) {
  return (
    <button
      type="button"
      className="quiet card-breakpoint nodrag"
      aria-label={t("breakpoints.mark")}
      title={t("breakpoints.mark")}
      onClick={() => toggleBreakpoint([id])}
    >
      <svg viewBox="0 0 12 12" aria-hidden="true">
        <path d="M4 1h4l3 3v4l-3 3H4L1 8V4z" fill="currentColor" />
        <path d="M4.6 4v4M7.4 4v4" stroke="var(--surface)" strokeWidth="1.4" strokeLinecap="round" />
      </svg>
    </button>
  );
}
