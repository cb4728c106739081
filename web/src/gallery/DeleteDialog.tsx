import { useState } from "react";
import { Dialog } from "../app/Dialog";
import { t } from "../i18n";
import { deletePictures, useGallery } from "./galleryStore";
import type { LargePicture } from "./lightboxStore";

/** Asks before pictures are deleted: they can't be brought back. */
export function DeleteDialog({ doomed }: { doomed: readonly LargePicture[] }) {
  const [busy, setBusy] = useState(false);
  const close = () => useGallery.setState({ doomed: null });
  const title =
    doomed.length === 1
      ? t("data.deleteOne", { name: doomed[0]?.name ?? "" })
      : t("data.deleteMany", { count: doomed.length });
  const remove = async () => {
    setBusy(true);
    await deletePictures(doomed);
    close();
  };
  return (
    <Dialog className="sheet" label={title} onClose={close}>
      <div className="body">
        <h2>{title}</h2>
        <p>{t("data.deleteForGood")}</p>
        <div className="buttons">
          <button type="button" className="secondary" data-autofocus onClick={close}>
            {t("data.cancel")}
          </button>
          <button type="button" className="primary danger" disabled={busy} onClick={remove}>
            {t("data.delete")}
          </button>
        </div>
      </div>
    </Dialog>
  );
}
