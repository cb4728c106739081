/** Which asset an input's file name stands for, so that it can be shown. */
import { create } from "zustand";
import { type Asset, listAssets } from "../api/routes";

/** What the gallery puts on a drag: JSON with an asset's `asset` and `name`. */
export const ASSET_DRAG = "application/x-graphengine-asset";

/** Lists are read this far back; older uploads are shown by their name only. */
const PAGES = 10;

interface Pictures {
  /** By input name; null is a file that is no upload of ours. */
  assets: Readonly<Record<string, string | null>>;
  add(asset: Asset): void;
  /** Find out about a name that isn't known yet. */
  find(name: string): Promise<void>;
}

export const usePictures = create<Pictures>()((set, get) => {
  let search: Promise<void> | null = null;

  async function searchAll(): Promise<void> {
    let before: number | undefined;
    for (let page = 0; page < PAGES; page += 1) {
      const { assets, next } = await listAssets(before);
      const found = assets.flatMap((asset) => (asset.input == null ? [] : [[asset.input, asset.asset] as const]));
      set({ assets: { ...get().assets, ...Object.fromEntries(found) } });
      if (next == null) return;
      before = next;
    }
  }

  return {
    assets: {},
    add(asset) {
      if (asset.input != null) set({ assets: { ...get().assets, [asset.input]: asset.asset } });
    },
    async find(name) {
      if (get().assets[name] !== undefined) return;
      search ??= searchAll().finally(() => {
        search = null;
      });
      try {
        await search;
      } catch {
        return; // the connection's own notice says so; it is looked for again when it is needed again
      }
      if (get().assets[name] === undefined) set({ assets: { ...get().assets, [name]: null } });
    },
  };
});
