import { useEffect } from "react";
import { t } from "../i18n";
import { type Notice, useUi } from "../stores/uiStore";

const SHOWN_MS = 6000;

/** What just happened, and what to do about it; errors stay until they are dismissed. */
export function Notices() {
  const notices = useUi((state) => state.notices);
  return (
    <section className="notices" aria-label={t("app.notices")}>
      {notices.map((notice) => (
        <NoticeCard key={notice.id} notice={notice} />
      ))}
    </section>
  );
}

function NoticeCard({ notice }: { notice: Notice }) {
  const dismiss = useUi((state) => state.dismiss);
  useEffect(() => {
    if (notice.kind === "error") return;
    const timer = setTimeout(() => dismiss(notice.id), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [notice, dismiss]);
  return (
    <div className={`notice ${notice.kind}`} role={notice.kind === "error" ? "alert" : "status"}>
      <div>
        <p>{notice.text}</p>
        {notice.remedy !== undefined && <p className="remedy">{notice.remedy}</p>}
      </div>
      {notice.action !== undefined && (
        <button type="button" className="secondary" onClick={notice.action.run}>
          {notice.action.label}
        </button>
      )}
      <button type="button" className="quiet" aria-label={t("app.dismiss")} onClick={() => dismiss(notice.id)}>
        ×
      </button>
    </div>
  );
}
