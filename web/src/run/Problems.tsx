import { useEffect, useRef } from "react";
import { t } from "../i18n";
import { type Problem, useRun } from "../stores/runStore";
import { useData } from "./dataStore";
import { jumpTo } from "./jump";

const NONE: readonly Problem[] = [];

/** How many problems the workflow has, and on request which: each leads to its node. */
export function Problems({ tab }: { tab: string }) {
  const problems = useRun((state) => state.problems[tab] ?? NONE);
  const shown = useData((state) => state.problemsShown);
  const set = useData((state) => state.set);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!shown) return;
    const outside = (event: Event) => {
      if (!box.current?.contains(event.target as Node)) set({ problemsShown: false });
    };
    const onKey = (event: KeyboardEvent) => {
      if (event.key === "Escape") set({ problemsShown: false });
    };
    window.addEventListener("pointerdown", outside);
    window.addEventListener("keydown", onKey);
    return () => {
      window.removeEventListener("pointerdown", outside);
      window.removeEventListener("keydown", onKey);
    };
  }, [shown, set]);
  if (problems.length === 0) return null;
  const errors = problems.filter((problem) => !problem.warning).length;
  return (
    <div ref={box} className="problems">
      <button
        type="button"
        className={errors > 0 ? "pill bad" : "pill warn"}
        aria-expanded={shown}
        onClick={() => set({ problemsShown: !shown })}
      >
        {errors > 0 ? countText(errors) : t("run.warnings", { count: problems.length })}
      </button>
      {shown && (
        <ul className="popover" aria-label={t("run.problems")}>
          {problems.map((problem, place) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: the list is replaced as a whole
            <ProblemItem key={place} problem={problem} />
          ))}
        </ul>
      )}
    </div>
  );
}

function countText(count: number): string {
  return count === 1 ? t("run.oneProblem") : t("run.someProblems", { count });
}

function ProblemItem({ problem }: { problem: Problem }) {
  const where = [problem.node, problem.input].filter(Boolean).join(" · ");
  return (
    <li className={problem.warning ? "warn" : "bad"}>
      {problem.node ? (
        <button
          type="button"
          className="link"
          onClick={() => {
            useData.getState().set({ problemsShown: false });
            jumpTo(problem.node as string);
          }}
        >
          {where}
        </button>
      ) : (
        where !== "" && <strong>{where}</strong>
      )}
      <p>{problem.message}</p>
      {problem.remedy && <p className="remedy">{problem.remedy}</p>}
    </li>
  );
}
