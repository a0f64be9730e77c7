/**
 * Runs all tests in this page and writes what came of them where the page's driver reads it.
 * Never hides a test: what was collected and did not pass or skip by its own condition is told by name.
 */

import { startTests, type File, type Task, type VitestRunner } from "@vitest/runner";

const files = import.meta.glob("../*.test.ts");

const runner: VitestRunner = {
  config: {
    root: "/",
    setupFiles: [],
    name: "browser",
    passWithNoTests: false,
    testNamePattern: undefined,
    allowOnly: false,
    sequence: { seed: 0, hooks: "stack", setupFiles: "list" },
    chaiConfig: undefined,
    maxConcurrency: 1,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    retry: 0,
    includeTaskLocation: false,
    tags: [],
    tagsFilter: undefined,
    strictTags: true,
  },
  importFile: (path) => files[path]!(),
};

interface Told {
  file: string;
  name: string;
  state: string;
  errors: string[];
}

function tell(file: File): Told[] {
  const ofTask = (task: Task): Told[] => {
    const errors = (task.result?.errors ?? []).map((error) => `${error.message}\n${error.stack ?? ""}`);
    const own = { file: file.name, name: task.name, state: task.result?.state ?? task.mode, errors };
    if (task.type === "test") return [own];
    return [...(errors.length ? [own] : []), ...task.tasks.flatMap(ofTask)];
  };
  return ofTask(file);
}

const violations: string[] = [];
document.addEventListener("securitypolicyviolation", (event) => {
  violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`);
});

/** Whether the page's policy is in force: it must stop markup, code, and connections. */
async function tryPolicy(): Promise<Record<string, boolean>> {
  const isRefused = async (attempt: () => unknown) => {
    try {
      await attempt();
      return false;
    } catch {
      return true;
    }
  };
  const told = {
    markup: await isRefused(() => (document.createElement("div").innerHTML = "<b>bold</b>")),
    code: await isRefused(() => Function("return 1")()),
    connection: await isRefused(() => fetch("/material.js")),
  };
  return told;
}

async function run(): Promise<unknown> {
  const began = performance.now();
  const tests = (await startTests(Object.keys(files), runner)).flatMap(tell);
  const ms = Math.round(performance.now() - began);
  const met = [...violations];
  return { tests, ms, violations: met, policy: await tryPolicy(), requests: requests() };
}

function requests(): string[] {
  return performance.getEntriesByType("resource").map((entry) => entry.name);
}

const results = document.getElementById("results")!;
run().then(
  (told) => (results.textContent = JSON.stringify(told)),
  (error: unknown) => (results.textContent = JSON.stringify({ crashed: String(error) })),
);
