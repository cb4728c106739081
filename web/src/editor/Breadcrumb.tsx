import { nameOf } from "../app/Tabs";
import { t } from "../i18n";
import { type Tab, useEditor } from "../stores/editorStore";
import { editSubgraphs } from "./actions";

/** The way back out of sub-graphs. */
export function Breadcrumb({ tab }: { tab: Tab }) {
  if (tab.path.length === 0) return null;
  const leave = (times: number) => {
    for (let time = 0; time < times; time += 1) useEditor.getState().leave();
  };
  const names = [nameOf(tab), ...tab.path.map((entered) => entered.subgraph)];
  return (
    <nav className="breadcrumb" aria-label={t("editor.breadcrumb")}>
      <ol>
        {names.map((name, depth) => (
          <li key={[depth, name].join()}>
            {depth === names.length - 1 ? (
              <button
                type="button"
                className="quiet"
                aria-current="page"
                title={t("editor.renameSubgraph")}
                onClick={() => editSubgraphs((edits) => edits.renameSubgraph(name))}
              >
                {name}
              </button>
            ) : (
              <button type="button" className="quiet" onClick={() => leave(names.length - 1 - depth)}>
                {name}
              </button>
            )}
          </li>
        ))}
      </ol>
    </nav>
  );
}
