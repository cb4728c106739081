import { t } from "../../i18n";
import { activeTab, useEditor } from "../../stores/editorStore";
import {
  addFrame,
  addNoteHere,
  editSubgraphs,
  enterSelected,
  hasUnused,
  isSubgraphNode,
  leaveSubgraph,
  meantOutput,
  meantSubgraph,
  selectedCards,
  selection,
  showMeantValue,
} from "../actions";
import type { Command } from "../commands";
import { openAddPalette, openConnectPalette } from "../palette";

const oneSubgraph = () => {
  const [only, ...more] = selectedCards();
  return only !== undefined && more.length === 0 && isSubgraphNode(only);
};

export const graphCommands: readonly Command[] = [
  { id: "graph.addNode", label: t("editor.addNode"), section: "graph", keys: ["/"], run: () => openAddPalette() },
  {
    id: "graph.connect",
    label: t("editor.connectNode"),
    section: "graph",
    keys: ["l"],
    enabled: () => selectedCards().length === 1,
    run: openConnectPalette,
  },
  {
    id: "graph.showValue",
    label: t("probe.show"),
    section: "graph",
    keys: ["v"],
    enabled: () => meantOutput() !== null,
    run: showMeantValue,
  },
  { id: "graph.addNote", label: t("editor.addNote"), section: "graph", keys: ["n"], run: addNoteHere },
  {
    id: "graph.frame",
    label: t("editor.frameSelection"),
    section: "graph",
    keys: ["f"],
    enabled: () => selection().length > 0,
    run: addFrame,
  },
  {
    id: "graph.makeSubgraph",
    label: t("editor.makeSubgraph"),
    section: "graph",
    keys: ["$mod+g"],
    enabled: () => selectedCards().length > 0,
    run: () => editSubgraphs((edits) => edits.makeSubgraphOfSelection()),
  },
  {
    id: "graph.unpack",
    label: t("editor.unpack"),
    section: "graph",
    keys: ["$mod+Shift+g"],
    enabled: oneSubgraph,
    run: () => editSubgraphs((edits) => edits.unpackSelected()),
  },
  { id: "graph.enter", label: t("editor.enter"), section: "graph", enabled: oneSubgraph, run: enterSelected },
  {
    id: "graph.renameSubgraph",
    label: t("editor.renameSubgraph"),
    section: "graph",
    enabled: () => meantSubgraph() !== null,
    run: () => {
      const name = meantSubgraph();
      if (name !== null) editSubgraphs((edits) => edits.renameSubgraph(name));
    },
  },
  {
    id: "graph.deleteUnused",
    label: t("editor.deleteUnused"),
    section: "graph",
    enabled: hasUnused,
    run: () => editSubgraphs((edits) => edits.deleteUnused()),
  },
  {
    id: "graph.leave",
    label: t("editor.leave"),
    section: "graph",
    keys: ["u"],
    enabled: () => (activeTab(useEditor.getState())?.path.length ?? 0) > 0,
    run: leaveSubgraph,
  },
];
