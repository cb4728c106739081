import { t } from "../i18n";
import { Icon } from "../widgets/icons";
import type { Brush } from "./geometry";
import type { Painting, Tool } from "./Painting";

export interface Settings extends Brush {
  tool: Tool;
}

export const LARGEST_BRUSH = 500;

interface MaskToolsProps {
  painting: Painting;
  settings: Settings;
  onSettings(settings: Settings): void;
  onChange(what: (painting: Painting) => void): void;
}

/** The painter's tools: what to paint with, and what to do to the whole mask. */
export function MaskTools({ painting, settings, onSettings, onChange }: MaskToolsProps) {
  return (
    <div className="mask-tools" role="toolbar" aria-label={t("mask.tools")}>
      <div className="mask-pair">
        {(["brush", "eraser"] as const).map((tool) => (
          <button
            key={tool}
            type="button"
            className="w-tool"
            aria-pressed={settings.tool === tool}
            title={t(tool === "brush" ? "mask.brushKey" : "mask.eraserKey")}
            onClick={() => onSettings({ ...settings, tool })}
          >
            <Icon name={tool} />
            {t(tool === "brush" ? "mask.brush" : "mask.eraser")}
          </button>
        ))}
      </div>
      <label className="mask-range">
        <span>{t("mask.size")}</span>
        <input
          type="range"
          min={1}
          max={LARGEST_BRUSH}
          value={settings.size}
          onChange={(event) => onSettings({ ...settings, size: Number(event.target.value) })}
        />
        <output>{settings.size}</output>
      </label>
      <label className="mask-range">
        <span>{t("mask.hardness")}</span>
        <input
          type="range"
          min={0}
          max={100}
          value={Math.round(settings.hardness * 100)}
          onChange={(event) => onSettings({ ...settings, hardness: Number(event.target.value) / 100 })}
        />
        <output>{Math.round(settings.hardness * 100)} %</output>
      </label>
      <label className="mask-check">
        <input
          type="checkbox"
          checked={settings.hasPressure}
          onChange={(event) => onSettings({ ...settings, hasPressure: event.target.checked })}
        />
        {t("mask.pressure")}
      </label>
      <div className="mask-pair mask-whole">
        <button type="button" className="quiet" onClick={() => onChange((mask) => mask.invert())}>
          {t("mask.invert")}
        </button>
        <button type="button" className="quiet" onClick={() => onChange((mask) => mask.clear())}>
          {t("mask.clear")}
        </button>
        <button type="button" className="quiet" onClick={() => onChange((mask) => mask.fromAlpha())}>
          {t("mask.fromAlpha")}
        </button>
        <button
          type="button"
          className="w-button"
          disabled={!painting.canUndo}
          aria-label={t("mask.undo")}
          title={t("mask.undo")}
          onClick={() => onChange((mask) => mask.undo())}
        >
          <Icon name="undo" />
        </button>
        <button
          type="button"
          className="w-button"
          disabled={!painting.canRedo}
          aria-label={t("mask.redo")}
          title={t("mask.redo")}
          onClick={() => onChange((mask) => mask.redo())}
        >
          <Icon name="redo" />
        </button>
      </div>
    </div>
  );
}
