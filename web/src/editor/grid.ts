/** The grid that things on the canvas snap to. */
import { useCanvas } from "./canvasStore";

export const GRID = 10;

export function snapped(coordinate: number): number {
  return useCanvas.getState().snap ? Math.round(coordinate / GRID) * GRID : Math.round(coordinate);
}
