import { defineConfig, mergeConfig } from "vitest/config";
import vite from "./vite.config";

export default mergeConfig(
  vite,
  defineConfig({
    test: {
      environment: "node",
      include: ["src/**/*.test.{ts,tsx}"],
      coverage: { provider: "v8", include: ["src/graph/**"], exclude: ["**/*.test.ts"], thresholds: { lines: 90 } },
    },
  }),
);
