// @vitest-environment jsdom
import { cleanup, fireEvent, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, describe, expect, it } from "vitest";
import { inputOf, show } from "./testing";

afterEach(cleanup);

const STEPS = inputOf("INT", { default: 20, minimum: 1, maximum: 10000 });
const field = () => screen.getByRole<HTMLInputElement>("spinbutton", { name: "Field" });

describe("a number field", () => {
  it("takes what is typed, at Enter", async () => {
    const seen = show(STEPS, 20);
    await userEvent.type(field(), "30{Enter}", { initialSelectionStart: 0, initialSelectionEnd: 2 });
    expect(seen.changes).toEqual([{ value: 30, gesture: false }]);
  });

  it("refuses what is out of range, in words, and keeps the value", async () => {
    const seen = show(STEPS, 20);
    await userEvent.clear(field());
    await userEvent.type(field(), "0{Enter}");
    expect(seen.changes).toEqual([]);
    expect(screen.getByRole("alert").textContent).toBe("0 is too small. Choose a value from 1 to 10000. It stays 20.");
    expect(field().getAttribute("aria-invalid")).toBe("true");
    expect(field().value).toBe("20");
  });

  it("brings back the value at Escape, and tells nobody else", async () => {
    const seen = show(STEPS, 20);
    const heard: string[] = [];
    window.addEventListener("keydown", (event) => heard.push(event.key));
    await userEvent.type(field(), "99{Escape}");
    expect(field().value).toBe("20");
    expect(seen.changes).toEqual([]);
    expect(heard).toEqual(["9", "9"]);
  });

  it("steps with the arrow keys, as one gesture for each press", async () => {
    const seen = show(inputOf("INT", { default: 64, minimum: 32, maximum: 128, multiple_of: 8 }), 64);
    await userEvent.type(field(), "{ArrowUp}{ArrowUp}{PageDown}");
    expect(seen.changes.map(({ value }) => value)).toEqual([72, 80, 32]);
    expect(seen.changes.every(({ gesture }) => gesture)).toBe(true);
    expect(seen.ended).toBe(3);
  });

  it("is dragged as one gesture, finely with shift, and Escape takes it back", () => {
    const seen = show(STEPS, 20);
    const box = field().parentElement as HTMLElement;
    fireEvent.pointerDown(box, { clientX: 100, button: 0 });
    fireEvent.pointerMove(box, { clientX: 101 });
    expect(seen.changes).toEqual([]);
    fireEvent.pointerMove(box, { clientX: 140 });
    expect(seen.value).toBe(31);
    fireEvent.pointerUp(box);
    expect(seen.ended).toBe(1);

    fireEvent.pointerDown(box, { clientX: 100, button: 0, shiftKey: true });
    fireEvent.pointerMove(box, { clientX: 140, shiftKey: true });
    expect(seen.value).toBe(32);
    fireEvent.keyDown(field(), { key: "Escape" });
    expect(seen.value).toBe(31);
    expect(seen.ended).toBe(2);
  });

  it("may be emptied where nothing need be set", async () => {
    const seen = show(inputOf("INT", { minimum: 1 }), 5);
    await userEvent.clear(field());
    await userEvent.tab();
    expect(seen.value).toBeNull();
    expect(field().placeholder).toBe("not set");
  });

  it("can't be changed when disabled", () => {
    const seen = show(STEPS, 20, true);
    const box = field().parentElement as HTMLElement;
    fireEvent.pointerDown(box, { clientX: 100, button: 0 });
    fireEvent.pointerMove(box, { clientX: 200 });
    expect(seen.changes).toEqual([]);
    expect(field().disabled).toBe(true);
  });
});
