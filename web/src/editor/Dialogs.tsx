import { ErrorBoundary } from "../app/ErrorBoundary";
import { lazily } from "../app/lazily";
import { tellError } from "../run/tell";
import { useUi } from "../stores/uiStore";
import { useCanvas } from "./canvasStore";
import { TypedAhead } from "./dialogs/typedAhead";

const waiting = <TypedAhead onEscape={close} />;
const AddNodeDialog = lazily(async () => (await import("./dialogs/AddNodeDialog")).AddNodeDialog, waiting);
const CommandDialog = lazily(async () => (await import("./dialogs/CommandDialog")).CommandDialog, waiting);
const SearchDialog = lazily(async () => (await import("./dialogs/SearchDialog")).SearchDialog, waiting);
const KeysDialog = lazily(async () => (await import("./dialogs/KeysDialog")).KeysDialog, waiting);

function close(): void {
  useUi.getState().showDialog(null);
  useCanvas.getState().set({ palette: null });
}

/** The dialog that is open, if one is. */
export function Dialogs() {
  const dialog = useUi((state) => state.dialog);
  const palette = useCanvas((state) => state.palette);
  return (
    <ErrorBoundary
      onError={(error) => {
        close();
        tellError(error);
      }}
    >
      {palette !== null && <AddNodeDialog request={palette} />}
      {dialog === "commands" && <CommandDialog onClose={close} />}
      {dialog === "search" && <SearchDialog onClose={close} />}
      {dialog === "keys" && <KeysDialog onClose={close} />}
    </ErrorBoundary>
  );
}
