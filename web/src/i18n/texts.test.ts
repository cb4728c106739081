import { expect, test } from "vitest";
import en from "./en.json";

const sources = import.meta.glob<string>(["../**/*.{ts,tsx}", "!../**/*.test.*"], {
  query: "?raw",
  import: "default",
  eager: true,
});

test("every text is used", () => {
  const code = Object.values(sources).join("\n");
  const named = new Set(code.match(/\b[a-z]\w*\.\w+\b/g));
  // `editor.state_${state}` names all that begin so
  const begun = [...code.matchAll(/`([a-z]\w*\.\w*)\$\{/g)].map((found) => found[1] ?? "");
  const unused = Object.entries(en)
    .flatMap(([section, texts]) => Object.keys(texts).map((name) => `${section}.${name}`))
    .filter((key) => !named.has(key) && !begun.some((start) => key.startsWith(start)));
  expect(unused).toEqual([]);
});
