/** Times as they stand in what is exported: in UTC, so that they mean the same to whoever reads them. */

/** Such as `2026-11-27 14:03:12 UTC`. */
export const formatUtc = (at: number): string => `${new Date(at).toISOString().slice(0, 19).replace("T", " ")} UTC`;
