/** How the tests are built for a browser: the same files, with Vitest's runner in the page. */

import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { avro } from "./avroPlugin.ts";

export default defineConfig({
  root: "test/browser",
  plugins: [avro()],
  resolve: { alias: { vitest: fileURLToPath(new URL("test/browser/vitest.ts", import.meta.url)) } },
  build: { outDir: "../../dist/browser-tests", emptyOutDir: true, target: "es2023", modulePreload: false, minify: false },
});
