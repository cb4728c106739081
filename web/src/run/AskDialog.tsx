import { type FormEvent, useState } from "react";
import { Dialog } from "../app/Dialog";
import { t } from "../i18n";
import { useAsk } from "./askStore";

/** Asks for a workflow's name. */
export function AskDialog() {
  const question = useAsk((state) => state.question);
  const answer = useAsk((state) => state.answer);
  const [name, setName] = useState(question?.value ?? "");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    answer(name.trim() === "" ? null : name.trim());
  };
  return (
    <Dialog className="sheet" label={question?.title ?? ""} hasEntries onClose={() => answer(null)}>
      <form onSubmit={submit}>
        <h2>{question?.title}</h2>
        <label>
          {t("data.name")}
          <input
            className="field"
            data-autofocus
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
    </Dialog>
  );
}
