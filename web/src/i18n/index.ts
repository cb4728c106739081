import en from "./en.json";

type Section = keyof typeof en;
export type TextKey = { [S in Section]: `${S}.${keyof (typeof en)[S] & string}` }[Section];

/** Give a text of `en.json` (`section.name`), with `{name}` replaced. */
export function t(key: TextKey, values: Record<string, string | number> = {}): string {
  const [section, name] = key.split(".") as [Section, string];
  const text = (en[section] as Record<string, string>)[name] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, word: string) => String(values[word] ?? whole));
}
