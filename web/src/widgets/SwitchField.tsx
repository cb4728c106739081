import { t } from "../i18n";
import type { WidgetProps } from "./types";

/** Yes or no; what is neither, such as a text in a file, is shown as such until it is set. */
export function SwitchField({ id, value, disabled, onChange }: WidgetProps) {
  const isOn = value === true;
  return (
    <div className="w-switch-line nokey">
      <span className="w-switch-text" aria-hidden="true">
        {typeof value === "boolean" ? t(isOn ? "widgets.on" : "widgets.off") : t("widgets.unset")}
      </span>
      <button
        id={id}
        type="button"
        role="switch"
        aria-checked={isOn}
        className="w-switch"
        disabled={disabled}
        onClick={() => onChange(!isOn)}
      >
        <span />
      </button>
    </div>
  );
}
