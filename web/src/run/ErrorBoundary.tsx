import { Component, type ReactNode } from "react";
import { t } from "../i18n";

/** Keeps the rest of the page alive when a part of it fails. */
export class ErrorBoundary extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state: { error: Error | null } = { error: null };

  static getDerivedStateFromError(error: Error): { error: Error } {
    return { error };
  }

  override render(): ReactNode {
    if (this.state.error === null) return this.props.children;
    return (
      <div className="hint" role="alert">
        <p>{t("data.failed")}</p>
        <p className="remedy">{this.state.error.message}</p>
        <button type="button" className="secondary" onClick={() => this.setState({ error: null })}>
          {t("data.tryAgain")}
        </button>
      </div>
    );
  }
}
