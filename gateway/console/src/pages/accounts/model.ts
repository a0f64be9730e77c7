/** Accounts and teams as the server tells them. */

export const ROLES = ["administrator", "operator", "officer", "auditor", "subject"] as const;
export type Role = (typeof ROLES)[number];

/** What each role is for, in a line. */
export const ROLE_WORDS: Record<Role, string> = {
  administrator: "Manages accounts, keys and nodes. Sees nothing that was recorded.",
  operator: "Runs nodes and processors. Sees nothing that was recorded.",
  officer: "Searches and watches, of the people in its scope.",
  auditor: "Sees who did what, and reports.",
  subject: "A recorded person: sees their own recordings, and who looked at them.",
};

export interface AccountRow {
  id: string;
  name: string;
  display_name: string;
  role: Role;
  person: string;
  all_teams: boolean;
  teams: string[];
  unlock_on_server: boolean;
  disabled: boolean;
  password: boolean;
  oidc: boolean;
  totp: boolean;
}

export interface TeamRow {
  name: string;
  note: string;
  members: string[];
  accounts: string[];
}

export interface Teams {
  teams: TeamRow[];
  people: string[];
}

/** Whom an account may see, in words. */
export function scopeWords(account: Pick<AccountRow, "role" | "person" | "all_teams" | "teams">): string {
  if (account.role === "subject") return account.person || "nobody";
  if (account.all_teams) return "everybody";
  return account.teams.join(", ") || "nobody";
}
