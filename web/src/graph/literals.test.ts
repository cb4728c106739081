import { expect, test } from "vitest";
import type { InputDefinition } from "./definitions";
import type { Json } from "./document";
import { checkValue, troubleWith } from "./literals";

const input = (more: Partial<InputDefinition>): InputDefinition => ({
  name: "x",
  type: "INT",
  required: true,
  default: null,
  ...more,
});
test.each<[Partial<InputDefinition>, Json, string | null]>([
  [{}, 1, null],
  [{}, 1.5, "1.5 is not a whole number."],
  [{}, 2n ** 64n, null],
  [{ maximum: 2n ** 64n - 1n }, 2n ** 64n, "18446744073709551616 is too large."],
  [{ type: "FLOAT" }, 1n, null],
  [{ type: "FLOAT", exclusive_minimum: 0 }, 0, "0 is too small."],
  [{ type: "FLOAT", exclusive_maximum: 1 }, 1, "1 is too large."],
  [{ type: "INT|STRING" }, true, "true is not a whole number or a text."],
  [{ type: "BOOLEAN" }, true, null],
  [{ type: "*" }, "x", null],
  [{ type: "MODEL" }, "x", 'It takes a link to a MODEL, not the value "x".'],
  [{ type: "SUBGRAPH" }, "x", "It takes a sub-graph."],
  [{ required: false }, null, null],
  [{ multiple_of: 8 }, 16, null],
  [{ multiple_of: 8 }, 17, "17 is not a multiple of 8."],
  [{ type: "FLOAT", multiple_of: 0.1 }, 0.3, null],
  [{ type: "STRING", choices: ["a", "b"] }, "a", null],
  [{ type: "STRING", choices: ["a", "b"] }, "c", '"c" is not one of its choices.'],
  [{ type: "STRING", min_length: 1 }, "", "It can’t be empty."],
  [{ type: "STRING", min_length: 3 }, "ab", "The text is too short."],
  [{ type: "STRING", max_length: 1 }, "🎨", null],
  [{ type: "STRING", max_length: 1 }, "ab", "The text is too long."],
  [{ type: "STRING", pattern: "^a" }, "b", '"b" does not fit.'],
  [{ type: "STRING", pattern: "(?P<python>a)" }, "b", null],
  [{ type: "[INT]" }, [1, 2], null],
  [{ type: "[INT]" }, [1, "x"], 'item 1: "x" is not a whole number.'],
  [{ type: "[INT]" }, 1, "1 is not a list."],
  [{ type: "[$T]" }, [1, "x"], null],
])("%o takes %o: %s", (more, value, message) => {
  expect(checkValue(input(more), value)?.message ?? null).toBe(message);
});
test.each<[Partial<InputDefinition>, string]>([
  [{ minimum: 1, maximum: 5 }, "Choose a value from 1 to 5."],
  [{ minimum: 1 }, "Choose a value of at least 1."],
  [{ multiple_of: 8 }, "Choose -8 or 0, say."],
  [{ multiple_of: 2n ** 62n }, "Choose -4611686018427387904 or 0, say."],
  [{ multiple_of: 8, maximum: -1 }, "Choose -8, say."],
  [{ multiple_of: 8, minimum: -7, maximum: -1 }, "Choose a value from -7 to -1."],
  [{ type: "FLOAT", multiple_of: 0.3 }, "Choose -1.2 or -0.9, say."],
  [{ exclusive_minimum: 1, exclusive_maximum: 5 }, "Choose a value above 1 and below 5."],
])("%o: %s", (more, remedy) => expect(checkValue(input(more), -1)?.remedy).toBe(remedy));

test("a field tells what is wrong and what to do as one text, and of nothing set nothing", () => {
  expect(troubleWith(input({ maximum: 5 }), 9)).toBe("9 is too large. Choose a value of at most 5.");
  expect(troubleWith(input({ type: "STRING", min_length: 1 }), "")).toBe("It can’t be empty.");
  expect(troubleWith(input({ type: "STRING", choices: [] }), "gone")).toBe('"gone" is not one of its choices.');
  expect(troubleWith(input({}), null)).toBeNull();
});
