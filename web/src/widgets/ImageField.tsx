import { type ClipboardEvent, type DragEvent, useRef, useState } from "react";
import { type Asset, assetUrl, fileUrl } from "../api/routes";
import { ErrorBoundary } from "../app/ErrorBoundary";
import { lazily } from "../app/lazily";
import { t } from "../i18n";
import { FileField } from "./FileField";
import { useFileNames } from "./fileNames";
import { Icon } from "./icons";
import { fileOption } from "./options";
import { ASSET_DRAG } from "./pictures";
import { Trouble } from "./Trouble";
import type { WidgetProps } from "./types";
import { inWords, upload } from "./upload";

const MaskPainter = lazily(async () => (await import("../mask/MaskPainter")).MaskPainter);
const PicturePicker = lazily(async () => (await import("./PicturePicker")).PicturePicker);

type Draggable = Pick<Asset, "asset" | "name"> & { input?: string | null };

/** A picture: uploaded, pasted, dropped, or chosen; and painted on for its mask. */
export function ImageField(props: WidgetProps) {
  const { input, value, disabled, onChange } = props;
  const root = useRef<HTMLFieldSetElement>(null);
  const chooser = useRef<HTMLInputElement>(null);
  const [progress, setProgress] = useState<number | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  const [isOver, setOver] = useState(false);
  const [dialog, setDialog] = useState<"mask" | "gallery" | null>(null);
  const name = typeof value === "string" && value !== "" ? value : null;
  const kind = input.files ?? "input";
  /** The name whose picture was shown last: there is no painting on what isn't there. */
  const [seen, setSeen] = useState<string | null>(null);

  async function bring(file: Blob, fileName: string): Promise<void> {
    setTrouble(null);
    setProgress(0);
    try {
      const brought = await upload(file, fileName, setProgress);
      if (brought.input == null) throw new Error(t("widgets.noPicture", { name: fileName }));
      useFileNames.getState().add(kind, brought.input);
      onChange(brought.input);
    } catch (error) {
      setTrouble(inWords(error));
    } finally {
      setProgress(null);
    }
  }

  /** Take a picture that the server has; what a job wrote becomes an upload first, for only these can be named. */
  async function take(picked: Draggable): Promise<void> {
    if (picked.input != null) {
      onChange(picked.input);
      return;
    }
    try {
      const answer = await fetch(assetUrl(picked.asset), { credentials: "same-origin" });
      if (!answer.ok) throw new Error(t("widgets.pictureGone", { name: picked.name }));
      await bring(await answer.blob(), picked.name);
    } catch (error) {
      setTrouble(inWords(error));
    }
  }

  function onDrop(event: DragEvent): void {
    setOver(false);
    if (disabled || !isWanted(event)) return;
    // the page would open the picture as a workflow otherwise
    event.preventDefault();
    const dragged = event.dataTransfer.getData(ASSET_DRAG);
    const file = event.dataTransfer.files[0];
    if (dragged !== "") void take(JSON.parse(dragged) as Draggable);
    else if (file !== undefined) void bring(file, file.name);
  }

  function onPaste(event: ClipboardEvent): void {
    const file = [...event.clipboardData.files].find((each) => each.type.startsWith("image/"));
    if (disabled || file === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    void bring(file, file.name === "" ? "pasted.png" : file.name);
  }

  return (
    // a fieldset, so that a paste or a drop anywhere in it is one for this input
    <fieldset
      ref={root}
      className="w-image nokey"
      aria-label={input.name}
      data-over={isOver || undefined}
      onDragOver={(event) => {
        if (disabled || !isWanted(event)) return;
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={onDrop}
      onPaste={onPaste}
    >
      <button
        type="button"
        className="w-picture"
        disabled={disabled}
        aria-label={name === null ? t("widgets.dropPicture") : t("widgets.choosePicture")}
        title={t("widgets.choosePicture")}
        onClick={() => chooser.current?.click()}
      >
        <Thumbnail key={name} kind={kind} name={name} onSeen={() => setSeen(name)} />
        {progress !== null && (
          <progress max={1} value={progress >= 1 ? undefined : progress} aria-label={t("widgets.uploading")} />
        )}
      </button>
      <input
        ref={chooser}
        type="file"
        hidden
        accept="image/*"
        aria-label={t("widgets.choosePicture")}
        onChange={(event) => {
          const file = event.target.files?.[0];
          event.target.value = "";
          if (file !== undefined) void bring(file, file.name);
        }}
      />
      <div className="w-image-tools">
        <FileField {...props} />
        <ToolButton
          icon="gallery"
          label={t("widgets.fromGallery")}
          disabled={disabled}
          onClick={() => setDialog("gallery")}
        />
        <ToolButton
          icon="brush"
          label={t("widgets.paintMask")}
          disabled={disabled || name === null || seen !== name}
          onClick={() => setDialog("mask")}
        />
      </div>
      <Trouble id={`${props.id}-upload`} anchor={root} text={trouble} isNew />
      <ErrorBoundary
        onError={(error) => {
          setDialog(null);
          setTrouble(error.message);
        }}
      >
        {dialog === "gallery" && (
          <PicturePicker
            onPick={(picked) => {
              setDialog(null);
              void take(picked);
            }}
            onClose={() => setDialog(null)}
          />
        )}
        {dialog === "mask" && name !== null && (
          <MaskPainter
            source={fileUrl(kind, name)}
            name={fileOption(name, "").label}
            onSave={async (picture, fileName) => {
              await bring(picture, fileName);
              setDialog(null);
            }}
            onClose={() => setDialog(null)}
          />
        )}
      </ErrorBoundary>
    </fieldset>
  );
}

function Thumbnail({ kind, name, onSeen }: { kind: string; name: string | null; onSeen(): void }) {
  const [isGone, setGone] = useState(false);
  if (name === null) {
    return (
      <span className="w-picture-none">
        <Icon name="upload" />
        {t("widgets.dropPicture")}
      </span>
    );
  }
  if (isGone) {
    return (
      <span className="w-picture-none" aria-hidden="true">
        {t("widgets.noPreview")}
      </span>
    );
  }
  return (
    <img
      src={fileUrl(kind, name, 256)}
      alt={fileOption(name, "").label}
      draggable={false}
      onLoad={onSeen}
      onError={() => setGone(true)}
    />
  );
}

function ToolButton(props: { icon: string; label: string; disabled: boolean; onClick(): void }) {
  return (
    <button
      type="button"
      className="w-button"
      aria-label={props.label}
      title={props.label}
      disabled={props.disabled}
      onClick={props.onClick}
    >
      <Icon name={props.icon} />
    </button>
  );
}

function isWanted(event: DragEvent): boolean {
  return event.dataTransfer.types.some((type) => type === "Files" || type === ASSET_DRAG);
}
