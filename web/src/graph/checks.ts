/**
 * Instant checks of the graph that is shown, for while somebody is typing and wiring.
 *
 * The server's check is the authority; this one says the same of what can be seen without it.
 */
import { isDraft } from "immer";
import { t } from "../i18n";
import { judgeLink, pathBetween } from "./connect";
import type { Definitions, InputDefinition } from "./definitions";
import { type GraphDoc, isLink, isObject, type Json, type NodeDoc, splitReference } from "./document";
import { linksOf } from "./links";
import { checkValue } from "./literals";
import { type Shape, shapesOf } from "./resolve";
import { findSubgraph, scopesOf, subgraphNamed, subgraphOf } from "./scopes";
import { isScalar, withArticle } from "./sockets";

/** As the server's problems, for the graph that is shown. */
export interface LocalProblem {
  code: string;
  node: string;
  node_type: string;
  input: string | null;
  message: string;
  remedy: string;
}

type Found = Omit<LocalProblem, "node" | "node_type">;
type Shapes = ReadonlyMap<string, Shape>;

/** Find what is wrong with a graph; muted and bypassed nodes don't run, so nothing is wrong with them. */
export function checkGraph(graph: GraphDoc, definitions: Definitions, document: GraphDoc): LocalProblem[] {
  const shapes = shapesOf(graph, definitions, document);
  const given = declaredValues(graph, graph !== document);
  const scopes = scopesOf(graph, document);
  const problems: LocalProblem[] = [];
  for (const [id, node] of Object.entries(graph.nodes)) {
    const shape = shapes.get(id);
    if ((node.mode ?? "normal") !== "normal" || shape === undefined) continue;
    const found = shape.missing
      ? [unknownNode(node, shape)]
      : [...checkInputs(id, node, shape, given), ...checkLinks(graph, shapes, id, node)];
    found.push(...checkSubgraphs(node, shape, scopes));
    problems.push(...found.map((each) => ({ ...each, node: id, node_type: node.type })));
  }
  return [...problems, ...circles(graph)];
}

/** Give what declared inputs put into inputs; those of a sub-graph may be linked, so they are taken to be there. */
function declaredValues(graph: GraphDoc, isInner: boolean): Map<string, Json | undefined> {
  const values = new Map<string, Json | undefined>();
  for (const declared of Object.values(graph.inputs ?? {})) {
    const value = declared.default ?? null;
    for (const end of declared.to ?? [])
      if (value !== null || isInner) values.set(end, value === null ? undefined : value);
  }
  return values;
}

function unknownNode(node: NodeDoc, shape: Shape): Found {
  const name = subgraphOf(node.type);
  if (name !== null)
    return problem("unknown_subgraph", null, t("graph.noSuchSubgraph", { name }), t("graph.makeOrReplace"));
  const remedy = shape.pack === "" ? t("graph.makeOrReplace") : t("graph.installPack", { pack: shape.pack });
  return problem("unknown_node", null, t("graph.unknownKind", { kind: node.type }), remedy);
}

const checked = new WeakMap<NodeDoc, { shape: Shape; found: Found[] }>();

/** Check a node's values; what was found is kept with the node unless declared inputs play a part. */
function checkInputs(id: string, node: NodeDoc, shape: Shape, given: Map<string, Json | undefined>): Found[] {
  const isLed = shape.inputs.some(({ name }) => given.has(`${id}.${name}`));
  const before = checked.get(node);
  if (!isLed && before?.shape === shape) return before.found;
  const found = shape.inputs.flatMap((input) => checkInput(id, node, input, given));
  found.push(...checkNames(node, shape));
  if (!isLed && !isDraft(node)) checked.set(node, { shape, found });
  return found;
}

function checkInput(id: string, node: NodeDoc, input: InputDefinition, given: Map<string, Json | undefined>): Found[] {
  const end = `${id}.${input.name}`;
  const value = given.has(end) ? given.get(end) : node.inputs?.[input.name];
  if (value === undefined) return input.required && !given.has(end) ? [missing(input)] : [];
  if (isLink(value) || subgraphNamed(value) !== null) return [];
  if (isObject(value) && "$link" in value) {
    return [problem("malformed_link", input.name, t("graph.malformedLink"), t("graph.writeLink"))];
  }
  const flaw = checkValue(input, value);
  return flaw === null ? [] : [{ ...flaw, input: input.name }];
}

