/** Small line drawings for buttons; the buttons have the names. */
const PATHS = {
  library: "M4 5h5v14H4zM9 5h5v14H9zM15.5 6l4 12.6-2.4.8-3-13",
  form: "M4 6h7M4 12h16M4 18h11M15 4v4M8 10v4M18 16v4",
  outline: "M4 6h2M9 6h11M7 12h2M12 12h8M7 18h2M12 18h8",
  node: "M12 17v.01M9.5 9a2.5 2.5 0 1 1 3.4 2.3c-.6.3-.9.8-.9 1.4v.8M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18",
  gallery: "M4 5h16v14H4zM4 16l5-5 4 4 2.5-2.5L20 17M15.5 9v.01",
  queue: "M4 6h16M4 12h16M4 18h9",
  history: "M4 12a8 8 0 1 0 2.6-5.9L4 8.5M4 4v4.5h4.5M12 8v4.5l3 1.8",
  plots: "M4 4v16h16M7 15l3.5-5 3 3L19 6",
  more: "M6 9.5l6 6 6-6",
  close: "M6 6l12 12M18 6L6 18",
  enlarge: "M9 4H4v5M15 20h5v-5M4 4l6 6M20 20l-6-6",
  hide: "M5 19h14",
  up: "M6 14.5l6-6 6 6",
  down: "M6 9.5l6 6 6-6",
  pause: "M8 5v14M16 5v14",
  play: "M7 5l12 7-12 7z",
  download: "M12 4v11M7 10.5l5 5 5-5M5 20h14",
  restore: "M4 5v6h6M4.6 11A8 8 0 1 1 6 17",
  compare: "M12 3v18M4 6h5v12H4M15 6h5v12h-5",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  log: "M6 3h9l4 4v14H6zM9 11h7M9 15h7",
  drag: "M9 6v.01M15 6v.01M9 12v.01M15 12v.01M9 18v.01M15 18v.01",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth={name === "drag" ? 2.6 : 1.7}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
