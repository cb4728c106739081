import { isLink, splitReference } from "../../graph/document";
import { linksOf, type OutputEnd } from "../../graph/links";
import { shapeOf } from "../../graph/resolve";
import { useCanvas } from "../canvasStore";
import { showValue } from "../probeStore";
import { current } from "./current";
import { selectedCards } from "./selection";

/** The output that is meant by what is selected or has the focus: of a link, of a socket, of a node its first one. */
export function meantOutput(): OutputEnd | null {
  const now = current();
  if (now === null) return null;
  const { graph } = now;
  const [link] = useCanvas.getState().selectedLinks;
  const focused = document.activeElement;
  const socket = focused instanceof HTMLElement ? focused.dataset["socket"] : undefined;
  if (socket !== undefined) {
    const node = focused?.closest<HTMLElement>(".react-flow__node")?.dataset["id"] ?? "";
    const name = socket.slice(socket.indexOf(":") + 1);
    if (socket.startsWith("output:")) return { node, output: name };
    const value = graph.nodes[node]?.inputs?.[name];
    if (!isLink(value)) return null;
    const source = splitReference(value.$link);
    return { node: source.node, output: source.name };
  }
  if (link !== undefined) return linksOf(graph).find((each) => each.end === link)?.from ?? null;
  const [only, ...more] = selectedCards();
  if (only === undefined || more.length > 0) return null;
  const [output] = shapeOf(graph, only, now.definitions, now.document).outputs;
  return output === undefined ? null : { node: only, output: output.name };
}

/** Show the value of what is meant, beside it. */
export function showMeantValue(): void {
  const from = meantOutput();
  if (from === null) return;
  const card = document.querySelector(`.canvas [data-id="${CSS.escape(from.node)}"]`);
  const socket = card?.querySelector(`[data-socket="${CSS.escape(`output:${from.output}`)}"]`);
  const box = (socket ?? card ?? document.querySelector(".canvas"))?.getBoundingClientRect();
  showValue(from, box?.right ?? 0, box?.top ?? 0, true);
}