function missing(input: InputDefinition): Found {
  const type = withArticle(input.type);
  return isScalar(input.type)
    ? problem("missing_input", input.name, t("graph.noValue"), t("graph.giveValue", { type }))
    : problem("missing_input", input.name, t("graph.notLinked"), t("graph.linkOutput", { type }));
}

function checkLinks(graph: GraphDoc, shapes: Shapes, id: string, node: NodeDoc): Found[] {
  return Object.entries(node.inputs ?? {}).flatMap(([name, value]) => {
    if (!isLink(value)) return [];
    const { node: source, name: output } = splitReference(value.$link);
    const verdict = judgeLink(graph, shapes, { node: source, output }, { node: id, input: name });
    if (verdict.ok) return [];
    const isThere = shapes.get(source)?.outputs.some((each) => each.name === output) ?? false;
    const hasInput = shapes.get(id)?.inputs.some((each) => each.name === name) ?? false;
    if (isThere && !hasInput) return [];
    const code = isThere ? "wrong_link_type" : "dangling_link";
    return [problem(code, name, verdict.reason, t(isThere ? "graph.linkOther" : "graph.linkAnew"))];
  });
}

function checkNames(node: NodeDoc, shape: Shape): Found[] {
  if (shape.definition === null && shape.subgraph === null) return [];
  const known = new Set(shape.inputs.map((input) => input.name));
  const names = Object.keys(node.inputs ?? {}).filter((name) => !known.has(name));
  const remedy = t("graph.itsInputs", { inputs: [...known].join(", ") || t("graph.none") });
  return names.map((name) => problem("unknown_input", name, t("graph.unknownInput"), remedy));
}

function checkSubgraphs(node: NodeDoc, shape: Shape, scopes: readonly GraphDoc[]): Found[] {
  const bodies = Object.entries(node.inputs ?? {}).flatMap(([input, value]) => {
    const name = subgraphNamed(value);
    return name === null || findSubgraph(name, scopes) !== null
      ? []
      : [problem("unknown_subgraph", input, t("graph.noSuchSubgraph", { name }), t("graph.chooseSubgraph"))];
  });
  const own = shape.definition === null && shape.subgraph !== null ? findSubgraph(shape.subgraph, scopes) : null;
  if (own === null || !scopes.includes(own.subgraph)) return bodies;
  const message = t("graph.inItself", { name: shape.subgraph ?? "" });
  return [...bodies, problem("recursion", null, message, t("graph.useLoop"))];
}

/** Find circles, one problem each, at the node whose link closes it. */
function circles(graph: GraphDoc): LocalProblem[] {
  const found: LocalProblem[] = [];
  const state = new Map<string, "open" | "done">();
  const told = new Set<string>();
  const sources = new Map<string, { node: string; input: string }[]>();
  for (const { from, to } of linksOf(graph)) {
    const known = sources.get(to.node) ?? [];
    known.push({ node: from.node, input: to.input });
    sources.set(to.node, known);
  }
  for (const start of Object.keys(graph.nodes)) {
    const stack = [{ id: start, next: 0 }];
    if (state.has(start)) continue;
    state.set(start, "open");
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const feed = sources.get(top.id)?.[top.next];
      top.next += 1;
      if (feed === undefined) {
        state.set(top.id, "done");
        stack.pop();
      } else if (state.get(feed.node) === "open" && !told.has(top.id)) {
        told.add(top.id);
        found.push(circle(graph, top.id, feed));
      } else if (!state.has(feed.node) && graph.nodes[feed.node] !== undefined) {
        state.set(feed.node, "open");
        stack.push({ id: feed.node, next: 0 });
      }
    }
  }
  return found;
}

function circle(graph: GraphDoc, id: string, feed: { node: string; input: string }): LocalProblem {
  const path = [...(pathBetween(graph, id, feed.node) ?? [id]), id].join(" → ");
  const about = { node: id, node_type: graph.nodes[id]?.type ?? "" };
  return { ...problem("cycle", feed.input, t("graph.isCircle", { path }), t("graph.cutCircle")), ...about };
}

function problem(code: string, input: string | null, message: string, remedy: string): Found {
  return { code, input, message, remedy };
}
