import { Component, type ReactNode } from "react";
import { t } from "../i18n";
import { PartMissing, reloadPage } from "./lazily";

interface ErrorBoundaryProps {
  children: ReactNode;
  /** Takes the error and puts away what failed; nothing is shown in its place then. */
  onError?(error: Error): void;
}

/** Keeps the rest of the page alive when a part of it fails. */
export class ErrorBoundary extends Component<ErrorBoundaryProps, { error: Error | null }> {
  override state: { error: Error | null } = { error: null };

  static getDerivedStateFromError(error: Error): { error: Error } {
    return { error };
  }

  override componentDidCatch(error: Error): void {
    if (this.props.onError === undefined) return;
    this.props.onError(error);
    this.setState({ error: null });
  }

  override render(): ReactNode {
    if (this.state.error === null) return this.props.children;
    if (this.props.onError !== undefined) return null;
    return (
      <div className="hint failed" role="alert">
        <p>{t("data.failed")}</p>
        <p className="remedy">{this.state.error.message}</p>
        {this.state.error instanceof PartMissing ? (
          <button type="button" className="secondary" onClick={reloadPage}>
            {t("state.reload")}
          </button>
        ) : (
          <button type="button" className="secondary" onClick={() => this.setState({ error: null })}>
            {t("data.tryAgain")}
          </button>
        )}
      </div>
    );
  }
}
