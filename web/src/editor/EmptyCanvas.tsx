import { t } from "../i18n";
import { openAddPalette } from "./palette";

/** How to begin, while there is nothing. */
export function EmptyCanvas() {
  return (
    <div className="empty-canvas">
      <p>{t("editor.emptyCanvas")}</p>
      <button type="button" className="primary" onClick={() => openAddPalette()}>
        {t("editor.addNode")}
      </button>
    </div>
  );
}
