/** Parts of the page whose code comes when it is needed, or as soon as the page is quiet. */
import { type ComponentType, lazy, type ReactNode, Suspense, useState } from "react";
import { t } from "../i18n";
import { useUi } from "../stores/uiStore";

/**
 * A part of the page couldn't be loaded: the server is gone, or was upgraded since the page was opened.
 *
 * Browsers don't ask again for a module that they couldn't fetch once, so the page has to be loaded anew.
 */
export class PartMissing extends Error {
  constructor(cause: unknown) {
    super(t("state.partMissing"), { cause });
  }
}

const QUIET_MS = 1500;
const parts: (() => Promise<unknown>)[] = [];

/** Make a function that loads code; rejected with a message for people if it can't be loaded. */
export function onDemand<T>(load: () => Promise<T>): () => Promise<T> {
  const part = () =>
    load().catch((error: unknown) => {
      throw new PartMissing(error);
    });
  parts.push(part);
  return part;
}

/** Make a component whose code is loaded on demand; what couldn't be loaded is thrown to the boundary around it. */
export function lazily<P extends object>(
  load: () => Promise<ComponentType<P>>,
  fallback: ReactNode = null,
): ComponentType<P> {
  let ready: ComponentType<P> | null = null;
  const part = onDemand(async () => {
    ready = await load();
    return { default: ready };
  });
  // biome-ignore lint/correctness/noComponentHookFactories: called once for each part, at module level
  return function Lazily(props: P) {
    // what is there is shown at once, without a blink
    const [Part] = useState<ComponentType<P>>(() => ready ?? lazy(part));
    return (
      <Suspense fallback={fallback}>
        <Part {...props} />
      </Suspense>
    );
  };
}

/** Load the page anew if there is a server to load it from; what is being edited is kept. */
export async function reloadPage(): Promise<void> {
  try {
    await fetch("/", { cache: "no-store" });
  } catch {
    return useUi.getState().notify({ kind: "error", text: t("state.lost"), remedy: t("state.reloadLater") });
  }
  location.reload();
}

/** Load everything once nothing else is to be done, one after the other; the returned function stops it. */
export function loadWhenQuiet(): () => void {
  let stopped = false;
  const work = async () => {
    for (const part of parts) if (!stopped) await part().catch(() => {}); // who needs it will be told
  };
  const timer = setTimeout(() => (window.requestIdleCallback ?? setTimeout)(() => void work()), QUIET_MS / 3);
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
