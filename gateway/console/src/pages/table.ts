/**
 * Every page: where it is, what it is called, who may see it, and how it is loaded.
 * Never loads a page before somebody goes there.
 */

import type { ComponentType } from "preact";

export interface Page {
  path: string;
  title: string;
  /** The permission that shows it in the navigation; `undefined`: everybody who is signed in. */
  permission?: string;
  group: "watch" | "understand" | "run" | "self";
  /** Not in the navigation: reached from other pages. */
  hidden?: boolean;
  load: () => Promise<{ default: ComponentType }>;
}

export const GROUPS = [
  ["watch", "Watch"],
  ["understand", "Understand"],
  ["run", "Run"],
  ["self", "You"],
] as const;

export const PAGES: readonly Page[] = [
  { path: "/overview", title: "Overview", permission: "overview", group: "watch", load: () => import("./overview/Overview") },
  { path: "/live", title: "Live", permission: "watch", group: "watch", load: () => import("./live/Live") },
  { path: "/search", title: "Search", permission: "search", group: "watch", load: () => import("./search/Search") },
  { path: "/player", title: "Player", permission: "recordings", group: "watch", load: () => import("./player/Player") },
  { path: "/processors", title: "Processors", permission: "processors", group: "run", load: () => import("./processors/Processors") },
  { path: "/alerts", title: "Alerts", permission: "alerts", group: "understand", load: () => import("./alerts/Alerts") },
  { path: "/rules", title: "Rules", permission: "rules", group: "understand", load: () => import("./rules/Rules") },
  { path: "/reports", title: "Reports", permission: "reports", group: "understand", load: () => import("./reports/Reports") },
  { path: "/nodes", title: "Nodes", permission: "nodes", group: "run", load: () => import("./nodes/Nodes") },
  { path: "/keys", title: "Keys", permission: "keys", group: "run", load: () => import("./keys/Keys") },
  { path: "/audit", title: "Audit", permission: "audit", group: "understand", load: () => import("./audit/Audit") },
  { path: "/accounts", title: "Accounts", permission: "accounts", group: "run", load: () => import("./accounts/Accounts") },
  { path: "/own", title: "Recorded of you", permission: "own", group: "self", load: () => import("./own/Own") },
  { path: "/account", title: "Your account", group: "self", load: () => import("./account/Account") },
];
