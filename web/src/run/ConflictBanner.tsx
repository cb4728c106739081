import { t } from "../i18n";
import type { Tab } from "../stores/editorStore";
import { type Choice, resolve } from "./conflicts";

/** The library holds another version than the one that was edited here: asks whose is to stay. */
export function ConflictBanner({ tab }: { tab: Tab }) {
  const choose = (choice: Choice, label: string) => (
    <button type="button" className="secondary" onClick={() => resolve(tab, choice)}>
      {label}
    </button>
  );
  return (
    <div className="banner warn" role="alert">
      <p>
        <strong>{t("data.conflict", { name: tab.name ?? "" })}</strong> {t("data.conflictRemedy")}
      </p>
      {choose("mine", t("data.keepMine"))}
      {choose("theirs", t("data.takeTheirsButton"))}
      {choose("both", t("data.both"))}
    </div>
  );
}
