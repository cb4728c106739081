import { type KeyboardEvent, useState } from "react";
import { Dialog } from "../../app/Dialog";
import { t } from "../../i18n";
import { useUi } from "../../stores/uiStore";
import { type Command, keysOf, showKeys, useCommands } from "../commands";
import { keysOfEvent } from "../keys";
import { SECTIONS } from "./CommandDialog";

/** What the keys do, and other keys for it. */
export function KeysDialog({ onClose }: { onClose(): void }) {
  const commands = useCommands((state) => state.commands);
  return (
    <Dialog className="palette" label={t("editor.keys")} onClose={onClose}>
      <div className="dialog-head">
        <h2>{t("editor.keys")}</h2>
        <button type="button" className="quiet" data-autofocus onClick={onClose}>
          {t("editor.close")}
        </button>
      </div>
      <div className="keys-list">
        {SECTIONS.map((section) => {
          const own = commands.filter((command) => command.section === section);
          if (own.length === 0) return null;
          return (
            <section key={section}>
              <h3>{t(`editor.section_${section}`)}</h3>
              <dl>
                {own.map((command) => (
                  <KeysRow key={command.id} command={command} />
                ))}
              </dl>
            </section>
          );
        })}
        <section>
          <h3>{t("editor.onTheCanvas")}</h3>
          <p>{t("editor.canvasKeys")}</p>
        </section>
      </div>
    </Dialog>
  );
}

function KeysRow({ command }: { command: Command }) {
  const custom = useCommands((state) => state.custom);
  const [waiting, setWaiting] = useState(false);
  const { setKeys } = useCommands.getState();
  const keys = keysOf(command, custom)[0];
  const listen = (event: KeyboardEvent) => {
    if (!waiting || event.key === "Tab") return;
    event.preventDefault();
    event.stopPropagation();
    const pressed = event.key === "Escape" ? undefined : keysOfEvent(event.nativeEvent);
    if (pressed === null) return;
    setWaiting(false);
    if (pressed !== undefined) choose(command, pressed === "Backspace" ? "" : pressed);
  };
  return (
    <>
      <dt>{command.label}</dt>
      <dd>
        {custom[command.id] !== undefined && (
          <button
            type="button"
            onClick={() => setKeys(command.id, null)}
            aria-label={t("editor.resetKeys", { command: command.label })}
          >
            {t("editor.reset")}
          </button>
        )}
        <button
          type="button"
          disabled={command.native}
          aria-pressed={waiting}
          aria-label={t("editor.changeKeys", {
            command: command.label,
            keys: keys === undefined ? "–" : showKeys(keys),
          })}
          onClick={() => setWaiting(true)}
          onBlur={() => setWaiting(false)}
          onKeyDown={listen}
        >
          {waiting ? t("editor.pressKeys") : keys === undefined ? "–" : showKeys(keys)}
        </button>
      </dd>
    </>
  );
}

/** Give keys to a command, and take them from the one that had them: keys do one thing. */
function choose(command: Command, keys: string): void {
  const { commands, setKeys } = useCommands.getState();
  const hasThem = (other: Command) => keysOf(other).some((each) => each.toLowerCase() === keys.toLowerCase());
  const before = commands.find((other) => other.id !== command.id && !other.native && hasThem(other));
  if (before !== undefined && keys !== "") {
    setKeys(before.id, "");
    useUi.getState().announce(t("editor.keysTaken", { keys: showKeys(keys), command: before.label }));
  }
  setKeys(command.id, keys);
}
