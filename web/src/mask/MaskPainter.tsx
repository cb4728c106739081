import { useEffect, useState } from "react";
import { Dialog } from "../app/Dialog";
import { t } from "../i18n";
import { inWords } from "../widgets/upload";
import { MaskCanvas } from "./MaskCanvas";
import { MaskTools, type Settings } from "./MaskTools";
import { openPicture } from "./openPicture";
import { Painting } from "./Painting";
import { encodePng } from "./png";

interface MaskPainterProps {
  /** Where the picture is. */
  source: string;
  name: string;
  /** Keep the picture with its mask as transparency. */
  onSave(picture: Blob, name: string): Promise<void>;
  onClose(): void;
}

/** Paint on a picture what is to be masked. */
export function MaskPainter({ source, name, onSave, onClose }: MaskPainterProps) {
  const [painting, setPainting] = useState<Painting | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  const [settings, setSettings] = useState<Settings>({ tool: "brush", size: 40, hardness: 0.8, hasPressure: true });
  const [isSaving, setSaving] = useState(false);
  const [isLeaving, setLeaving] = useState(false);
  // the painting is not React's: what it holds is drawn again when this counts on
  const [changes, setChanges] = useState(0);

  useEffect(() => {
    let isGone = false;
    openPicture(source).then(
      (pixels) => {
        if (isGone) return;
        setPainting(new Painting(pixels));
        const size = Math.max(4, Math.round(Math.min(pixels.width, pixels.height) / 10));
        setSettings((now) => ({ ...now, size }));
      },
      (error: unknown) => !isGone && setTrouble(inWords(error)),
    );
    return () => {
      isGone = true;
    };
  }, [source]);

  function change(what: (painting: Painting) => void): void {
    if (painting === null) return;
    what(painting);
    setChanges((count) => count + 1);
  }

  async function save(): Promise<void> {
    if (painting === null) return;
    setSaving(true);
    try {
      await onSave(await encodePng(painting.result()), maskedName(name));
    } catch (error) {
      setTrouble(inWords(error));
    } finally {
      setSaving(false);
    }
  }

  function leave(): void {
    if (painting?.canUndo && !isLeaving) setLeaving(true);
    else onClose();
  }

  return (
    <Dialog className="mask-painter" hasEntries label={t("mask.title", { name })} onClose={leave}>
      <header className="dialog-head">
        <h2>{t("mask.title", { name })}</h2>
        <div className="mask-ends">
          <button type="button" className="quiet" onClick={leave}>
            {t("mask.cancel")}
          </button>
          <button
            type="button"
            className="primary"
            disabled={painting === null || isSaving}
            onClick={() => void save()}
          >
            {t(isSaving ? "mask.saving" : "mask.save")}
          </button>
        </div>
      </header>
      {isLeaving && (
        <div className="mask-leaving" role="alertdialog" aria-label={t("mask.leave")}>
          <p>{t("mask.leave")}</p>
          <button type="button" className="quiet" ref={(button) => button?.focus()} onClick={() => setLeaving(false)}>
            {t("mask.stay")}
          </button>
          <button type="button" className="w-danger" onClick={onClose}>
            {t("mask.discard")}
          </button>
        </div>
      )}
      {trouble !== null && (
        <p className="mask-trouble" role="alert">
          {trouble}
        </p>
      )}
      {painting === null ? (
        <p className="mask-wait">{trouble === null && t("mask.opening")}</p>
      ) : (
        <>
          <MaskTools painting={painting} settings={settings} onSettings={setSettings} onChange={change} />
          <MaskCanvas
            painting={painting}
            changes={changes}
            settings={settings}
            onSettings={setSettings}
            onChange={change}
            onSave={() => void save()}
          />
        </>
      )}
    </Dialog>
  );
}

function maskedName(name: string): string {
  const stem = name.replace(/\.[a-z0-9]+$/i, "").replace(/-mask$/, "");
  return `${stem}-mask.png`;
}
