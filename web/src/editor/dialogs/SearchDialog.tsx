import { Command } from "cmdk";
import { useDeferredValue, useState } from "react";
import { Dialog } from "../../app/Dialog";
import { searchGraph } from "../../graph/search";
import { t } from "../../i18n";
import { activeGraph, useEditor } from "../../stores/editorStore";
import { goToNode } from "../view";
import { useQuery } from "./typedAhead";

const SHOWN = 60;

/** Find nodes, notes and frames of the graph by id, title, kind and value; goes to the one that is chosen. */
export function SearchDialog({ onClose }: { onClose(): void }) {
  const graph = useEditor(activeGraph);
  const [query, setQuery] = useQuery();
  const deferred = useDeferredValue(query);
  const [chosen, setChosen] = useState("");
  const hits = graph === null ? [] : searchGraph(graph, deferred).slice(0, SHOWN);
  const values = hits.map((hit) => `${hit.node} ${hit.field}`);
  // what was chosen may have left the list while it was typed on
  const value = values.includes(chosen) ? chosen : (values[0] ?? "");
  const go = (id: string) => {
    onClose();
    setTimeout(() => goToNode(id));
  };
  return (
    <Dialog className="palette" label={t("editor.search")} onClose={onClose}>
      <Command
        label={t("editor.search")}
        shouldFilter={false}
        loop
        vimBindings={false}
        value={value}
        onValueChange={setChosen}
      >
        <Command.Input value={query} onValueChange={setQuery} placeholder={t("editor.searchHint")} />
        <Command.Empty>{t("editor.nothingFound")}</Command.Empty>
        <Command.List label={t("editor.search")}>
          {hits.map((hit, place) => (
            <Command.Item key={values[place]} value={values[place] ?? ""} onSelect={() => go(hit.node)}>
              <strong>{hit.title}</strong>
              <span>{hit.text}</span>
            </Command.Item>
          ))}
        </Command.List>
      </Command>
    </Dialog>
  );
}
