/**
 * Imports of `.avsc` files: each is a string, without the words that are there for people.
 * Never changes what a schema means.
 */

import { readFileSync } from "node:fs";
import type { Plugin } from "vite";

export function avro(): Plugin {
  return {
    name: "avro",
    enforce: "pre",
    load(id) {
      if (!id.endsWith(".avsc")) return undefined;
      const schema: unknown = JSON.parse(readFileSync(id, "utf-8"), (key, value: unknown) =>
        key === "doc" && typeof value === "string" ? undefined : value,
      );
      return `export default ${JSON.stringify(JSON.stringify(schema))};`;
    },
  };
}
