import "@xyflow/react/dist/base.css";
import "../styles/canvas.css";
import "../styles/cards.css";
import "../styles/links.css";
import "../styles/frames.css";
import "../styles/overlays.css";
import "../styles/dialogs.css";
import "../styles/outline.css";
import { ReactFlowProvider } from "@xyflow/react";
import { useEffect } from "react";
import { ErrorBoundary } from "../app/ErrorBoundary";
import { lazily } from "../app/lazily";
import { t } from "../i18n";
import { tellError } from "../run/tell";
import { activeGraph, activeTab, useEditor } from "../stores/editorStore";
import { listenToClipboard } from "./clipboardEvents";
import { GraphView } from "./GraphView";
import { listenToKeys } from "./keys";
import { ContextMenu } from "./Menu";
import { closeProbe, useProbe } from "./probeStore";
import { useFirstLayout } from "./useFirstLayout";

const ProbeCard = lazily(async () => (await import("./ProbeCard")).ProbeCard);

/** The graph that is shown. */
export function Canvas() {
  const tab = useEditor(activeTab);
  const graph = useEditor(activeGraph);
  const probes = useProbe((state) => state.probe !== null);
  useEffect(listenToKeys, []);
  useEffect(listenToClipboard, []);
  useFirstLayout();
  if (tab === undefined || graph === null) return <section className="canvas" aria-label={t("canvas.label")} />;
  const key = [tab.id, ...tab.path.map((entered) => entered.node)].join("/");
  return (
    <>
      <ReactFlowProvider key={key}>
        <GraphView viewKey={key} tab={tab} graph={graph} />
      </ReactFlowProvider>
      <ContextMenu />
      <ErrorBoundary
        onError={(error) => {
          closeProbe();
          tellError(error);
        }}
      >
        {probes && <ProbeCard />}
      </ErrorBoundary>
    </>
  );
}
