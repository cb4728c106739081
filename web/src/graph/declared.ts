/** Declared inputs and outputs: a graph as a function, and a form for it. */

import { t } from "../i18n";
import type { Definitions, InputDefinition } from "./definitions";
import { type DeclaredInput, DocumentError, type GraphDoc, isLink, type Json, splitReference } from "./document";
import { endOf, type InputEnd, type OutputEnd } from "./links";
import { nameFrom, uniqueName } from "./names";
import { shapesOf } from "./resolve";
import { declaredDefinition } from "./shapes";

/** A field of the form made from declared inputs. */
export interface FormField {
  name: string;
  label: string;
  /** As a widget takes it: the declared type and limits, and what else the input that it leads to has. */
  input: InputDefinition;
  value: Json;
  /** The ends (`node.input`) that it leads to. */
  to: readonly string[];
}

export function formFields(graph: GraphDoc, definitions: Definitions, document: GraphDoc): FormField[] {
  const shapes = shapesOf(graph, definitions, document);
  return Object.entries(graph.inputs ?? {}).map(([name, declared]) => {
    const input = declaredDefinition(name, declared, graph, shapes);
    return { name, label: labelOf(name), input, value: declared.default ?? null, to: declared.to ?? [] };
  });
}

/** Write a name as people do: `negative_prompt` is "Negative prompt". */
export function labelOf(name: string): string {
  const words = name.replace(/[_-]+/g, " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function setField(graph: GraphDoc, name: string, value: Json): void {
  const declared = graph.inputs?.[name];
  if (declared !== undefined) declared.default = value;
}

/** Declare an input that feeds `to`; its value becomes the default. Gives the name, made unique. */
export function declareInput(graph: GraphDoc, name: string, to: InputEnd, input: InputDefinition): string {
  const inputs = graph.nodes[to.node]?.inputs ?? {};
  const value = inputs[to.input];
  if (isLink(value)) throw new DocumentError(t("graph.cantDeclareLinked", { input: endOf(to) }));
  const before = declaredFor(graph, to);
  if (before !== null) return before;
  graph.inputs ??= {};
  const unique = uniqueName(nameFrom(name), (each) => Object.hasOwn(graph.inputs ?? {}, each));
  const declared: DeclaredInput = { type: input.type, to: [endOf(to)] };
  const start = value ?? input.default ?? null;
  if (start !== null) declared.default = start;
  if (input.minimum != null) declared.min = input.minimum;
  if (input.maximum != null) declared.max = input.maximum;
  if (input.doc) declared.doc = input.doc;
  graph.inputs[unique] = declared;
  // the declared value hides the node's own: two values for one input would mislead
  delete inputs[to.input];
  return unique;
}

/** Take a declared input away; its default becomes the value of what it fed. */
export function undeclareInput(graph: GraphDoc, name: string): void {
  const declared = graph.inputs?.[name];
  if (declared === undefined) return;
  for (const { node, name: input } of (declared.to ?? []).map(splitReference)) {
    const target = graph.nodes[node];
    if (target === undefined || (declared.default ?? null) === null || isLink(target.inputs?.[input])) continue;
    target.inputs = { ...target.inputs, [input]: declared.default ?? null };
  }
  delete graph.inputs?.[name];
}

/** Declare an output; gives its name, made unique. */
export function declareOutput(graph: GraphDoc, name: string, from: OutputEnd): string {
  graph.outputs ??= {};
  const before = declaredFrom(graph, from);
  if (before !== null) return before;
  const unique = uniqueName(nameFrom(name), (each) => Object.hasOwn(graph.outputs ?? {}, each));
  graph.outputs[unique] = { from: `${from.node}.${from.output}` };
  return unique;
}

export function undeclareOutput(graph: GraphDoc, name: string): void {
  delete graph.outputs?.[name];
}

/** Give the declared output that an output is, if it is one. */
export function declaredFrom(graph: GraphDoc, { node, output }: OutputEnd): string | null {
  const found = Object.entries(graph.outputs ?? {}).find(([, { from }]) => from === `${node}.${output}`);
  return found?.[0] ?? null;
}

/** Give the declared input that feeds an input, if one does. */
export function declaredFor(graph: GraphDoc, to: InputEnd): string | null {
  const found = Object.entries(graph.inputs ?? {}).find(([, declared]) => declared.to?.includes(endOf(to)));
  return found?.[0] ?? null;
}
