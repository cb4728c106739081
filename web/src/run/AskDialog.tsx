import { type FormEvent, useEffect, useRef, useState } from "react";
import { t } from "../i18n";
import { useAsk } from "./askStore";

/** Asks for a workflow's name. */
export function AskDialog() {
  const question = useAsk((state) => state.question);
  const answer = useAsk((state) => state.answer);
  const dialog = useRef<HTMLDialogElement>(null);
  const [name, setName] = useState(question?.value ?? "");
  useEffect(() => dialog.current?.showModal(), []);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    answer(name.trim() === "" ? null : name.trim());
  };
  return (
    <dialog ref={dialog} className="sheet" aria-labelledby="ask-title" onClose={() => answer(null)}>
      <form onSubmit={submit}>
        <h2 id="ask-title">{question?.title}</h2>
        <label>
          {t("data.name")}
          <input
            className="field"
            required
            maxLength={200}
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
        </label>
        <div className="buttons">
          <button type="button" className="secondary" onClick={() => answer(null)}>
            {t("data.cancel")}
          </button>
          <button type="submit" className="primary">
            {t("data.confirm")}
          </button>
        </div>
      </form>
    </dialog>
  );
}
