import type { CSSProperties } from "react";
import { ErrorBoundary } from "../../app/ErrorBoundary";
import type { InputDefinition } from "../../graph/definitions";
import { isLink } from "../../graph/document";
import { ROW_HEIGHT, rowHeight } from "../../graph/layout";
import { t } from "../../i18n";
import { useEditor } from "../../stores/editorStore";
import type { Problem } from "../../stores/runStore";
import { widgetFor } from "../../widgets/registry";
import { setValue } from "../actions";
import type { CardNode } from "../flow";
import { openInputMenu } from "../menus";
import { DeclaredMark } from "./DeclaredMark";
import { Socket } from "./Socket";

interface InputRowProps {
  node: string;
  data: CardNode["data"];
  input: InputDefinition;
  problem: Problem | undefined;
}

/** An input: its socket, and its widget unless a link feeds it. */
export function InputRow({ node, data, input, problem }: InputRowProps) {
  const promoted = data.promoted.get(input.name);
  const set = data.node.inputs?.[input.name];
  const linked = isLink(set);
  const hasSocket = data.sockets.has(input.name);
  const Widget = linked || hasSocket ? null : widgetFor(input);
  const height = rowHeight(input, Widget !== null);
  const tall = height > ROW_HEIGHT;
  const classes = ["card-row", "input"];
  if (tall) classes.push("tall");
  if (linked) classes.push("linked");
  if (input.required) classes.push("required");
  if (problem !== undefined) classes.push("wrong");
  const id = `${data.fullId}.${input.name}`;
  const label = { height: ROW_HEIGHT, lineHeight: `${ROW_HEIGHT}px` };
  const why = problem === undefined ? input.doc : `${problem.message}\n${problem.remedy}`;

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the socket opens the same by keyboard
    <div
      className={classes.join(" ")}
      style={{ height } as CSSProperties}
      data-input={input.name}
      onContextMenu={(event) => openInputMenu(event, node, input, data)}
    >
      <Socket
        node={node}
        name={input.name}
        side="input"
        type={input.type}
        linked={linked}
        doc={input.doc}
        quiet={Widget !== null}
        y={`${ROW_HEIGHT / 2}px`}
      />
      {Widget === null ? (
        <span className="card-row-label" style={label} title={why}>
          {input.name}
          {promoted !== undefined && <DeclaredMark label={t("editor.promotedAs", { name: promoted.name })} />}
        </span>
      ) : (
        <label className="card-row-label" style={label} htmlFor={id} title={why}>
          {input.name}
          {promoted !== undefined && <DeclaredMark label={t("editor.promotedAs", { name: promoted.name })} />}
        </label>
      )}
      {Widget !== null && (
        <div className="card-row-field nodrag nowheel nopan">
          <ErrorBoundary>
            <Widget
              id={id}
              node={data.fullId}
              nodeType={data.node.type}
              input={input}
              value={promoted !== undefined ? promoted.value : (set ?? input.default ?? null)}
              disabled={data.node.mode === "muted"}
              onChange={(value, gesture) => setValue(node, input.name, value, gesture ?? false)}
              onGestureEnd={() => useEditor.getState().endGesture()}
            />
          </ErrorBoundary>
        </div>
      )}
    </div>
  );
}
