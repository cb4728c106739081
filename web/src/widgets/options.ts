/** Options of lists, and which of them fit what was typed. */

export interface Option<T> {
  value: T;
  label: string;
  /** Said beside it, such as a file's folder. */
  hint?: string;
}

/** Give the options that hold every word typed; those first that begin with the text. */
export function matching<T>(options: readonly Option<T>[], typed: string): readonly Option<T>[] {
  const text = typed.trim().toLowerCase();
  if (text === "") return options;
  const words = text.split(/\s+/);
  const found = options.filter((option) => {
    const whole = `${option.label} ${option.hint ?? ""}`.toLowerCase();
    return words.every((word) => whole.includes(word));
  });
  const begins = (option: Option<T>) => option.label.toLowerCase().startsWith(text);
  return [...found.filter(begins), ...found.filter((option) => !begins(option))];
}

/** What the server puts before an upload's own name: its folder, and twelve digits of its hash. */
const UPLOAD = /^uploads\/[^/]+\/[0-9a-f]{12}-(?=.)/;

/** Write a file's name for people: an upload by the name it was brought with, all others with their folder aside. */
export function fileOption(name: string, uploaded: string): Option<string> {
  if (UPLOAD.test(name)) return { value: name, label: name.replace(UPLOAD, ""), hint: uploaded };
  const slash = name.lastIndexOf("/");
  return slash < 0
    ? { value: name, label: name }
    : { value: name, label: name.slice(slash + 1), hint: name.slice(0, slash) };
}

/** Tell whether the server's list would have a file if it were there: it tells what is in a folder, not below that. */
export function wouldBeListed(name: string): boolean {
  return !name.includes("/") || name.startsWith("uploads/");
}
