/** Names of nodes and declared inputs: which are allowed, and making new ones. */

const NODE_ID = /^[A-Za-z0-9_:-]+$/;
const NAME = /^[A-Za-z_][A-Za-z0-9_-]*$/;

export function isNodeId(text: string): boolean {
  return NODE_ID.test(text);
}

/** Tell whether a declared input or output, or a sub-graph, may be called this. */
export function isName(text: string): boolean {
  return NAME.test(text);
}

/** Put spaces between the words of a name: `VAEDecode` is `VAE Decode`; the letter of `KSampler` stays with its word. */
export function splitWords(name: string): string {
  return name.replace(/([a-z])([A-Z])/g, "$1 $2").replace(/([A-Z]{2,})([A-Z][a-z])/g, "$1 $2");
}

/** Write a kind as an id: `VAEDecode` is `vae_decode`, `mypack.Blur` is `blur`, `subgraph:hires` is `hires`. */
export function snakeCase(text: string): string {
  const words = splitWords(text.replace(/^.*[.:/](?=[^.:/]*[A-Za-z0-9])/, ""))
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "_")
    .replace(/^_+|_+$/g, "");
  return words === "" ? "node" : words;
}

/** Give a name that isn't taken: the name itself, or with the next free number (`blur`, `blur_2`, …). */
export function uniqueName(wanted: string, isTaken: (name: string) => boolean): string {
  if (!isTaken(wanted)) return wanted;
  const stem = wanted.replace(/_\d+$/, "");
  let number = 2;
  while (isTaken(`${stem}_${number}`)) number += 1;
  return `${stem}_${number}`;
}

/** Make a name for a declared input, output or sub-graph out of any text. */
export function nameFrom(text: string): string {
  const name = text
    .trim()
    .replace(/[^A-Za-z0-9_-]+/g, "_")
    .replace(/^_+|_+$/g, "");
  return isName(name) ? name : name === "" ? "unnamed" : `_${name}`;
}
