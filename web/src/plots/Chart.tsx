import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { t } from "../i18n";
import type { Columns } from "./series";

const HEIGHT = 240;
const DASHES = [[], [6, 4], [2, 3], [8, 3, 2, 3]];

interface Props {
  metric: string;
  labels: readonly string[];
  colors: readonly string[];
  columns: Columns;
  logarithmic: boolean;
}

/** Lines of one metric by step, one for each run. */
export function Chart({ metric, labels, colors, columns, logarithmic }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const names = labels.join("\n");
  // biome-ignore lint/correctness/useExhaustiveDependencies: data and size come by the effects below
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const style = getComputedStyle(element);
    const axis = { stroke: style.color, grid: { stroke: style.borderColor, width: 1 }, ticks: { show: false } };
    plot.current = new uPlot(
      {
        width: element.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { y: false },
        scales: { x: { time: false }, y: { distr: logarithmic ? 3 : 1 } },
        axes: [axis, { ...axis, size: 52 }],
        series: [
          {},
          ...names.split("\n").map((label, place) => ({
            label,
            stroke: colors[place % colors.length] ?? style.color,
            width: 1.8,
            dash: DASHES[Math.floor(place / colors.length) % DASHES.length] ?? [],
            spanGaps: true,
            points: { show: false },
          })),
        ],
      },
      columns as uPlot.AlignedData,
      element,
    );
    const observer = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [names, logarithmic]);
  useEffect(() => plot.current?.setData(columns as uPlot.AlignedData), [columns]);
  return <div ref={place} className="chart" role="img" aria-label={t("plots.chart", { metric })} />;
}
