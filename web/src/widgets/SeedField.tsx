import { useRef, useState } from "react";
import type { GraphDoc } from "../graph/document";
import { t } from "../i18n";
import { nextSeed, type SeedMode, seedModes } from "../run/seeds";
import { activeGraph, activeTab, type EditorState, useEditor } from "../stores/editorStore";
import { Icon } from "./icons";
import { NumberBox } from "./NumberBox";
import { snapped } from "./numbers";
import { Popup } from "./Popup";
import type { WidgetProps } from "./types";

const MODES = ["fixed", "random", "increment", "decrement"] as const;
type Mode = (typeof MODES)[number];

const LABELS = {
  fixed: "widgets.seedFixed",
  random: "widgets.seedRandom",
  increment: "widgets.seedIncrement",
  decrement: "widgets.seedDecrement",
} as const;

/** A seed: its number, a dice, and what becomes of it after each run. */
export function SeedField(props: WidgetProps) {
  const { input, value, disabled, onChange } = props;
  return (
    <div className="w-seed nokey">
      <NumberBox {...props} />
      <SeedModeButton {...props} />
      <button
        type="button"
        className="w-button"
        disabled={disabled}
        aria-label={t("widgets.dice")}
        title={t("widgets.dice")}
        onClick={() => onChange(snapped(input, nextSeed("random", value)))}
      >
        <Icon name="dice" />
      </button>
    </div>
  );
}

function SeedModeButton({ id, node, input, disabled }: WidgetProps) {
  const place = `${node.slice(node.lastIndexOf("/") + 1)}.${input.name}`;
  const isInner = node.includes("/");
  const mode: Mode = useEditor((state) => {
    const graph = graphOf(state, isInner);
    return graph === null ? "fixed" : (seedModes(graph)[place] ?? "fixed");
  });
  const [isOpen, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const label = t("widgets.seedMode", { mode: t(LABELS[mode]) });

  function close(): void {
    setOpen(false);
    button.current?.focus({ preventScroll: true });
  }

  return (
    <>
      <button
        ref={button}
        type="button"
        className="w-button"
        disabled={disabled}
        aria-label={label}
        title={label}
        aria-haspopup="menu"
        aria-expanded={isOpen}
        data-on={mode !== "fixed" || undefined}
        onClick={() => setOpen(!isOpen)}
      >
        <Icon name={mode} />
      </button>
      {isOpen && (
        <Popup anchor={button} className="w-menu" onLeave={() => setOpen(false)}>
          <ModeMenu
            id={`${id}-modes`}
            mode={mode}
            onPick={(picked) => {
              setSeedMode(place, isInner, picked);
              close();
            }}
            onClose={close}
          />
        </Popup>
      )}
    </>
  );
}

interface ModeMenuProps {
  id: string;
  mode: Mode;
  onPick(mode: Mode): void;
  onClose(): void;
}

function ModeMenu({ id, mode, onPick, onClose }: ModeMenuProps) {
  return (
    <div
      id={id}
      role="menu"
      aria-label={t("widgets.seedAfter")}
      tabIndex={-1}
      onKeyDown={(event) => {
        const items = [...event.currentTarget.querySelectorAll<HTMLElement>("[role=menuitemradio]")];
        const at = items.indexOf(document.activeElement as HTMLElement);
        const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (by !== undefined) {
          event.preventDefault();
          items[(at + by + items.length) % items.length]?.focus();
        } else if (event.key === "Escape" || event.key === "Tab") {
          event.preventDefault();
          event.stopPropagation();
          onClose();
        }
      }}
    >
      <p aria-hidden="true">{t("widgets.seedAfter")}</p>
      {MODES.map((each) => (
        <button
          key={each}
          ref={(element) => {
            if (each === mode) element?.focus({ preventScroll: true });
          }}
          type="button"
          role="menuitemradio"
          aria-checked={each === mode}
          onClick={() => onPick(each)}
        >
          <Icon name={each} />
          {t(LABELS[each])}
        </button>
      ))}
    </div>
  );
}

/** Modes are kept in the graph that holds the node: the one that is shown, or the outermost for the form's fields. */
function graphOf(state: EditorState, isInner: boolean): GraphDoc | null {
  return isInner ? activeGraph(state) : (activeTab(state)?.history.present ?? null);
}

function setSeedMode(place: string, isInner: boolean, mode: Mode): void {
  useEditor.getState().edit(t("widgets.setSeedMode"), (shown, document) => {
    const graph = isInner ? shown : document;
    const { [place]: _old, ...others } = (graph.ui?.["seeds"] ?? {}) as Record<string, SeedMode>;
    graph.ui ??= {};
    graph.ui["seeds"] = mode === "fixed" ? others : { ...others, [place]: mode };
  });
}
