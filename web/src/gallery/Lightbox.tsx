import { type KeyboardEvent, useState } from "react";
import * as api from "../api/routes";
import { Dialog } from "../app/Dialog";
import { t } from "../i18n";
import { restoreJob } from "../run/HistoryPanel";
import { Icon } from "../run/icons";
import { sizeText, timeText } from "../run/pictures";
import { CompareSlider } from "./CompareSlider";
import { DeleteDialog } from "./DeleteDialog";
import { askToDelete, useGallery } from "./galleryStore";
import { useLightbox } from "./lightboxStore";
import { Pager } from "./Pager";
import { ZoomedPicture } from "./ZoomedPicture";

/** A picture, large; or two beside each other. */
export function Lightbox() {
  const { items, index, compared, go, close } = useLightbox();
  const doomed = useGallery((state) => state.doomed);
  const [pixels, setPixels] = useState<{ width: number; height: number } | null>(null);
  const picture = items[index];
  if (picture === undefined) return null;
  const turn = (event: KeyboardEvent) => {
    if (compared !== null || (event.target as HTMLElement).closest("[role=slider]") !== null) return;
    if (event.key === "ArrowLeft") go(index - 1);
    else if (event.key === "ArrowRight") go(index + 1);
    else if (event.key === "Delete") askToDelete([picture]);
    else return;
    event.preventDefault();
  };
  const openWorkflow = async (job: string) => {
    await restoreJob({ id: job, name: picture.name });
    close();
  };
  return (
    <Dialog className="lightbox" label={picture.name} onClose={close} onKeyDown={turn}>
      <header>
        <div className="facts">
          <strong>{compared === null ? picture.name : t("data.comparing")}</strong>
          {compared === null && (
            <span className="remedy">
              {pixels !== null && ` ${pixels.width} × ${pixels.height}`} · {sizeText(picture.sizeBytes)}
              {picture.created !== null && ` · ${timeText(picture.created)}`}
            </span>
          )}
        </div>
        {picture.job !== null && compared === null && (
          <button type="button" className="secondary" onClick={() => openWorkflow(picture.job as string)}>
            {t("data.openWorkflow")}
          </button>
        )}
        {compared === null && (
          <>
            <button type="button" className="secondary" onClick={() => askToDelete([picture])}>
              {t("data.delete")}
            </button>
            <a className="secondary" href={api.assetUrl(picture.asset)} download={picture.name}>
              {t("data.download")}
            </a>
          </>
        )}
        <button type="button" className="quiet icon" aria-label={t("data.close")} onClick={close}>
          <Icon name="close" />
        </button>
      </header>
      {compared === null ? (
        <ZoomedPicture key={picture.asset} src={api.assetUrl(picture.asset)} name={picture.name} measured={setPixels} />
      ) : (
        <CompareSlider one={picture} other={compared} />
      )}
      <Pager index={index} count={items.length} go={go} />
      {doomed !== null && <DeleteDialog doomed={doomed} />}
    </Dialog>
  );
}
