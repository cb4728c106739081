// @vitest-environment jsdom
import { cleanup, fireEvent, screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { ASSET_DRAG } from "./pictures";
import { inputOf, show } from "./testing";

const IMAGE = inputOf("STRING", { required: true, files: "input", widget: { kind: "image" } });
const NAME = "uploads/local/4dcbac55dc50-cat.png";
const CAT = { asset: "4dcb", name: "cat.png", media_type: "image/png", size_bytes: 3, source: "upload", input: NAME };
const file = () => new File(["png"], "cat.png", { type: "image/png" });

const nameOf = (form: FormData | undefined) => (form?.get("file") as File | undefined)?.name;

/** The border to the server: what was sent, and the answer to uploads. */
let sent: FormData[];
let answer: { status: number; body: unknown };
/** The server doesn't answer before this is over. */
let gate: Promise<void>;

class FakeRequest {
  upload: { onprogress?: (event: { lengthComputable: boolean; loaded: number; total: number }) => void } = {};
  onload?: () => void;
  status = 0;
  responseText = "";
  open() {}
  send(form: FormData) {
    sent.push(form);
    this.upload.onprogress?.({ lengthComputable: true, loaded: 1, total: 4 });
    void gate.then(() => {
      this.status = answer.status;
      this.responseText = JSON.stringify(answer.body);
      this.onload?.();
    });
  }
}

beforeAll(async () => {
  show(IMAGE, null); // its code comes on demand, and is there from then on
  await screen.findByRole("group");
  cleanup();
});
beforeEach(() => {
  sent = [];
  gate = Promise.resolve();
  answer = { status: 200, body: CAT };
  vi.stubGlobal("XMLHttpRequest", FakeRequest);
  vi.stubGlobal("fetch", async (address: string) => {
    if (address.includes("/files/")) return new Response(JSON.stringify({ kind: "input", names: [] }));
    if (address.includes("/assets/")) return { ok: true, blob: async () => file() };
    throw new Error(`nobody asked for ${address}`);
  });
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

describe("an image field", () => {
  it("uploads a chosen file, telling how far it is, and names it", async () => {
    let open = () => {};
    gate = new Promise((resolve) => {
      open = resolve;
    });
    const seen = show(IMAGE, null);
    await userEvent.upload(document.querySelector("input[type=file]") as HTMLInputElement, file());
    expect(screen.getByRole<HTMLProgressElement>("progressbar").value).toBe(0.25);
    open();
    await waitFor(() => expect(seen.value).toBe(NAME));
    expect(nameOf(sent[0])).toBe("cat.png");
    expect((await screen.findByRole<HTMLImageElement>("img", { name: "cat.png" })).src).toContain(
      `/files/input/${NAME}?size=256`,
    );
  });

  it("takes a dropped and a pasted picture, and leaves neither to the page", async () => {
    const seen = show(IMAGE, null);
    const group = screen.getByRole("group");
    const left: Event[] = [];
    window.addEventListener("drop", (event) => !event.defaultPrevented && left.push(event));
    fireEvent.drop(group, { dataTransfer: { types: ["Files"], files: [file()], getData: () => "" } });
    await waitFor(() => expect(seen.changes).toHaveLength(1));
    fireEvent.paste(group, { clipboardData: { files: [file()] } });
    await waitFor(() => expect(seen.changes).toHaveLength(2));
    expect(left).toEqual([]);
  });

  it("uploads what a job wrote when it is dragged in, for only uploads have names", async () => {
    const seen = show(IMAGE, null);
    const dragged = JSON.stringify({ asset: "beef", name: "star.png", input: null });
    fireEvent.drop(screen.getByRole("group"), {
      dataTransfer: { types: [ASSET_DRAG], files: [], getData: () => dragged },
    });
    await waitFor(() => expect(seen.value).toBe(NAME));
    expect(nameOf(sent[0])).toBe("star.png");
  });

  it("tells the server's refusal with its remedy", async () => {
    answer = { status: 422, body: { detail: "it is cut off.", code: "bad_picture", remedy: "Save it again." } };
    const seen = show(IMAGE, null);
    await userEvent.upload(document.querySelector("input[type=file]") as HTMLInputElement, file());
    expect((await screen.findByRole("alert")).textContent).toBe("It is cut off. Save it again.");
    expect(seen.changes).toEqual([]);
  });

  it("shows what is no upload by its name, and offers a mask once it is there", async () => {
    show(IMAGE, "inputs/blue square.png");
    const brush = screen.getByRole<HTMLButtonElement>("button", { name: "Paint a mask" });
    const picture = screen.getByRole<HTMLImageElement>("img");
    expect(picture.src).toContain("/api/v1/files/input/inputs/blue%20square.png?size=256");
    expect(brush.disabled).toBe(true);
    fireEvent.load(picture);
    expect(brush.disabled).toBe(false);
  });

  it("says so if there is nothing to show, and offers no mask", () => {
    show(IMAGE, "gone.png");
    fireEvent.error(screen.getByRole("img"));
    screen.getByText(/No preview/);
    expect(screen.getByRole<HTMLButtonElement>("button", { name: "Paint a mask" }).disabled).toBe(true);
  });
});
