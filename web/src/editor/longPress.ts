/** Menus by a long press, for browsers that send nothing for it, as on iOS: what a right click would send. */

/** Longer than browsers wait that do it themselves. */
const LONG_MS = 650;
const STILL = 8;

/** Listen to long presses by touch within an element, until the returned function is called. */
export function listenToLongPress(element: HTMLElement): () => void {
  let timer = 0;
  let from = { x: 0, y: 0 };
  const end = () => window.clearTimeout(timer);
  const begin = (event: PointerEvent) => {
    end();
    const { target, clientX, clientY } = event;
    if (event.pointerType !== "touch" || !event.isPrimary || target === null) return;
    from = { x: clientX, y: clientY };
    timer = window.setTimeout(() => {
      keepFromClicking();
      target.dispatchEvent(new MouseEvent("contextmenu", { bubbles: true, cancelable: true, clientX, clientY }));
    }, LONG_MS);
  };
  const move = (event: PointerEvent) => {
    if (Math.hypot(event.clientX - from.x, event.clientY - from.y) > STILL) end();
  };
  const listening = new AbortController();
  const early = { capture: true, signal: listening.signal };
  element.addEventListener("pointerdown", begin, early);
  element.addEventListener("pointermove", move, early);
  for (const ending of ["pointerup", "pointercancel", "contextmenu"]) element.addEventListener(ending, end, early);
  return () => {
    end();
    listening.abort();
  };
}

/** Lifting the finger is no click on what the menu has put below it. */
function keepFromClicking(): void {
  const listening = new AbortController();
  const early = { capture: true, signal: listening.signal };
  const swallow = (event: Event) => {
    event.preventDefault();
    event.stopPropagation();
    listening.abort();
  };
  window.addEventListener("click", swallow, early);
  window.addEventListener("pointerdown", () => listening.abort(), early);
}
