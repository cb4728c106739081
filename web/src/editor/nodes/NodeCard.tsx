import { type NodeProps, NodeResizeControl, ResizeControlVariant, useStore } from "@xyflow/react";
import { type CSSProperties, memo } from "react";
import { useShallow } from "zustand/react/shallow";
import { shareOf } from "../../graph/heat";
import { HEADER_HEIGHT, MORE_HEIGHT, NARROWEST, PADDING, rowsOf } from "../../graph/layout";
import { t } from "../../i18n";
import { useEditor } from "../../stores/editorStore";
import { nodeRun, type Problem, useRun } from "../../stores/runStore";
import { enterNode, resize, toggleAdvanced } from "../actions";
import { type CardNode, withoutWidget } from "../flow";
import { costText, useHeat } from "../heatStore";
import { Badge, Progress } from "./Badge";
import { BreakpointMark } from "./BreakpointMark";
import { InputRow } from "./InputRow";
import { OutputRow } from "./OutputRow";
import { Picture } from "./Picture";
import { Socket } from "./Socket";
import { Title } from "./Title";

/** Below this zoom only titles can be read, so only titles are drawn. */
export const FAR_ZOOM = 0.35;

const NONE: readonly Problem[] = [];

/** A node of the graph. */
export const NodeCard = memo(function NodeCard({ id, data, height, selected }: NodeProps<CardNode>) {
  const far = useStore((state) => state.transform[2] < FAR_ZOOM);
  const state = useRun((run) => nodeRun(run, data.tab, data.fullId)?.state);
  const problems = useRun(
    useShallow((run) => run.problems[data.tab]?.filter((problem) => problem.node === data.fullId) ?? NONE),
  );
  const wrong = data.shape.missing || problems.some((problem) => !problem.warning);
  const heat = useHeat(({ kind, heat }) => (kind === null ? null : shareOf(heat, id)));
  const look = data.look;
  const classes = ["card", data.node.mode ?? "normal", state ?? "", wrong ? "wrong" : ""];
  if (look.collapsed) classes.push("collapsed");
  if (far) classes.push("far");
  if (heat !== null) classes.push("heated");
  const style = {
    ...(look.color !== undefined && { "--tint": look.color }),
    ...(heat !== null && { "--heat": heat.toFixed(3) }),
  } as CSSProperties;
  if (far)
    return <FarCard id={id} data={data} className={classes.join(" ")} style={{ ...style, height: height ?? 0 }} />;

  return (
    <div className={classes.join(" ")} style={style}>
      {selected && (
        <NodeResizeControl
          position="right"
          variant={ResizeControlVariant.Line}
          minWidth={NARROWEST}
          onResize={(_event, { width }) => resize(id, width)}
          onResizeEnd={() => useEditor.getState().endGesture()}
        />
      )}
      <header className="card-head" style={{ height: HEADER_HEIGHT }}>
        {look.breakpoint && <BreakpointMark id={id} />}
        <Title id={id} node={data.node} name={data.name} />
        {data.node.mode === "muted" && <span className="card-mode">{t("editor.muted")}</span>}
        {data.node.mode === "bypassed" && <span className="card-mode">{t("editor.bypassed")}</span>}
        {data.shape.subgraph !== null && <EnterButton id={id} name={data.shape.subgraph} />}
        <HeatNumber id={id} />
        <Badge tab={data.tab} node={data.fullId} />
      </header>
      <Progress tab={data.tab} node={data.fullId} />
      {look.collapsed ? <FoldedSockets id={id} data={data} /> : <Body id={id} data={data} problems={problems} />}
    </div>
  );
});

interface PartProps {
  id: string;
  data: CardNode["data"];
}

function Body({ id, data, problems }: PartProps & { problems: readonly Problem[] }) {
  const { shape, shown, node } = data;
  const wrong = new Set(problems.map((problem) => problem.input));
  const inputs = shape.inputs.filter((input) => shown.inputs.includes(input) || wrong.has(input.name));
  return (
    <div className="card-body" style={{ paddingBottom: PADDING }}>
      {shape.outputs.map((output) => (
        <OutputRow key={output.name} node={id} output={output} linked={data.linked.has(output.name)} />
      ))}
      {inputs.map((input) => (
        <InputRow
          key={input.name}
          node={id}
          data={data}
          input={input}
          problem={problems.find((problem) => problem.input === input.name)}
        />
      ))}
      {shown.advanced > 0 && <MoreButton id={id} data={data} />}
      {shape.missing && <p className="card-unknown">{t("editor.unknownKind", { kind: node.type })}</p>}
      <Failure data={data} problems={problems} />
      <Picture tab={data.tab} node={data.fullId} title={data.name} />
    </div>
  );
}

