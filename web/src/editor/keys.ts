/** From the list of commands to what the keyboard does. */
import { type KeyBindingMap, tinykeys } from "tinykeys";
import { type Command, isEnabled, keysOf, useCommands } from "./commands";

/** Listen to the keys of all commands, also of those that are added or changed later; returns what ends it. */
export function listenToKeys(): () => void {
  let end = bind();
  const unsubscribe = useCommands.subscribe(() => {
    end();
    end = bind();
  });
  return () => {
    unsubscribe();
    end();
  };
}

function bind(): () => void {
  const { commands, custom } = useCommands.getState();
  const byKeys: KeyBindingMap = {};
  for (const command of commands) {
    if (command.native) continue;
    for (const keys of keysOf(command, custom)) byKeys[keys] = (event) => press(event, command);
  }
  return tinykeys(window, byKeys);
}

function press(event: KeyboardEvent, command: Command): void {
  if (event.defaultPrevented || !isMeant(event, command) || !isEnabled(command)) return;
  event.preventDefault();
  command.run();
}

/** Whether a key is meant for the graph, rather than for the field, menu or dialog that has the focus. */
function isMeant(event: KeyboardEvent, command: Command): boolean {
  const target = event.target;
  if (!(target instanceof HTMLElement)) return true;
  if (target.closest("dialog, [role=dialog], [role=menu], [role=listbox]") !== null) return false;
  if (command.whileTyping) return true;
  // a field in which nothing is being typed, such as a number that was dragged, leaves undo to the graph
  if (target.closest("[data-settled]") !== null && /^edit\.(undo|redo)$/.test(command.id)) return true;
  if (isTyping(target)) return false;
  // Plain keys belong to the button or tab that has the focus; the canvas and its nodes leave them to commands.
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
  if (!plain) return true;
  return target === document.body || target.closest(".canvas") !== null || /^\S$|^F\d+$|^Delete$/.test(event.key);
}

export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement)
    return true;
  return target instanceof HTMLInputElement && !/^(checkbox|radio|button|range|color|file)$/.test(target.type);
}

/** Give the keys that an event says, as tinykeys writes them; null while only modifiers are held. */
export function keysOfEvent(event: KeyboardEvent): string | null {
  if (["Control", "Shift", "Alt", "Meta", "AltGraph"].includes(event.key)) return null;
  const words: string[] = [];
  if (event.ctrlKey || event.metaKey) words.push("$mod");
  if (event.altKey) words.push("Alt");
  if (event.shiftKey && (event.key.length > 1 || /[a-z]/i.test(event.key))) words.push("Shift");
  return [...words, event.key.length === 1 ? event.key.toLowerCase() : event.key].join("+");
}
