import type { ReactNode } from "react";

const PATHS: Record<string, ReactNode> = {
  dice: (
    <>
      <rect x="2.5" y="2.5" width="11" height="11" rx="2.5" />
      <g className="dots">
        <circle cx="5.6" cy="5.6" r="0.6" />
        <circle cx="8" cy="8" r="0.6" />
        <circle cx="10.4" cy="10.4" r="0.6" />
      </g>
    </>
  ),
  fixed: (
    <>
      <rect x="3.5" y="7" width="9" height="6.5" rx="1.5" />
      <path d="M5.5 7 V5 a2.5 2.5 0 0 1 5 0 V7" />
    </>
  ),
  random: (
    <path d="M2 4.5 h2.5 L11 11.5 H14 M12 9.5 l2 2 -2 2 M2 11.5 h2.5 L6 9.9 M9 6.2 L10.6 4.5 H14 M12 2.5 l2 2 -2 2" />
  ),
  increment: <path d="M8 13 V3.5 M4 7.5 L8 3.5 L12 7.5" />,
  decrement: <path d="M8 3 V12.5 M4 8.5 L8 12.5 L12 8.5" />,
  upload: <path d="M8 10.5 V2.5 M4.8 5.7 L8 2.5 L11.2 5.7 M2.5 10.5 v3 h11 v-3" />,
  gallery: (
    <>
      <rect x="2" y="3" width="12" height="10" rx="1.5" />
      <path d="M2.5 11 L6 7.5 L9 10.5 L11 8.8 L13.5 11" />
      <circle cx="10.8" cy="6" r="1" />
    </>
  ),
  brush: (
    <path d="M13.5 2.5 L7.5 8.5 M7.6 8.4 a2.4 2.4 0 0 1 0.2 2.9 C6.6 13 4 13.4 2.5 13 c1-.6 1-1.4 1.2-2.4 a2.4 2.4 0 0 1 3.9-2.2 Z" />
  ),
  eraser: (
    <path d="M6 13.5 L2.5 10 a1 1 0 0 1 0-1.4 L8.6 2.5 a1 1 0 0 1 1.4 0 L13.5 6 a1 1 0 0 1 0 1.4 L7.4 13.5 Z M5.5 5.6 L10.4 10.5 M7 13.5 H13.5" />
  ),
  undo: <path d="M5.5 3 L2.5 6 L5.5 9 M2.5 6 H9.5 a4 3.5 0 0 1 0 7 H6" />,
  redo: <path d="M10.5 3 L13.5 6 L10.5 9 M13.5 6 H6.5 a4 3.5 0 0 0 0 7 H10" />,
  fit: <path d="M2.5 6 V2.5 H6 M10 2.5 H13.5 V6 M13.5 10 V13.5 H10 M6 13.5 H2.5 V10" />,
  plus: <path d="M8 3 V13 M3 8 H13" />,
  minus: <path d="M3 8 H13" />,
  chevron: <path d="M4.5 6.5 L8 10 L11.5 6.5" />,
};

export function Icon({ name }: { name: string }) {
  return (
    <svg className="w-icon" viewBox="0 0 16 16" aria-hidden="true">
      {PATHS[name]}
    </svg>
  );
}
