/** Making links: which are allowed, why others are refused, and what fits a wire. */
import { t } from "../i18n";
import type { Definitions } from "./definitions";
import { type GraphDoc, isLink, splitReference } from "./document";
import { type Converter, findConverter } from "./kinds";
import { endOf, type InputEnd, linksOf, type OutputEnd } from "./links";
import { bindTypes, type Shape, shapesOf } from "./resolve";
import { settled } from "./scopes";
import { ANY, bind, connection, isScalar, isVariable, itemType } from "./sockets";

export { type CompatibleKind, type Converter, compatibleKinds } from "./kinds";
export type { InputEnd, OutputEnd } from "./links";

export type Verdict =
  | { ok: true; mapped?: boolean; wrapped?: boolean }
  | { ok: false; reason: string; converter?: Converter };

type Shapes = ReadonlyMap<string, Shape>;

/** Say whether a link may be made, and if not, why. */
export function canConnect(
  graph: GraphDoc,
  from: OutputEnd,
  to: InputEnd,
  definitions: Definitions,
  document: GraphDoc,
): Verdict {
  return judge(settled(graph), shapesOf(graph, definitions, document), from, to, definitions);
}

function judge(graph: GraphDoc, shapes: Shapes, from: OutputEnd, to: InputEnd, definitions: Definitions): Verdict {
  if (from.node === to.node) return { ok: false, reason: t("graph.toItself") };
  const verdict = judgeLink(graph, shapes, from, to);
  if (!verdict.ok) {
    if (whatIsUnknown(shapes, from, to) !== null) return verdict;
    const { given, wanted } = typesBetween(graph, shapes, from, to);
    const converter = findConverter(definitions, itemType(given), itemType(wanted));
    return converter === null ? verdict : { ...verdict, converter };
  }
  const path = pathBetween(graph, to.node, from.node);
  return path === null ? verdict : { ok: false, reason: t("graph.circle", { path: [...path, to.node].join(" → ") }) };
}

/** Say whether both ends are there and their types fit. */
export function judgeLink(graph: GraphDoc, shapes: Shapes, from: OutputEnd, to: InputEnd): Verdict {
  const unknown = whatIsUnknown(shapes, from, to);
  return unknown === null ? judgeTypes(graph, shapes, from, to) : { ok: false, reason: unknown };
}

/** Give all sockets that one fits, as `node.name`; what lights up while a wire is drawn. */
export function fittingSockets(
  graph: GraphDoc,
  socket: { node: string; name: string; side: "input" | "output" },
  definitions: Definitions,
  document: GraphDoc,
): ReadonlySet<string> {
  const shapes = shapesOf(graph, definitions, document);
  const own = shapes.get(socket.node);
  const isFrom = socket.side === "output";
  const type = (isFrom ? own?.outputs : own?.inputs)?.find((each) => each.name === socket.name)?.type;
  const fitting = new Set<string>();
  if (type === undefined) return fitting;
  const barred = reached(graph, socket.node, isFrom ? "before" : "behind");
  const verdicts = new Map<string, boolean>();
  for (const [id, shape] of shapes) {
    if (barred.has(id)) continue;
    // a type variable depends on what else its node is linked to; all else on the two types alone
    const target = isFrom ? shape : own;
    for (const { name, type: other } of isFrom ? shape.inputs : shape.outputs) {
      const input = isFrom ? name : socket.name;
      const judged = () => judgeLink(graph, shapes, ...ends(socket, id, name)).ok;
      const key = `${other} ${isFrom && isLazy(shape, name)}`;
      const fits = hasVariable(target, input) ? judged() : (verdicts.get(key) ?? judged());
      if (!hasVariable(target, input)) verdicts.set(key, fits);
      if (fits) fitting.add(`${id}.${name}`);
    }
  }
  return fitting;
}

function ends(socket: { node: string; name: string; side: "input" | "output" }, node: string, name: string) {
  return socket.side === "output"
    ? ([
        { node: socket.node, output: socket.name },
        { node, input: name },
      ] as const)
    : ([
        { node, output: name },
        { node: socket.node, input: socket.name },
      ] as const);
}

function hasVariable(shape: Shape | undefined, input: string): boolean {
  const hasAny = Object.keys(shape?.definition?.variables ?? {}).length > 0;
  return hasAny && (shape?.definition?.inputs.find((each) => each.name === input)?.type.includes("$") ?? false);
}

function isLazy(shape: Shape, input: string): boolean {
  return shape.inputs.find((each) => each.name === input)?.lazy ?? false;
}

function whatIsUnknown(shapes: Shapes, from: OutputEnd, to: InputEnd): string | null {
  const source = shapes.get(from.node);
  const target = shapes.get(to.node);
  if (source === undefined) return t("graph.noNode", { node: from.node });
  if (target === undefined) return t("graph.noNode", { node: to.node });
  if (!source.missing && !source.outputs.some((output) => output.name === from.output)) {
    return t("graph.noOutput", { node: from.node, kind: source.label, output: from.output });
  }
  if (!target.missing && !target.inputs.some((input) => input.name === to.input)) {
    return t("graph.noInput", { node: to.node, kind: target.label, input: to.input });
  }
  return null;
}

