import { useEffect, useState } from "react";
import { t } from "../i18n";
import { useData } from "../run/dataStore";
import { Failed } from "../run/Failed";
import { Icon } from "../run/icons";
import { useRun } from "../stores/runStore";
import { afterPress, type Choice, type Pressed } from "./choosing";
import { DeleteDialog } from "./DeleteDialog";
import { askToDelete, readNewest, useGallery } from "./galleryStore";
import { type LargePicture, useLightbox } from "./lightboxStore";
import { Thumbnails } from "./Thumbnails";

const NOTHING: Choice = { chosen: new Set(), anchor: null };

/** Every picture that was made or brought, the newest first. */
export function GalleryPanel() {
  const pictures = useGallery((state) => state.pictures);
  const doomed = useGallery((state) => state.doomed);
  const failure = useGallery((state) => state.failure);
  const isConnected = useRun((state) => state.connection === "connected");
  const isLarge = useLightbox((state) => state.items.length > 0);
  const ended = useData((state) => state.ended);
  /** Null while a press opens a picture. */
  const [choice, setChoice] = useState<Choice | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: there may be more when a job ends, or the server is back
  useEffect(() => void readNewest(), [ended, isConnected]);
  if (failure !== null) return <Failed failure={failure} again={readNewest} />;
  if (pictures === null) return <p className="hint">{t("data.loading")}</p>;
  if (pictures.length === 0) return <p className="hint">{t("data.galleryEmpty")}</p>;
  const chosen = pictures.filter(({ asset }) => choice?.chosen.has(asset));
  const press = (index: number, how: Pressed) => {
    if (choice === null && how === "open") return useLightbox.getState().show(pictures, index);
    const assets = pictures.map(({ asset }) => asset);
    setChoice(afterPress(choice ?? NOTHING, assets, index, how));
  };
  const chooseAll = () => setChoice({ chosen: new Set(pictures.map(({ asset }) => asset)), anchor: null });
  return (
    <div className="panelbody filling">
      <Tools choosing={choice !== null} chosen={chosen} choose={(on) => setChoice(on ? NOTHING : null)} />
      <Thumbnails
        pictures={pictures}
        chosen={choice?.chosen ?? null}
        press={press}
        chooseAll={chooseAll}
        leave={() => setChoice(null)}
        remove={(picture) => askToDelete(chosen.length > 0 ? chosen : [picture])}
      />
      {doomed !== null && !isLarge && <DeleteDialog doomed={doomed} />}
    </div>
  );
}

interface ToolsProps {
  choosing: boolean;
  chosen: readonly LargePicture[];
  choose(on: boolean): void;
}

function Tools({ choosing, chosen, choose }: ToolsProps) {
  const [one, other] = chosen;
  const compare = () => one !== undefined && other !== undefined && useLightbox.getState().compare(one, other);
  return (
    <div className="toolrow">
      <button type="button" className="secondary" aria-pressed={choosing} onClick={() => choose(!choosing)}>
        {t("data.choose")}
      </button>
      {choosing && (
        <>
          <button type="button" className="secondary" disabled={chosen.length !== 2} onClick={compare}>
            {t("data.compare")}
          </button>
          <button
            type="button"
            className="secondary icon"
            aria-label={t("data.deleteChosen")}
            title={t("data.deleteChosen")}
            disabled={chosen.length === 0}
            onClick={() => askToDelete(chosen)}
          >
            <Icon name="trash" size={16} />
          </button>
        </>
      )}
      <span className="remedy" role="status">
        {choosing && (chosen.length === 0 ? t("data.chooseHint") : t("data.chosen", { count: chosen.length }))}
      </span>
    </div>
  );
}
