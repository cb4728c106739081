import { type NodeProps, NodeResizer } from "@xyflow/react";
import { type CSSProperties, memo } from "react";
import { t } from "../../i18n";
import { changeGroup } from "../actions";
import { useCanvas } from "../canvasStore";
import type { FrameNode } from "../flow";

/** A frame around nodes; it takes along what lies in it. */
export const Frame = memo(function Frame({ id, data, selected }: NodeProps<FrameNode>) {
  const { group } = data;
  const renaming = useCanvas((state) => state.renaming === id);
  return (
    <>
      <NodeResizer
        isVisible={selected}
        minWidth={120}
        minHeight={80}
        onResizeEnd={(_event, box) => changeGroup(id, { pos: [box.x, box.y], size: [box.width, box.height] })}
      />
      <div className="frame" style={{ "--tint": group.color } as CSSProperties}>
        {/* biome-ignore lint/a11y/noStaticElementInteractions: F2 and the menu do the same by keyboard */}
        <div className="frame-head" onDoubleClick={(event) => startRenaming(event, id)}>
          {renaming ? <FrameTitle id={id} title={group.title} /> : group.title || t("editor.frame")}
        </div>
      </div>
    </>
  );
});

function startRenaming(event: { stopPropagation(): void }, id: string): void {
  event.stopPropagation();
  useCanvas.getState().set({ renaming: id });
}

function FrameTitle({ id, title }: { id: string; title: string }) {
  const done = (text: string | null) => {
    useCanvas.getState().set({ renaming: null });
    if (text !== null && text !== title) changeGroup(id, { title: text });
  };
  return (
    <input
      className="nodrag"
      aria-label={t("editor.frameTitle")}
      defaultValue={title}
      // biome-ignore lint/a11y/noAutofocus: it appears because the title was asked to be edited
      autoFocus
      onFocus={(event) => event.currentTarget.select()}
      onBlur={(event) => done(event.currentTarget.value)}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key === "Enter") done(event.currentTarget.value);
        if (event.key === "Escape") done(null);
      }}
    />
  );
}
