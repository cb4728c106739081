import type { WheelEvent as ReactWheelEvent } from "react";
import { t } from "../i18n";
import { openAddPalette } from "./palette";

/** How to begin, while there is nothing. */
export function EmptyCanvas() {
  return (
    <div className="empty-canvas" onWheel={passOn}>
      <p>{t("editor.emptyCanvas")}</p>
      <button type="button" className="primary" onClick={() => openAddPalette()}>
        {t("editor.addNode")}
      </button>
    </div>
  );
}

/** The button takes the wheel from the canvas, which lies beside it: nothing to scroll, so it zooms as elsewhere. */
function passOn({ nativeEvent }: ReactWheelEvent): void {
  document.querySelector(".react-flow__pane")?.dispatchEvent(new WheelEvent("wheel", nativeEvent));
}
