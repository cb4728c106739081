/** Says that the workflow, or the sub-graph, has this as an input or output of its own. */
export function DeclaredMark({ label }: { label: string }) {
  return (
    <svg className="card-row-promoted" viewBox="0 0 10 10" role="img" aria-label={label}>
      <title>{label}</title>
      <path d="M1 5 H7 M4.5 2 L8 5 L4.5 8" fill="none" stroke="currentColor" strokeWidth="1.5" />
    </svg>
  );
}
