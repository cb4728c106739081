import { Command } from "cmdk";
import { useDeferredValue, useState } from "react";
import { searchGraph } from "../../graph/search";
import { t } from "../../i18n";
import { activeGraph, useEditor } from "../../stores/editorStore";
import { goToNode } from "../view";
import { Sheet } from "./Sheet";

const SHOWN = 60;

/** Find nodes, notes and frames of the graph by id, title, kind and value; goes to the one that is chosen. */
export function SearchDialog({ onClose }: { onClose(): void }) {
  const graph = useEditor(activeGraph);
  const [query, setQuery] = useState("");
  const deferred = useDeferredValue(query);
  const hits = graph === null ? [] : searchGraph(graph, deferred).slice(0, SHOWN);
  const go = (id: string) => {
    onClose();
    setTimeout(() => goToNode(id));
  };
  return (
    <Sheet label={t("editor.search")} onClose={onClose}>
      <Command label={t("editor.search")} shouldFilter={false} loop vimBindings={false}>
        <Command.Input value={query} onValueChange={setQuery} placeholder={t("editor.searchHint")} />
        <Command.List label={t("editor.search")}>
          <Command.Empty>{t("editor.nothingFound")}</Command.Empty>
          {hits.map((hit, place) => (
            <Command.Item key={`${hit.node} ${hit.field}`} value={`${place} ${hit.node}`} onSelect={() => go(hit.node)}>
              <strong>{hit.title}</strong>
              <span>{hit.text}</span>
            </Command.Item>
          ))}
        </Command.List>
      </Command>
    </Sheet>
  );
}
