import { defineConfig } from "vitest/config";

// Unit and integration tests run against the packages' sources; e2e tests start the built processes.
const conditions = ["bimip-src", "node", "import", "module", "default"];
const common = { resolve: { conditions }, ssr: { resolve: { conditions, externalConditions: conditions } } };

export default defineConfig({
  test: {
    projects: [
      {
        ...common,
        test: { name: "unit", include: ["packages/*/src/**/*.test.ts", "services/*/src/**/*.test.ts"] },
      },
      {
        ...common,
        test: {
          name: "integration",
          include: ["test/integration/**/*.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      // Needs Chromium, so it is not in `npm test`: `npm run test:browser`.
      {
        ...common,
        test: { name: "browser", include: ["test/browser/**/*.test.ts"], testTimeout: 60_000, hookTimeout: 60_000 },
      },
      {
        ...common,
        test: {
          name: "e2e",
          // The simulation is here for the processor that it needs to itself.
          include: ["test/e2e/**/*.test.ts", "test/simulation/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
