import "../styles/probe.css";
import { useEffect, useLayoutEffect, useRef } from "react";
import { t } from "../i18n";
import { closeProbe, type Probe, useProbe } from "./probeStore";
import { factsOf } from "./probeTexts";

const MARGIN = 8;
const BESIDE = 14;

/** The last value of a wire, if one is being looked at. */
export function ProbeCard() {
  const probe = useProbe((state) => state.probe);
  return probe === null ? null : <Card probe={probe} />;
}

function Card({ probe }: { probe: Probe }) {
  const card = useRef<HTMLElement>(null);
  const { isPinned } = probe;
  useLayoutEffect(() => {
    const element = card.current;
    if (element === null) return;
    const { width, height } = element.getBoundingClientRect();
    const fits = (at: number, size: number, room: number) => Math.max(MARGIN, Math.min(at, room - size - MARGIN));
    element.style.left = `${fits(probe.x + BESIDE, width, window.innerWidth)}px`;
    element.style.top = `${fits(probe.y + BESIDE, height, window.innerHeight)}px`;
  }, [probe]);
  useEffect(() => {
    if (!isPinned) return;
    const before = document.activeElement;
    const element = card.current;
    element?.focus();
    const outside = (event: Event) => {
      if (!element?.contains(event.target as Node)) closeProbe();
    };
    window.addEventListener("pointerdown", outside, true);
    window.addEventListener("wheel", outside, true);
    return () => {
      window.removeEventListener("pointerdown", outside, true);
      window.removeEventListener("wheel", outside, true);
      if (before instanceof HTMLElement) before.focus({ preventScroll: true });
    };
  }, [isPinned]);
  const name = `${probe.from.node}.${probe.from.output}`;
  return (
    <section
      ref={card}
      className={isPinned ? "probe" : "probe hovering"}
      role={isPinned ? "dialog" : "tooltip"}
      aria-label={t("probe.label", { name })}
      aria-busy={probe.answer === null}
      tabIndex={-1}
      onKeyDown={(event) => {
        if (event.key !== "Escape" && event.key !== "Tab") return;
        event.preventDefault();
        event.stopPropagation();
        closeProbe();
      }}
    >
      <h2>{name}</h2>
      <Answer answer={probe.answer} name={name} />
    </section>
  );
}

function Answer({ answer, name }: { answer: Probe["answer"]; name: string }) {
  if (answer === null) return <p>{t("probe.asking")}</p>;
  if ("trouble" in answer) return <p role="alert">{answer.trouble}</p>;
  if (!answer.known) return <p>{t("probe.unknown")}</p>;
  return (
    <>
      {answer.thumbnail !== "" && (
        <img src={`data:image/jpeg;base64,${answer.thumbnail}`} alt={t("probe.picture", { name })} />
      )}
      {answer.tensors.length === 0 && <p className="probe-text">{answer.text}</p>}
      {answer.tensors.map((tensor) => (
        <div key={tensor.name}>
          {tensor.name !== "" && <h3>{tensor.name}</h3>}
          <dl>
            {factsOf(tensor).map(([fact, text]) => (
              <div key={fact}>
                <dt>{fact}</dt>
                <dd>{text}</dd>
              </div>
            ))}
          </dl>
        </div>
      ))}
    </>
  );
}
