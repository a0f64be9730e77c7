/**
 * On Node: the material that pytest made, from the file that SEALSTREAM_MATERIAL names.
 * Never committed: it holds private keys, made anew for each run.
 */

import { readFileSync } from "node:fs";
import type { Material } from "./material";

const path = process.env["SEALSTREAM_MATERIAL"];
if (!path) throw new Error("these tests get their keys and envelopes from pytest: run `pytest tests/console`");

export const material = JSON.parse(readFileSync(path, "utf-8")) as Material;
