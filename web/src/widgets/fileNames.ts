/** Names of the files on the server, by kind; asked for again when a list is opened. */
import { create } from "zustand";
import { listFiles } from "../api/routes";

interface FileNames {
  /** Undefined until they were told. */
  names: Readonly<Record<string, readonly string[]>>;
  /** Why they can't be told, in the server's words. */
  troubles: Readonly<Record<string, string>>;
  refresh(kind: string): Promise<void>;
  /** Ask once, however many fields want to know. */
  need(kind: string): void;
  /** A file that was just uploaded is there, without asking. */
  add(kind: string, name: string): void;
}

export const useFileNames = create<FileNames>()((set, get) => {
  const asking = new Set<string>();
  return {
    names: {},
    troubles: {},
    async refresh(kind) {
      asking.add(kind);
      try {
        const { names } = await listFiles(kind);
        const { [kind]: _solved, ...troubles } = get().troubles;
        set({ names: { ...get().names, [kind]: names }, troubles });
      } catch (error) {
        set({ troubles: { ...get().troubles, [kind]: error instanceof Error ? error.message : String(error) } });
      } finally {
        asking.delete(kind);
      }
    },
    need(kind) {
      if (get().names[kind] === undefined && !asking.has(kind)) void get().refresh(kind);
    },
    add(kind, name) {
      const known = get().names[kind] ?? [];
      if (!known.includes(name)) set({ names: { ...get().names, [kind]: [...known, name] } });
    },
  };
});
