/** Names as filters have them: any of several, in any case, `*` for anything. Never takes more of a pattern than `*`. */

/** Whether one of `wanted` names `name`; of none wanted, everything is. */
export function isNamed(name: string, wanted: readonly string[]): boolean {
  return !wanted.length || wanted.some((pattern) => patternOf(pattern).test(name));
}

function patternOf(text: string): RegExp {
  const parts = text.split("*").map((part) => part.replaceAll(/[\\^$.|?+()[\]{}]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`, "is");
}
