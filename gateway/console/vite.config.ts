/** How the unlock library is built, one module that needs no other, and how its tests run on Node. */

import { defineConfig } from "vitest/config";
import { avro } from "./avroPlugin.ts";

export default defineConfig({
  plugins: [avro()],
  build: {
    outDir: "dist/unlock",
    lib: { entry: "src/unlock/index.ts", formats: ["es"], fileName: "unlock" },
    target: "es2023",
    rolldownOptions: { output: { minify: true } },
  },
  test: { include: ["test/**/*.test.ts"], testTimeout: 60_000 },
});
