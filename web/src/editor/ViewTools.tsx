import { useStore } from "@xyflow/react";
import type { ReactNode } from "react";
import { ErrorBoundary } from "../app/ErrorBoundary";
import { lazily } from "../app/lazily";
import { t } from "../i18n";
import { useCanvas } from "./canvasStore";
import { runCommand, shownKeys } from "./commands";
import { useHeat } from "./heatStore";
import { openAddPalette } from "./palette";
import { zoomTo } from "./view";

const HeatLegend = lazily(async () => (await import("./HeatLegend")).HeatLegend);

/** The few buttons on the canvas: add a node, fit, minimap, zoom. */
export function ViewTools() {
  const zoom = useStore((state) => Math.round(state.transform[2] * 100));
  const minimap = useCanvas((state) => state.minimap);
  const choosing = useCanvas((state) => state.choosing);
  const heat = useHeat((state) => state.kind !== null);
  return (
    <div className="view-tools" role="toolbar" aria-label={t("editor.viewTools")}>
      <Tool label={withKeys(t("editor.addNode"), "graph.addNode")} run={() => openAddPalette()}>
        <path d="M8 3v10M3 8h10" />
      </Tool>
      <Tool label={withKeys(t("editor.fit"), "view.fit")} run={() => runCommand("view.fit")}>
        <path d="M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10" />
      </Tool>
      <Tool
        label={t("editor.selectSeveral")}
        pressed={choosing}
        className="only-touch"
        run={() => runCommand("edit.selectSeveral")}
      >
        <path d="M2.5 2.5h11v11h-11z" strokeDasharray="2.2 2.2" />
        <path d="M5.5 8.2l1.8 1.8 3.4-4" />
      </Tool>
      <Tool label={t("editor.minimap")} pressed={minimap} run={() => runCommand("view.minimap")}>
        <path d="M2 3h12v10H2zM8.5 8.5h3.5v2.5H8.5z" />
      </Tool>
      <Tool label={withKeys(t("heat.toggle"), "view.heat")} pressed={heat} run={() => runCommand("view.heat")}>
        <path d="M8 2c.5 2.5 3.5 4 3.5 7.5a3.5 3.5 0 0 1-7 0C4.5 8 5.3 7 6 6.3c.3 1 .8 1.5 1.3 1.7C7.8 6 7.3 4 8 2z" />
      </Tool>
      <button
        type="button"
        className="quiet zoom"
        aria-label={t("editor.zoomIs", { zoom })}
        title={t("editor.actualSize")}
        onClick={() => zoomTo(1)}
      >
        {zoom} %
      </button>
      <ErrorBoundary>{heat && <HeatLegend />}</ErrorBoundary>
    </div>
  );
}

interface ToolProps {
  label: string;
  pressed?: boolean;
  className?: string;
  run(): void;
  children: ReactNode;
}

function Tool({ label, pressed, className = "", run, children }: ToolProps) {
  return (
    <button
      type="button"
      className={`quiet ${className}`}
      aria-label={label}
      title={label}
      aria-pressed={pressed}
      onClick={run}
    >
      <svg viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth="1.5" aria-hidden="true">
        {children}
      </svg>
    </button>
  );
}

function withKeys(label: string, command: string): string {
  const keys = shownKeys(command);
  return keys === undefined ? label : `${label} (${keys})`;
}
