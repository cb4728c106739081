import { describe, expect, it } from "vitest";
import { socketColor, socketShape } from "./socketLooks";

describe("socketShape", () => {
  it.each([
    ["IMAGE", "circle"],
    ["[IMAGE]", "square"],
    ["[INT]", "square"],
    ["INT", "diamond"],
    ["STRING", "diamond"],
  ])("of %s is a %s", (type, shape) => {
    expect(socketShape(type)).toBe(shape);
  });
});

describe("socketColor", () => {
  it("differs for the types that most graphs are made of", () => {
    const types = [
      "MODEL",
      "CLIP",
      "VAE",
      "IMAGE",
      "LATENT",
      "MASK",
      "CONDITIONING",
      "INT",
      "FLOAT",
      "STRING",
      "BOOLEAN",
    ];
    expect(new Set(types.map(socketColor)).size).toBe(types.length);
  });

  it("is that of the items for a list", () => {
    expect(socketColor("[IMAGE]")).toBe(socketColor("IMAGE"));
  });

  it.each(["*", "$T", "[$T]", "MODEL|VAE"])("is neutral for %s", (type) => {
    expect(socketColor(type)).toBe("var(--socket-any)");
  });
});
