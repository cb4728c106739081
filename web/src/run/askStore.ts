/** A question for a name, answered in a dialog. */
import { create } from "zustand";

interface AskState {
  question: { title: string; value: string; answer(name: string | null): void } | null;
  answer(name: string | null): void;
}

export const useAsk = create<AskState>()((set, get) => ({
  question: null,
  answer(name) {
    get().question?.answer(name);
    set({ question: null });
  },
}));

/** Ask for a name; null if it was called off. */
export function askName(title: string, value: string): Promise<string | null> {
  useAsk.getState().answer(null);
  return new Promise((answer) => useAsk.setState({ question: { title, value, answer } }));
}
