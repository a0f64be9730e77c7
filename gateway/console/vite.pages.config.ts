/** How the console's pages are built: one page, its parts loaded when they are asked for, nothing from elsewhere. */

import { defineConfig } from "vite";
import { avro } from "./avroPlugin.ts";

export default defineConfig({
  plugins: [avro()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "dist/pages",
    emptyOutDir: true,
    target: "es2023",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
  },
});
