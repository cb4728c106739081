import type { ComponentType } from "react";
import { ErrorBoundary } from "../app/ErrorBoundary";
import { lazily } from "../app/lazily";
import { useLightbox } from "../gallery/lightboxStore";
import { t } from "../i18n";
import { useRun } from "../stores/runStore";
import { type Panel, useUi } from "../stores/uiStore";
import { useAsk } from "./askStore";
import { Banners } from "./Banners";
import { FileDrop } from "./FileDrop";
import { Icon } from "./icons";
import { NoWorkflow } from "./NoWorkflow";
import { useSweep } from "./sweepStore";
import { tellError } from "./tell";

const loading = <p className="hint">{t("data.loading")}</p>;
const PANELS: Readonly<Record<Panel, ComponentType>> = {
  library: lazily(async () => (await import("./LibraryPanel")).LibraryPanel, loading),
  form: lazily(async () => (await import("../widgets/FormView")).FormView, loading),
  outline: lazily(async () => (await import("../editor/Outline")).Outline, loading),
  node: lazily(async () => (await import("../editor/NodeHelp")).NodeHelp, loading),
  gallery: lazily(async () => (await import("../gallery/GalleryPanel")).GalleryPanel, loading),
  queue: lazily(async () => (await import("./QueuePanel")).QueuePanel, loading),
  history: lazily(async () => (await import("./HistoryPanel")).HistoryPanel, loading),
  plots: lazily(async () => (await import("../plots/PlotsPanel")).PlotsPanel, loading),
};

const ResultView = lazily(async () => (await import("./ResultView")).ResultView);
const Lightbox = lazily(async () => (await import("../gallery/Lightbox")).Lightbox);
const LogIn = lazily(async () => (await import("./LogIn")).LogIn);
const AskDialog = lazily(async () => (await import("./AskDialog")).AskDialog);
const SweepDialog = lazily(async () => (await import("./SweepDialog")).SweepDialog);

/** What is beside the canvas: the result, one panel when asked for, and the rail of buttons that ask for one. */
export function Panels() {
  const panel = useUi((state) => state.panel);
  const needsToken = useRun((state) => state.connection === "token-needed");
  const isLarge = useLightbox((state) => state.items.length > 0);
  const asks = useAsk((state) => state.question !== null);
  const sweeps = useSweep((state) => state.target !== null || state.grid !== null);
  return (
    <>
      <Banners />
      <FileDrop />
      <NoWorkflow />
      <div className="resultplace">
        <ErrorBoundary>
          <ResultView />
        </ErrorBoundary>
      </div>
      {panel !== null && <SidePanel key={panel} panel={panel} />}
      <Rail panel={panel} />
      <ErrorBoundary onError={putAway}>
        {isLarge && <Lightbox />}
        {asks && <AskDialog />}
        {sweeps && <SweepDialog />}
      </ErrorBoundary>
      <ErrorBoundary>{needsToken && <LogIn />}</ErrorBoundary>
    </>
  );
}

/** Close what couldn't be shown. */
function putAway(error: Error): void {
  useLightbox.getState().close();
  useAsk.getState().answer(null);
  useSweep.getState().set({ target: null, grid: null });
  tellError(error);
}

function SidePanel({ panel }: { panel: Panel }) {
  const Content = PANELS[panel];
  const name = t(`panels.${panel}`);
  return (
    <aside
      className="panel"
      aria-label={name}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || event.defaultPrevented) return;
        useUi.getState().showPanel(null);
        document.getElementById(`rail-${panel}`)?.focus();
      }}
    >
      <header className="panelhead">
        <h2>{name}</h2>
        <button
          type="button"
          className="quiet icon"
          aria-label={t("data.closePanel", { panel: name })}
          onClick={() => useUi.getState().showPanel(null)}
        >
          <Icon name="close" size={16} />
        </button>
      </header>
      <ErrorBoundary>
        <Content />
      </ErrorBoundary>
    </aside>
  );
}

function Rail({ panel }: { panel: Panel | null }) {
  return (
    <nav className="rail" aria-label={t("data.panels")}>
      {(Object.keys(PANELS) as Panel[]).map((each) => (
        <button
          key={each}
          id={`rail-${each}`}
          type="button"
          aria-label={t(`panels.${each}`)}
          title={t(`panels.${each}`)}
          aria-pressed={panel === each}
          onClick={() => useUi.getState().togglePanel(each)}
        >
          <Icon name={each} />
        </button>
      ))}
    </nav>
  );
}
