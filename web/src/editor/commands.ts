/**
 * Every command of the editor, once: the command palette, the keys and the help about keys are made from this list.
 *
 * Other parts of the page add theirs with `registerCommands`.
 */
import { create } from "zustand";
import { arrangeCommands } from "./commands/arrange";
import { editCommands } from "./commands/edit";
import { graphCommands } from "./commands/graph";
import { viewCommands } from "./commands/view";

export type CommandSection = "run" | "file" | "edit" | "graph" | "arrange" | "view";

export interface Command {
  id: string;
  label: string;
  section: CommandSection;
  /** As tinykeys has them, such as `$mod+Shift+z`; the first is shown. */
  keys?: readonly string[];
  /** Its keys work while typing in a field, too. */
  whileTyping?: boolean;
  /** The browser's own event does it (copy, cut, paste): its keys can't be changed. */
  native?: boolean;
  enabled?(): boolean;
  run(): void;
}

interface CommandsState {
  commands: readonly Command[];
  /** The keys that were chosen instead, by command; an empty text for none. */
  custom: Readonly<Record<string, string>>;
  register(commands: readonly Command[]): void;
  setKeys(id: string, keys: string | null): void;
}

const STORED = "graphengine.keys";

export const useCommands = create<CommandsState>()((set, get) => ({
  commands: [...editCommands, ...graphCommands, ...arrangeCommands, ...viewCommands],
  custom: storedKeys(),
  register(more) {
    const ids = new Set(more.map((command) => command.id));
    set({ commands: [...get().commands.filter((command) => !ids.has(command.id)), ...more] });
  },
  setKeys(id, keys) {
    const { [id]: _replaced, ...others } = get().custom;
    const custom = keys === null ? others : { ...others, [id]: keys };
    set({ custom });
    localStorage.setItem(STORED, JSON.stringify(custom));
  },
}));

/** Add commands, or replace those of the same ids. */
export function registerCommands(commands: readonly Command[]): void {
  useCommands.getState().register(commands);
}

export function isEnabled(command: Command): boolean {
  return command.enabled?.() ?? true;
}

/** Run a command by its id, if it can be run now. */
export function runCommand(id: string): void {
  const command = useCommands.getState().commands.find((each) => each.id === id);
  if (command !== undefined && isEnabled(command)) command.run();
}

export function keysOf(command: Command, custom = useCommands.getState().custom): readonly string[] {
  const chosen = custom[command.id];
  if (chosen === undefined || command.native) return command.keys ?? [];
  return chosen === "" ? [] : [chosen];
}

/** Give the keys of a command for people, such as `Ctrl+Shift+Z`. */
export function shownKeys(id: string): string | undefined {
  const command = useCommands.getState().commands.find((each) => each.id === id);
  const first = command === undefined ? undefined : keysOf(command)[0];
  return first === undefined ? undefined : showKeys(first);
}

const NAMES: Record<string, string> = { arrowup: "↑", arrowdown: "↓", arrowleft: "←", arrowright: "→", escape: "Esc" };

export function showKeys(keys: string): string {
  const mac = /Mac|iPhone|iPad/.test(navigator.platform);
  const words = keys.split("+").map((word) => {
    if (word === "$mod") return mac ? "⌘" : "Ctrl";
    const key = word.replace(/^Key(?=[A-Z]$)/, "");
    return NAMES[key.toLowerCase()] ?? (key.length === 1 ? key.toUpperCase() : key);
  });
  return words.join("+");
}

function storedKeys(): Record<string, string> {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(STORED) ?? "{}");
    if (typeof stored !== "object" || stored === null) return {};
    return Object.fromEntries(Object.entries(stored).filter(([, keys]) => typeof keys === "string"));
  } catch {
    // Storage that is forbidden or spoilt costs the custom keys, not the editor.
    return {};
  }
}
