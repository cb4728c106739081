import { t } from "../i18n";
import { Icon } from "../run/icons";

interface PagerProps {
  index: number;
  count: number;
  go(index: number): void;
}

/** Which of several pictures is shown, and the way to the others; nothing for a single one. */
export function Pager({ index, count, go }: PagerProps) {
  if (count < 2) return null;
  return (
    <nav className="pager" aria-label={t("data.pictures")}>
      <button
        type="button"
        className="quiet icon turnleft"
        aria-label={t("data.previous")}
        disabled={index === 0}
        onClick={() => go(index - 1)}
      >
        <Icon name="up" size={16} />
      </button>
      <span>{t("run.picture", { number: index + 1, count })}</span>
      <button
        type="button"
        className="quiet icon turnright"
        aria-label={t("data.next")}
        disabled={index === count - 1}
        onClick={() => go(index + 1)}
      >
        <Icon name="up" size={16} />
      </button>
    </nav>
  );
}
