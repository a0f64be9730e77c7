/** What the audit's page makes of entries. */

import { describe, expect, it } from "vitest";
import { targetWords } from "../src/pages/audit/model";

const AGENT = "8ef02e21-d10c-4bd7-8684-50237be04092";

describe("what was done to whom", () => {
  it("names an agent by its person", () => {
    expect(targetWords({ target: `${AGENT} keystrokes,email`, detail: { persons: "ann" } })).toBe("ann keystrokes, email");
  });
  it("keeps the agent where no person, or more than one, is told of", () => {
    expect(targetWords({ target: AGENT, detail: {} })).toBe(AGENT);
    expect(targetWords({ target: AGENT, detail: { persons: "ann,bob" } })).toBe(AGENT);
  });
  it("changes nothing else", () => {
    expect(targetWords({ target: "10.0.0.0/24", detail: { persons: "ann" } })).toBe("10.0.0.0/24");
  });
  it("takes a name as it is, whatever it holds", () => {
    expect(targetWords({ target: AGENT, detail: { persons: "$& $1" } })).toBe("$& $1");
  });
});
