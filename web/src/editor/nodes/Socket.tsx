import { Handle, Position } from "@xyflow/react";
import { type CSSProperties, memo } from "react";
import { t } from "../../i18n";
import { type SocketRef, useCanvas } from "../canvasStore";
import { openSocketPalette } from "../palette";
import { socketColor, socketShape } from "../socketLooks";
import { fitOf } from "../wiring";

export interface SocketProps {
  node: string;
  name: string;
  side: SocketRef["side"];
  type: string;
  linked: boolean;
  doc?: string | undefined;
  /** Beside a widget it is seldom needed, so it shows itself when the pointer or a wire comes near. */
  quiet?: boolean;
  /** How far down in its row, as CSS has it. */
  y: string;
}

/** Where wires begin and end. While a wire is drawn, those that it may go to light up and the others dim. */
export const Socket = memo(function Socket({ node, name, side, type, linked, doc, quiet, y }: SocketProps) {
  const fit = useCanvas((state) => fitOf(state.wire, state.misfits, { node, name, side }));
  const classes = ["socket", socketShape(type)];
  if (linked) classes.push("linked");
  if (quiet && fit !== "fits") classes.push("faint");
  if (fit !== "") classes.push(fit);
  const label = t(side === "input" ? "editor.inputSocket" : "editor.outputSocket", { name, type });
  return (
    <Handle
      id={name}
      type={side === "input" ? "target" : "source"}
      position={side === "input" ? Position.Left : Position.Right}
      className={classes.join(" ")}
      style={{ "--socket": socketColor(type), "--socket-y": y } as CSSProperties}
      role="button"
      tabIndex={-1}
      aria-label={linked ? `${label}, ${t("editor.linked")}` : label}
      title={doc ? `${name}: ${type}\n${doc}` : `${name}: ${type}`}
      data-socket={`${side}:${name}`}
      onKeyDown={(event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        event.stopPropagation();
        openSocketPalette({ node, name, side });
      }}
    />
  );
});
