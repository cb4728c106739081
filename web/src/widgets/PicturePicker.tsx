import { useEffect, useState } from "react";
import { type Asset, listAssets, thumbnailUrl } from "../api/routes";
import { Dialog } from "../app/Dialog";
import { t } from "../i18n";
import { inWords } from "./upload";

interface PicturePickerProps {
  onPick(asset: Asset): void;
  onClose(): void;
}

/** Choose one of the pictures that the server has: what jobs wrote, and what was uploaded. */
export function PicturePicker({ onPick, onClose }: PicturePickerProps) {
  const [assets, setAssets] = useState<readonly Asset[]>([]);
  const [next, setNext] = useState<number | null>(null);
  const [state, setState] = useState<"loading" | "loaded" | { trouble: string }>("loading");

  function load(before?: number): void {
    setState("loading");
    listAssets(before).then(
      (page) => {
        setAssets((known) => [...known, ...page.assets.filter((asset) => asset.media_type.startsWith("image/"))]);
        setNext(page.next ?? null);
        setState("loaded");
      },
      (error: unknown) => setState({ trouble: inWords(error) }),
    );
  }
  // biome-ignore lint/correctness/useExhaustiveDependencies: the first page, once
  useEffect(() => load(), []);

  return (
    <Dialog className="w-picker" label={t("widgets.fromGallery")} onClose={onClose}>
      <div className="dialog-head">
        <h2>{t("widgets.fromGallery")}</h2>
        <button type="button" className="quiet" data-autofocus aria-label={t("widgets.close")} onClick={onClose}>
          ×
        </button>
      </div>
      <ul className="w-pictures">
        {assets.map((asset) => (
          <li key={`${asset.asset} ${asset.source}`}>
            <button type="button" title={asset.name} onClick={() => onPick(asset)}>
              <img src={thumbnailUrl(asset.asset, 128)} alt={asset.name} loading="lazy" />
            </button>
          </li>
        ))}
      </ul>
      {state === "loaded" && assets.length === 0 && <p className="w-none">{t("widgets.noPictures")}</p>}
      {typeof state === "object" && (
        <p className="w-none" role="alert">
          {state.trouble}
        </p>
      )}
      {next !== null && (
        <button type="button" className="quiet" disabled={state === "loading"} onClick={() => load(next)}>
          {t("widgets.older")}
        </button>
      )}
    </Dialog>
  );
}
