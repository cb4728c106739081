/** Ask the server which sockets nodes have by what is chosen at them, as soon as it is chosen. */
import { call, inPath } from "../api/client";
import { type Choice, type ToldSockets, untold, withTold } from "../graph/toldSockets";
import { activeTab, useEditor } from "../stores/editorStore";

const AGAIN_MS = 2000;

/** Keep the sockets of what is shown known, until the returned function is called. */
export function watchSockets(): () => void {
  const asking = new Set<string>();
  let before: readonly unknown[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;

  function look(): void {
    const state = useEditor.getState();
    const document = activeTab(state)?.history.present;
    if (document === undefined || (before[0] === document && before[1] === state.definitions)) return;
    before = [document, state.definitions];
    for (const choice of untold(document, state.definitions)) void ask(choice);
  }

  /** Ask of a choice; what is refused is asked again after the next edit, as files come and go. */
  async function ask(choice: Choice): Promise<void> {
    const key = `${choice.kind.id} ${choice.key}`;
    if (asking.has(key)) return;
    asking.add(key);
    try {
      const { sockets } = await findSockets(choice);
      const { definitions, setDefinitions } = useEditor.getState();
      if (sockets) setDefinitions(withTold(definitions, choice, sockets));
    } catch {
      // no worker is there yet, or no server, whose state is shown
      clearTimeout(timer);
      timer = setTimeout(() => {
        before = [];
        look();
      }, AGAIN_MS);
    } finally {
      asking.delete(key);
    }
  }

  const end = useEditor.subscribe(look);
  look();
  return () => {
    end();
    clearTimeout(timer);
  };
}

/** Ask for the further sockets of a node by what is chosen at it; none if they can't be told. */
function findSockets({ kind, inputs }: Choice) {
  return call<{ sockets: ToldSockets | null }>("POST", `/nodes/${inPath(kind.id)}/sockets`, { body: { inputs } });
}
