/** Pure: what the server says of a wire that is being drawn, as the graph that is shown has it. */
import { t } from "../i18n";
import type { Problem } from "../stores/runStore";
import type { SocketRef } from "./canvasStore";

/** Why a socket that takes a wire's type isn't made for what would come along it, and what to do instead. */
export interface Misfit {
  reason: string;
  remedy: string;
}

export interface ToldMisfit {
  node: string;
  name: string;
  problem: Pick<Problem, "message" | "remedy" | "node" | "input">;
}

/** Sockets (`node.name`) that a wire from one wouldn't fit. */
export interface Misfits {
  from: SocketRef;
  at: ReadonlyMap<string, Misfit>;
}

/**
 * Read the server's answer.
 *
 * @param scope The nodes through which the graph that is shown was entered, as ids begin: `upscale/`, or nothing.
 */
export function misfitsOf(from: SocketRef, told: readonly ToldMisfit[], scope: string): Misfits {
  const local = (id: string) => (id.startsWith(scope) ? id.slice(scope.length) : id);
  const at = new Map<string, Misfit>();
  for (const { node, name, problem } of told) {
    const place = [problem.node, problem.input].map((each) => local(each ?? "")).join(".");
    const reason = t("editor.misfit", { place, message: problem.message });
    at.set(`${local(node)}.${name}`, { reason, remedy: problem.remedy ?? "" });
  }
  return { from, at };
}

/** Say what speaks against a link between two sockets; null if nothing is known to. */
export function misfitBetween(misfits: Misfits | null, one: SocketRef, other: SocketRef): Misfit | null {
  if (misfits === null) return null;
  const far = isSame(misfits.from, one) ? other : isSame(misfits.from, other) ? one : null;
  if (far === null || far.side === misfits.from.side) return null;
  return misfits.at.get(`${far.node}.${far.name}`) ?? null;
}

export function isSame(one: SocketRef, other: SocketRef): boolean {
  return one.node === other.node && one.name === other.name && one.side === other.side;
}
