import { Command } from "cmdk";
import { Dialog } from "../../app/Dialog";
import { t } from "../../i18n";
import {
  type CommandSection,
  type Command as EditorCommand,
  isEnabled,
  keysOf,
  showKeys,
  useCommands,
} from "../commands";
import { useQuery } from "./typedAhead";

export const SECTIONS: readonly CommandSection[] = ["run", "file", "edit", "graph", "arrange", "view"];

/** All commands, by name. */
export function CommandDialog({ onClose }: { onClose(): void }) {
  const commands = useCommands((state) => state.commands);
  const [query, setQuery] = useQuery();
  const run = (command: EditorCommand) => {
    onClose();
    // After the dialog has given the focus back, so that the command finds it where it was.
    setTimeout(() => command.run());
  };
  return (
    <Dialog className="palette" label={t("editor.commands")} onClose={onClose}>
      <Command label={t("editor.commands")} loop vimBindings={false}>
        <Command.Input value={query} onValueChange={setQuery} placeholder={t("editor.commandsHint")} />
        <Command.Empty>{t("editor.nothingFound")}</Command.Empty>
        <Command.List label={t("editor.commands")}>
          {SECTIONS.map((section) => (
            <Section key={section} section={section} commands={commands} run={run} />
          ))}
        </Command.List>
      </Command>
    </Dialog>
  );
}

interface SectionProps {
  section: CommandSection;
  commands: readonly EditorCommand[];
  run(command: EditorCommand): void;
}

function Section({ section, commands, run }: SectionProps) {
  const own = commands.filter((command) => command.section === section && command.id !== "view.commands");
  if (own.length === 0) return null;
  return (
    <Command.Group heading={t(`editor.section_${section}`)}>
      {own.map((command) => {
        const keys = keysOf(command)[0];
        return (
          <Command.Item
            key={command.id}
            value={command.id}
            keywords={[command.label]}
            disabled={!isEnabled(command)}
            onSelect={() => run(command)}
          >
            <strong>{command.label}</strong>
            <span />
            {keys !== undefined && <kbd>{showKeys(keys)}</kbd>}
          </Command.Item>
        );
      })}
    </Command.Group>
  );
}