/** Give the types at both ends, as they are without the link that `to` may have now. */
function typesBetween(graph: GraphDoc, shapes: Shapes, from: OutputEnd, to: InputEnd) {
  const given = outputType(shapes, from);
  const target = shapes.get(to.node);
  const input = target?.inputs.find((each) => each.name === to.input);
  const declared = target?.definition?.inputs.find((each) => each.name === to.input)?.type ?? input?.type ?? ANY;
  const lazy = input?.lazy ?? false;
  if (!declared.includes("$") || target?.definition == null) return { given, wanted: declared, lazy };
  const others = bindTypes({ ...target, inputs: target.definition.inputs }, (name) => {
    const value = name === to.input ? undefined : graph.nodes[to.node]?.inputs?.[name];
    return isLink(value) ? outputType(shapes, sourceOf(value.$link)) : null;
  }).bound;
  return { given, wanted: bind(declared, new Map([...Object.entries(target.definition.variables), ...others])), lazy };
}

function judgeTypes(graph: GraphDoc, shapes: Shapes, from: OutputEnd, to: InputEnd): Verdict {
  const { given, wanted, lazy } = typesBetween(graph, shapes, from, to);
  const verdict = connection(wanted, given, lazy);
  if (verdict.ok) return verdict;
  // a variable that was bound to INT may stand for FLOAT just as well
  const isNumber = itemType(wanted) === "INT" && itemType(given) === "FLOAT";
  const own = shapes.get(to.node)?.definition?.inputs.find((each) => each.name === to.input)?.type ?? wanted;
  return isNumber && isVariable(itemType(own)) ? connection("FLOAT", given, lazy) : verdict;
}

function outputType(shapes: Shapes, { node, output }: OutputEnd): string {
  return shapes.get(node)?.outputs.find((each) => each.name === output)?.type ?? ANY;
}

function sourceOf(reference: string): OutputEnd {
  const { node, name } = splitReference(reference);
  return { node, output: name };
}

/** Find nodes along which links lead from one node to another, both included. */
export function pathBetween(graph: GraphDoc, start: string, goal: string): string[] | null {
  const readers = readersOf(graph);
  const cameFrom = new Map<string, string | null>([[start, null]]);
  for (const id of cameFrom.keys()) {
    if (id === goal) break;
    for (const next of readers.get(id) ?? []) if (!cameFrom.has(next)) cameFrom.set(next, id);
  }
  if (!cameFrom.has(goal)) return null;
  const path: string[] = [];
  for (let at: string | null = goal; at !== null; at = cameFrom.get(at) ?? null) path.unshift(at);
  return path;
}

function readersOf(graph: GraphDoc, isBackward = false): Map<string, string[]> {
  const readers = new Map<string, string[]>();
  for (const { from, to } of linksOf(graph)) {
    const [at, other] = isBackward ? [to.node, from.node] : [from.node, to.node];
    const known = readers.get(at);
    if (known === undefined) readers.set(at, [other]);
    else known.push(other);
  }
  return readers;
}

/** Give a node with all that lie before it, or behind it. */
function reached(graph: GraphDoc, start: string, side: "before" | "behind"): Set<string> {
  const next = readersOf(graph, side === "before");
  const found = new Set([start]);
  for (const id of found) for (const each of next.get(id) ?? []) found.add(each);
  return found;
}

/** Link; what the input had before is replaced. */
export function connect(graph: GraphDoc, from: OutputEnd, to: InputEnd): void {
  const node = graph.nodes[to.node];
  if (node === undefined) return;
  node.inputs ??= {};
  node.inputs[to.input] = { $link: `${from.node}.${from.output}` };
  forgetReroutes(graph, to);
  // a declared input that led here would hide the link
  for (const declared of Object.values(graph.inputs ?? {})) {
    if (declared.to?.includes(endOf(to))) declared.to = declared.to.filter((end) => end !== endOf(to));
  }
}

export function disconnect(graph: GraphDoc, to: InputEnd): void {
  const inputs = graph.nodes[to.node]?.inputs;
  if (!isLink(inputs?.[to.input])) return;
  delete inputs[to.input];
  forgetReroutes(graph, to);
}

function forgetReroutes(graph: GraphDoc, to: InputEnd): void {
  const reroutes = graph.ui?.reroutes;
  if (reroutes !== undefined) delete reroutes[endOf(to)];
}

/** Find the sockets by which a node fits into the link that ends at `to`. */
export function splicePoint(
  graph: GraphDoc,
  node: string,
  to: InputEnd,
  definitions: Definitions,
  document: GraphDoc,
): { input: string; output: string } | null {
  const shapes = shapesOf(graph, definitions, document);
  const now = settled(graph);
  const link = now.nodes[to.node]?.inputs?.[to.input];
  const shape = shapes.get(node);
  if (!isLink(link) || shape === undefined) return null;
  const from = sourceOf(link.$link);
  const given = outputType(shapes, from);
  const values = now.nodes[node]?.inputs ?? {};
  const takes = shape.inputs.filter(
    ({ name }) => !isLink(values[name]) && judge(now, shapes, from, { node, input: name }, definitions).ok,
  );
  const input =
    takes.find(({ type }) => type === given) ??
    takes.find(({ type }) => itemType(type) === itemType(given)) ??
    takes.find(({ type }) => !isScalar(type));
  const output = shape.outputs.find(({ name }) => judge(now, shapes, { node, output: name }, to, definitions).ok);
  return input === undefined || output === undefined ? null : { input: input.name, output: output.name };
}

/** Put a node into the link that ends at `to`; false if it doesn't fit. */
export function spliceInto(
  graph: GraphDoc,
  node: string,
  to: InputEnd,
  definitions: Definitions,
  document: GraphDoc,
): boolean {
  const point = splicePoint(graph, node, to, definitions, document);
  const link = graph.nodes[to.node]?.inputs?.[to.input];
  if (point === null || !isLink(link)) return false;
  connect(graph, sourceOf(link.$link), { node, input: point.input });
  connect(graph, { node, output: point.output }, to);
  return true;
}
