import { t } from "../i18n";
import type { Failure } from "./tell";

/** Says in place of what was to be shown why it can't be, and offers to try again. */
export function Failed({ failure, again }: { failure: Failure; again(): void }) {
  return (
    <div className="hint failed" role="alert">
      <p>{failure.text}</p>
      {failure.remedy !== "" && <p className="remedy">{failure.remedy}</p>}
      <button type="button" className="secondary" onClick={() => again()}>
        {t("data.tryAgain")}
      </button>
    </div>
  );
}
