import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { t } from "../i18n";
import { useUi } from "../stores/uiStore";
import type { Columns } from "./series";

const HEIGHT = 240;
/** Of lines of one colour. */
export const DASHES = [[], [6, 4], [2, 3], [8, 3, 2, 3]];

interface Props {
  metric: string;
  labels: readonly string[];
  colors: readonly string[];
  /** Which of the dashes each line has. */
  dashes: readonly number[];
  columns: Columns;
  logarithmic: boolean;
  /** Told the step under the pointer, or that it is over none. */
  pointAt(step: number | undefined): void;
}

/** Lines of one metric by step, one for each run. */
export function Chart({ metric, labels, colors, dashes, columns, logarithmic, pointAt }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const names = labels.map((label, place) => `${dashes[place]} ${label}`).join("\n");
  // biome-ignore lint/correctness/useExhaustiveDependencies: data and size come by the effects below
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    // asked whenever it is drawn: colours change with the page's
    const color = () => getComputedStyle(element).color;
    const line = () => getComputedStyle(element).borderColor;
    const axis = { stroke: color, grid: { stroke: line, width: 1 }, ticks: { show: false } };
    plot.current = new uPlot(
      {
        width: element.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { y: false },
        scales: { x: { time: false }, y: { distr: logarithmic ? 3 : 1 } },
        axes: [
          { ...axis, size: 26, label: t("plots.step"), labelSize: 18, labelFont: "12px sans-serif", labelGap: 0 },
          { ...axis, size: 52 },
        ],
        hooks: {
          setCursor: [(self) => pointAt(self.cursor.idx == null ? undefined : self.data[0][self.cursor.idx])],
        },
        series: [
          {},
          ...names.split("\n").map((label, place) => ({
            label,
            stroke: colors[place % colors.length] ?? "gray",
            width: 1.8,
            dash: DASHES[(dashes[place] ?? 0) % DASHES.length] ?? [],
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
  const theme = useUi((state) => state.theme);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another theme is a reason to draw
  useEffect(() => {
    const draw = () => plot.current?.redraw(false);
    requestAnimationFrame(draw); // when the page has the theme's colours
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", draw);
    return () => scheme.removeEventListener("change", draw);
  }, [theme]);
  useEffect(() => plot.current?.setData(columns as uPlot.AlignedData), [columns]);
  return <div ref={place} className="chart" role="img" aria-label={t("plots.chart", { metric })} />;
}
