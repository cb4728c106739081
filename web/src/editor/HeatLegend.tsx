import { useEffect } from "react";
import type { HeatKind } from "../graph/heat";
import { t } from "../i18n";
import { costText, followHeat, showHeat, useHeat } from "./heatStore";

const KINDS: readonly HeatKind[] = ["seconds", "bytes"];

/** What the tint of nodes means, and a choice of what it shows. */
export function HeatLegend() {
  const kind = useHeat((state) => state.kind);
  const most = useHeat((state) => state.heat.most);
  useEffect(() => (kind === null ? undefined : followHeat(kind)), [kind]);
  if (kind === null) return null;
  return (
    <section className="heat-legend" aria-label={t("heat.legend")}>
      <fieldset className="heat-kinds">
        <legend className="unseen">{t("heat.by")}</legend>
        {KINDS.map((each) => (
          <label key={each}>
            <input type="radio" name="heat" checked={each === kind} onChange={() => showHeat(each)} />
            {t(`heat.kind_${each}`)}
          </label>
        ))}
      </fieldset>
      {most === 0 ? (
        <p>{t("heat.unknown")}</p>
      ) : (
        <div className="heat-scale">
          <span>0</span>
          <span className="heat-bar" aria-hidden="true" />
          <span>{costText(kind, most)}</span>
        </div>
      )}
    </section>
  );
}
