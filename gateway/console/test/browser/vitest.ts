/**
 * What the tests import as `vitest` when they run in a browser: Vitest's own runner and assertions, without its server.
 * Never reaches for Node, nor for `eval`: the page's policy forbids it.
 */

import { JestAsymmetricMatchers, JestChaiExpect, JestExtend, type ExpectStatic } from "@vitest/expect";
import * as chai from "chai";

export { describe, it } from "@vitest/runner";

for (const plugin of [JestExtend, JestChaiExpect, JestAsymmetricMatchers]) chai.use(plugin);

export const expect = chai.expect as unknown as ExpectStatic;
