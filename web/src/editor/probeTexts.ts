/** What is told of a value, as names and texts. */
import type { Probed } from "../api/routes";
import { t } from "../i18n";

type Tensor = Probed["tensors"][number];

/** Give the facts of one tensor, in the order in which they are shown. */
export function factsOf(tensor: Tensor): readonly (readonly [string, string])[] {
  const facts: [string, string][] = [
    [t("probe.shape"), tensor.shape.length === 0 ? t("probe.scalar") : tensor.shape.join(" × ")],
    [t("probe.dtype"), tensor.dtype],
    [t("probe.device"), tensor.device],
  ];
  for (const name of ["minimum", "mean", "maximum"] as const) {
    const number = tensor[name];
    if (number != null) facts.push([t(`probe.fact_${name}`), numberText(number)]);
  }
  if (tensor.not_finite > 0) facts.push([t("probe.notFinite"), String(tensor.not_finite)]);
  return facts;
}

/** Four digits, and none that say nothing. */
export function numberText(number: number): string {
  return String(Number(number.toPrecision(4)));
}
