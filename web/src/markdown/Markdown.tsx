import { lazy, Suspense } from "react";
import "../styles/markdown.css";
import "../styles/markdown.css";

export interface MarkdownProps {
  text: string;
  /** A new line in the text is one on the screen too, as people who write notes expect. */
  breaks?: boolean;
  /** Backslashes and underscores stand for themselves, as they do in the docstrings of code. */
  isCode?: boolean;
}

// where it can't be loaded, as while the server is gone, the text is there nevertheless
const Formatted = lazy(() => import("./Formatted").catch(() => ({ default: Plain })));

/** A text with Markdown in it: shown as it was written until what formats it has come. */
export function Markdown(props: MarkdownProps) {
  return (
    <div className="markdown">
      <Suspense fallback={<Plain {...props} />}>
        <Formatted {...props} />
      </Suspense>
    </div>
  );
}

function Plain({ text }: MarkdownProps) {
  return <p className="plain">{text}</p>;
}
