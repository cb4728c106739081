import { type FormEvent, useState } from "react";
import { ApiError } from "../api/client";
import { Dialog } from "../app/Dialog";
import { t } from "../i18n";
import { logIn } from "./session";

/** Asks for the token that the server wants. */
export function LogIn() {
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState("");
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    try {
      await logIn(token.trim());
    } catch (error) {
      setProblem(error instanceof ApiError ? `${error.message}\n${error.remedy}` : String(error));
    }
  };
  return (
    <Dialog className="sheet login" label={t("state.tokenTitle")} hasEntries onClose={() => {}}>
      <form onSubmit={submit}>
        <h2>{t("state.tokenTitle")}</h2>
        <p className="remedy">{t("state.tokenText")}</p>
        <label>
          {t("state.token")}
          <input
            className="field"
            data-autofocus
            type="password"
            autoComplete="current-password"
            required
            value={token}
            aria-invalid={problem !== ""}
            aria-describedby="login-problem"
            onChange={(event) => setToken(event.target.value)}
          />
        </label>
        <p id="login-problem" className="bad lines" role="alert">
          {problem}
        </p>
        <button type="submit" className="primary">
          {t("state.logIn")}
        </button>
      </form>
    </Dialog>
  );
}
