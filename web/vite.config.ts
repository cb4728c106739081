import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// `npm run dev` serves the editor with a graphengine that listens here.
const SERVER = process.env["GRAPHENGINE_SERVER"] ?? "http://127.0.0.1:8188";

interface ModuleGraph {
  getModuleInfo(id: string): { isEntry: boolean; importers: readonly string[] } | null;
}

/** Tell whether a module is needed before anything is loaded on demand. */
function isNeededAtFirst(id: string, graph: ModuleGraph): boolean {
  const users = new Set([id]); // it grows on the way
  for (const each of users) {
    const info = graph.getModuleInfo(each);
    if (info?.isEntry) return true;
    for (const importer of info?.importers ?? []) users.add(importer);
  }
  return false;
}

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "dist",
    assetsDir: "_editor",
    emptyOutDir: true,
    target: "es2022",
    // the first file imports nothing, and little is imported by two of those that come on demand
    modulePreload: false,
    cssCodeSplit: false,
    chunkSizeWarningLimit: 700,
    rolldownOptions: {
      output: {
        // one file packs better than the many that others share parts of
        codeSplitting: {
          groups: [{ name: (id, graph) => (isNeededAtFirst(id, graph) ? "editor" : null), debugName: "editor" }],
        },
      },
    },
  },
  server: { proxy: { "/api": { target: SERVER, ws: true, changeOrigin: true } } },
});
