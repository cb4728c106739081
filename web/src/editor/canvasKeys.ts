/** What keys do on a node or a socket that has the focus. Everything else is a command. */
import type { KeyboardEvent } from "react";
import { isLink, splitReference } from "../graph/document";
import { linksOf } from "../graph/links";
import { t } from "../i18n";
import { useEditor } from "../stores/editorStore";
import { disconnectEnds, nudge, selection } from "./actions";
import { announce, current } from "./actions/current";
import { boxesOf } from "./boxes";
import { GRID } from "./grid";
import { type Direction, neighbourOf } from "./neighbour";
import { focusFirstSocket, openAddPalette } from "./palette";
import { goToNode, pointerPlace } from "./view";

const DIRECTIONS: Record<string, Direction> = {
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "up",
  ArrowDown: "down",
};
const STEPS: Record<Direction, [number, number]> = { left: [-1, 0], right: [1, 0], up: [0, -1], down: [0, 1] };

export function onCanvasKey(event: KeyboardEvent<HTMLElement>): void {
  if (event.ctrlKey || event.metaKey || event.defaultPrevented) return;
  const target = event.target as HTMLElement;
  const socket = target.dataset["socket"];
  const node = target.closest<HTMLElement>(".react-flow__node");
  let done = false;
  if (socket !== undefined && node !== null) done = onSocketKey(event, node, target, socket);
  else if (node === target) done = onNodeKey(event, node.dataset["id"] ?? "");
  else if (target === event.currentTarget) done = onPaneKey(event);
  if (!done) return;
  event.preventDefault();
  event.stopPropagation();
}

function onPaneKey(event: KeyboardEvent): boolean {
  if (event.key === "Tab" && !event.shiftKey) {
    openAddPalette(pointerPlace());
    return true;
  }
  const now = current();
  if (now === null || DIRECTIONS[event.key] === undefined) return false;
  const [chosen] = selection();
  if (chosen !== undefined) return onNodeKey(event, chosen); // after a box was drawn, or from far away
  const [first] = boxesOf(now);
  if (first === undefined) return false;
  goToNode(first.id);
  return true;
}

function onNodeKey(event: KeyboardEvent, id: string): boolean {
  const now = current();
  if (now === null) return false;
  const direction = DIRECTIONS[event.key];
  if (direction !== undefined && (event.shiftKey || event.altKey)) {
    if (!now.tab.selection.has(id)) useEditor.getState().select([id]);
    const [dx, dy] = STEPS[direction];
    nudge(dx * GRID * (event.shiftKey && event.altKey ? 5 : 1), dy * GRID * (event.shiftKey && event.altKey ? 5 : 1));
    return true;
  }
  if (direction !== undefined) {
    const next = neighbourOf(id, direction, boxesOf(now), linksOf(now.graph));
    if (next === null) announce(t("editor.noNeighbour"));
    else goToNode(next);
    return true;
  }
  if (event.key === "Enter") {
    focusFirstSocket(id);
    return true;
  }
  if (event.key === " ") {
    const chosen = new Set(now.tab.selection);
    if (!chosen.delete(id)) chosen.add(id);
    useEditor.getState().select(chosen);
    announce(t(chosen.has(id) ? "editor.selected" : "editor.unselected", { id }));
    return true;
  }
  if (event.key === "Escape") {
    useEditor.getState().select([]);
    return true;
  }
  return false;
}

function onSocketKey(event: KeyboardEvent, node: HTMLElement, target: HTMLElement, socket: string): boolean {
  const sockets = [...node.querySelectorAll<HTMLElement>("[data-socket]")];
  const place = sockets.indexOf(target);
  const [side, name] = [socket.slice(0, socket.indexOf(":")), socket.slice(socket.indexOf(":") + 1)];
  const id = node.dataset["id"] ?? "";
  const graph = current()?.graph;
  if (event.key === "ArrowDown") sockets[(place + 1) % sockets.length]?.focus();
  else if (event.key === "ArrowUp") sockets.at(place - 1)?.focus();
  else if (event.key === "Escape") node.focus();
  else if (event.key === "ArrowRight" && side === "output") {
    const link = linksOf(graph ?? { nodes: {} }).find((each) => each.from.node === id && each.from.output === name);
    if (link === undefined) return false;
    goToNode(link.to.node);
  } else if (event.key === "ArrowLeft" && side === "input") {
    const value = graph?.nodes[id]?.inputs?.[name];
    if (!isLink(value)) return false;
    goToNode(splitReference(value.$link).node);
  } else if (event.key === "Delete" || event.key === "Backspace") {
    const ends = linksOf(graph ?? { nodes: {} })
      .filter((link) =>
        side === "input" ? link.end === `${id}.${name}` : link.from.node === id && link.from.output === name,
      )
      .map((link) => link.end);
    if (ends.length > 0) disconnectEnds(ends);
  } else return false;
  return true;
}