/** Opens and closes what only few need. */
function MoreButton({ id, data }: PartProps) {
  const open = data.look.advanced === true;
  const label = open ? t("editor.lessInputs") : t("editor.moreInputs", { count: data.shown.advanced });
  return (
    <button
      type="button"
      className="quiet card-more nodrag"
      style={{ height: MORE_HEIGHT }}
      aria-expanded={open}
      aria-label={t("editor.advancedOf", { label, node: data.node.title ?? data.name })}
      onClick={() => toggleAdvanced([id])}
    >
      {label}
    </button>
  );
}

/** What it costs, in figures: the tint is no more than a hint. */
function HeatNumber({ id }: { id: string }) {
  const text = useHeat(({ kind, heat }) => {
    const cost = heat.costs.get(id);
    return kind === null || cost === undefined ? null : costText(kind, cost);
  });
  return text === null ? null : <span className="heat-number">{text}</span>;
}

/** The way into the sub-graph that a node stands for, or that it runs. */
function EnterButton({ id, name }: { id: string; name: string }) {
  const label = t("editor.enterNamed", { name });
  return (
    <button
      type="button"
      className="quiet card-enter nodrag"
      aria-label={label}
      title={label}
      onClick={() => enterNode(id)}
    >
      <svg viewBox="0 0 12 12" fill="none" stroke="currentColor" strokeWidth="1.4" aria-hidden="true">
        <path d="M1.5 1.5h9v9h-9zM4.5 4.5h3v3h-3z" />
      </svg>
    </button>
  );
}

/** What went wrong, in words, with what to do about it. */
function Failure({ data, problems }: { data: CardNode["data"]; problems: readonly Problem[] }) {
  const run = useRun((state) => nodeRun(state, data.tab, data.fullId));
  const inputs = new Set(data.shape.inputs.map((input) => input.name));
  const own = problems.find((problem) => problem.input == null || !inputs.has(problem.input));
  const failed = run?.state === "failed" && run.message !== undefined;
  const message = failed ? run.message : own?.message;
  const remedy = failed ? run.remedy : own?.remedy;
  if (message === undefined || (data.shape.missing && !failed)) return null;
  return (
    <div className="card-error nowheel" role={failed ? "alert" : undefined}>
      {message}
      {remedy !== undefined && <span>{remedy}</span>}
    </div>
  );
}

/** All sockets of a collapsed node, at the middle of its sides. */
function FoldedSockets({ id, data }: PartProps) {
  return (
    <>
      {data.shape.inputs.map((input) => (
        <Socket key={input.name} node={id} name={input.name} side="input" type={input.type} linked={false} y="50%" />
      ))}
      {data.shape.outputs.map((output) => (
        <Socket
          key={output.name}
          node={id}
          name={output.name}
          side="output"
          type={output.type}
          linked={false}
          y="50%"
        />
      ))}
    </>
  );
}

/** From far away: its title, large. */
function FarCard({ id, data, className, style }: PartProps & { className: string; style: CSSProperties }) {
  return (
    <div className={className} style={style}>
      <div className="far-title">{data.node.title ?? data.name}</div>
      <FarEnds id={id} data={data} />
    </div>
  );
}

/** Where links end. React Flow looks for what is so marked whenever it draws a node anew, else links have no ends. */
function FarEnds({ id, data: { shown, look, node } }: PartProps) {
  return rowsOf(shown, look, withoutWidget(id, node, look)).map(({ side, name, socketY }) => (
    <i
      key={`${side}:${name}`}
      className={side === "input" ? "far-end target" : "far-end source"}
      data-handleid={name}
      data-handlepos={side === "input" ? "left" : "right"}
      style={{ top: socketY }}
    />
  ));
}
