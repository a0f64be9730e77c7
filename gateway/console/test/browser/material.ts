/**
 * In the browser: the material that pytest made, as a module of the page's own origin.
 * Never fetched: the policy of the page forbids every connection, so that the library can make none.
 */

import type { Material } from "../material";

const path = "/material.js";

export const material = ((await import(/* @vite-ignore */ path)) as { default: Material }).default;
