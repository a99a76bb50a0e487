import { configDefaults, defineConfig } from "vitest/config";

/** Whole deployments under load, with bounds in milliseconds: their own load is all that they have room for. */
const alone = ["test/{e2e,faults,watching}/**/*.test.ts"];

// Slow is allowed, hanging is not: a test that waits polls a condition with a deadline of its own, which is shorter than
// these, so that what fails says what it waited for.
export default defineConfig({
  test: {
    testTimeout: 90_000,
    hookTimeout: 90_000,
    pool: "forks",
    projects: [
      {
        extends: true,
        test: {
          name: "parts",
          include: [
            "packages/*/{src,test}/**/*.test.ts",
            "services/*/{src,test}/**/*.test.ts",
            "test/**/*.test.ts",
          ],
          exclude: [...configDefaults.exclude, ...alone],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "deployments",
          include: alone,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
