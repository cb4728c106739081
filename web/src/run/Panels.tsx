import { type ComponentType, type LazyExoticComponent, lazy, Suspense } from "react";
import { useLightbox } from "../gallery/lightboxStore";
import { t } from "../i18n";
import { useRun } from "../stores/runStore";
import { type Panel, useUi } from "../stores/uiStore";
import { useAsk } from "./askStore";
import { Banners } from "./Banners";
import { ErrorBoundary } from "./ErrorBoundary";
import { FileDrop } from "./FileDrop";
import { Icon } from "./icons";
import { NoWorkflow } from "./NoWorkflow";
import { ResultView } from "./ResultView";
import { useSweep } from "./sweepStore";

type Lazy = LazyExoticComponent<ComponentType>;

const PANELS: Readonly<Record<Panel, Lazy>> = {
  library: lazy(() => import("./LibraryPanel").then((part) => ({ default: part.LibraryPanel }))),
  form: lazy(() => import("../widgets/FormView").then((part) => ({ default: part.FormView }))),
  outline: lazy(() => import("../editor/Outline").then((part) => ({ default: part.Outline }))),
  node: lazy(() => import("../editor/NodeHelp").then((part) => ({ default: part.NodeHelp }))),
  gallery: lazy(() => import("../gallery/GalleryPanel").then((part) => ({ default: part.GalleryPanel }))),
  queue: lazy(() => import("./QueuePanel").then((part) => ({ default: part.QueuePanel }))),
  history: lazy(() => import("./HistoryPanel").then((part) => ({ default: part.HistoryPanel }))),
  plots: lazy(() => import("../plots/PlotsPanel").then((part) => ({ default: part.PlotsPanel }))),
};

const Lightbox = lazy(() => import("../gallery/Lightbox").then((part) => ({ default: part.Lightbox })));
const LogIn = lazy(() => import("./LogIn").then((part) => ({ default: part.LogIn })));
const AskDialog = lazy(() => import("./AskDialog").then((part) => ({ default: part.AskDialog })));
const SweepDialog = lazy(() => import("./SweepDialog").then((part) => ({ default: part.SweepDialog })));

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
        <ResultView />
      </div>
      {panel !== null && <SidePanel key={panel} panel={panel} />}
      <Rail panel={panel} />
      <Suspense fallback={null}>
        {isLarge && <Lightbox />}
        {asks && <AskDialog />}
        {sweeps && <SweepDialog />}
        {needsToken && <LogIn />}
      </Suspense>
    </>
  );
}

function SidePanel({ panel }: { panel: Panel }) {
  const Content = PANELS[panel];
  const name = t(`data.${panel}`);
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
        <Suspense fallback={<p className="hint">{t("data.loading")}</p>}>
          <Content />
        </Suspense>
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
          aria-label={t(`data.${each}`)}
          title={t(`data.${each}`)}
          aria-pressed={panel === each}
          onClick={() => useUi.getState().togglePanel(each)}
        >
          <Icon name={each} />
        </button>
      ))}
    </nav>
  );
}
