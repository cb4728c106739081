/** The pictures that are shown large; none closes it. */
import { create } from "zustand";

export interface LargePicture {
  asset: string;
  name: string;
  sizeBytes: number;
  /** The job that made it, if it is known. */
  job: string | null;
  /** In seconds since 1970. */
  created: number | null;
}

interface LightboxState {
  items: readonly LargePicture[];
  index: number;
  /** With the picture that it is compared with. */
  compared: LargePicture | null;
  show(items: readonly LargePicture[], index?: number): void;
  compare(one: LargePicture, other: LargePicture): void;
  go(index: number): void;
  /** Show some no more: they were deleted. */
  drop(assets: ReadonlySet<string>): void;
  close(): void;
}

export const useLightbox = create<LightboxState>()((set, get) => ({
  items: [],
  index: 0,
  compared: null,
  show: (items, index = 0) => set({ items, index, compared: null }),
  compare: (one, other) => set({ items: [one], index: 0, compared: other }),
  go: (index) => set({ index: Math.max(0, Math.min(index, get().items.length - 1)) }),
  drop(assets) {
    const { items, index, compared } = get();
    const left = items.filter(({ asset }) => !assets.has(asset));
    if (left.length === items.length && !assets.has(compared?.asset ?? "")) return;
    const before = items.slice(0, index).filter(({ asset }) => !assets.has(asset)).length;
    set({ items: compared === null ? left : [], index: Math.min(before, left.length - 1), compared: null });
  },
  close: () => set({ items: [], compared: null }),
}));
