/** What is shown beside the graph: panels, dialogs, what a screen reader is told, notices. */
import { create } from "zustand";

export type Panel = "queue" | "history" | "gallery" | "library" | "node" | "form" | "plots" | "outline";

export interface Notice {
  id: number;
  kind: "info" | "error" | "done";
  text: string;
  /** What to do about it. */
  remedy?: string;
  action?: { label: string; run(): void };
}

interface UiState {
  panel: Panel | null;
  dialog: "commands" | "search" | "keys" | "settings" | null;
  theme: "light" | "dark" | "system";
  /** The count tells one from the next of the same text, which a screen reader is to tell again. */
  announcement: { text: string; count: number };
  notices: readonly Notice[];
  showPanel(panel: Panel | null): void;
  togglePanel(panel: Panel): void;
  showDialog(dialog: UiState["dialog"]): void;
  setTheme(theme: UiState["theme"]): void;
  /** Tell who can't see what just happened. */
  announce(text: string): void;
  notify(notice: Omit<Notice, "id">): void;
  dismiss(id: number): void;
}

let notices = 0;

export const useUi = create<UiState>()((set, get) => ({
  panel: null,
  dialog: null,
  theme: "system",
  announcement: { text: "", count: 0 },
  notices: [],
  showPanel: (panel) => set({ panel }),
  togglePanel: (panel) => set({ panel: get().panel === panel ? null : panel }),
  showDialog: (dialog) => set({ dialog }),
  setTheme: (theme) => set({ theme }),
  announce: (text) => set({ announcement: { text, count: get().announcement.count + 1 } }),
  notify(notice) {
    notices += 1;
    // told again, it isn't told twice
    const others = get().notices.filter(({ kind, text }) => kind !== notice.kind || text !== notice.text);
    set({ notices: [...others, { ...notice, id: notices }] });
  },
  dismiss: (id) => set({ notices: get().notices.filter((each) => each.id !== id) }),
}));
