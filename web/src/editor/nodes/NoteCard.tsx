import { type NodeProps, NodeResizer } from "@xyflow/react";
import { type CSSProperties, memo } from "react";
import { t } from "../../i18n";
import { Markdown } from "../../markdown/Markdown";
import { changeNote } from "../actions";
import { useCanvas } from "../canvasStore";
import type { NoteNode } from "../flow";

/** A text on the canvas, in Markdown; a double click or F2 edits it. */
export const NoteCard = memo(function NoteCard({ id, data, selected }: NodeProps<NoteNode>) {
  const { note } = data;
  const editing = useCanvas((state) => state.renaming === id);
  return (
    <>
      <NodeResizer
        isVisible={selected}
        minWidth={80}
        minHeight={40}
        onResizeEnd={(_event, box) => changeNote(id, { pos: [box.x, box.y], size: [box.width, box.height] })}
      />
      <div className="note" style={{ "--tint": note.color } as CSSProperties}>
        {editing ? (
          <textarea
            className="nodrag nowheel"
            aria-label={t("editor.noteText")}
            defaultValue={note.text}
            // biome-ignore lint/a11y/noAutofocus: it appears because the note was asked to be edited
            autoFocus
            onBlur={(event) => {
              useCanvas.getState().set({ renaming: null });
              if (event.currentTarget.value !== note.text) changeNote(id, { text: event.currentTarget.value });
            }}
            onKeyDown={(event) => {
              event.stopPropagation();
              if (event.key === "Escape") event.currentTarget.blur();
            }}
          />
        ) : (
          <div className="note-text">
            <Markdown text={note.text || t("editor.emptyNote")} breaks />
          </div>
        )}
      </div>
    </>
  );
});
