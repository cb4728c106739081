/** The links of a graph, as a canvas draws them. */
import { isDraft } from "immer";
import { type GraphDoc, isLink, type NodeDoc, splitReference } from "./document";

export interface OutputEnd {
  node: string;
  output: string;
}

export interface InputEnd {
  node: string;
  input: string;
}

/** A link; its `end` (`node.input`) is its key, as an input has one link at most. */
export interface GraphLink {
  end: string;
  from: OutputEnd;
  to: InputEnd;
}

const known = new WeakMap<object, readonly GraphLink[]>();

/** Give all links of a graph, those from nodes that don't exist too; the same list while its nodes are the same. */
export function linksOf(graph: GraphDoc): readonly GraphLink[] {
  if (isDraft(graph) || isDraft(graph.nodes)) return find(graph);
  let links = known.get(graph.nodes);
  if (links === undefined) {
    links = find(graph);
    known.set(graph.nodes, links);
  }
  return links;
}

/** Give the links that end at a node. */
export function linksInto(id: string, node: NodeDoc): GraphLink[] {
  return Object.entries(node.inputs ?? {}).flatMap(([input, value]) => {
    if (!isLink(value)) return [];
    const { node: source, name } = splitReference(value.$link);
    return [{ end: `${id}.${input}`, from: { node: source, output: name }, to: { node: id, input } }];
  });
}

export function endOf(to: InputEnd): string {
  return `${to.node}.${to.input}`;
}

function find(graph: GraphDoc): GraphLink[] {
  return Object.entries(graph.nodes).flatMap(([id, node]) => linksInto(id, node));
}
