import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// `npm run dev` serves the editor with a graphengine that listens here.
const SERVER = process.env["GRAPHENGINE_SERVER"] ?? "http://127.0.0.1:8188";

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "dist",
    assetsDir: "_editor",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/api": { target: SERVER, ws: true, changeOrigin: true } } },
});
