import { lazy, Suspense, useEffect } from "react";
import { useUi } from "../stores/uiStore";
import { useCanvas } from "./canvasStore";

// They come once the page is quiet: nothing of them is needed to see a graph.
const addNode = async () => ({ default: (await import("./dialogs/AddNodeDialog")).AddNodeDialog });
const commands = async () => ({ default: (await import("./dialogs/CommandDialog")).CommandDialog });
const keys = async () => ({ default: (await import("./dialogs/KeysDialog")).KeysDialog });
const search = async () => ({ default: (await import("./dialogs/SearchDialog")).SearchDialog });
const AddNodeDialog = lazy(addNode);
const CommandDialog = lazy(commands);
const KeysDialog = lazy(keys);
const SearchDialog = lazy(search);

const QUIET_MS = 1500;

/** The dialog that is open, if one is. */
export function Dialogs() {
  const dialog = useUi((state) => state.dialog);
  const palette = useCanvas((state) => state.palette);
  const close = () => useUi.getState().showDialog(null);
  useEffect(() => {
    const timer = setTimeout(() => {
      for (const load of [addNode, commands, search, keys]) void load();
    }, QUIET_MS);
    return () => clearTimeout(timer);
  }, []);
  return (
    <Suspense fallback={null}>
      {palette !== null && <AddNodeDialog request={palette} />}
      {dialog === "commands" && <CommandDialog onClose={close} />}
      {dialog === "search" && <SearchDialog onClose={close} />}
      {dialog === "keys" && <KeysDialog onClose={close} />}
    </Suspense>
  );
}
