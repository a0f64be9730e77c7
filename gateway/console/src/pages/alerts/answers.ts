/** Alerts as the API tells them, and what they say in words. */

import { formatNumber } from "../../ui/format";
import type { Piece } from "../rules/answers";

export type State = "open" | "seen" | "closed";

export interface Alert {
  alert_id: string;
  time_ms: number;
  until_ms: number | null;
  rule_id: string;
  rule: string;
  severity: string;
  kind: string;
  agent_id: string;
  document_id: string;
  person: string;
  computer: string;
  stream: string;
  application: string;
  detail: Record<string, string>;
  state: State;
  note: string;
  state_by: string;
  state_at_ms: number | null;
}

export interface AlertDetail extends Alert {
  title: string;
  fragment: Piece[];
}

export interface Alerts {
  alerts: Alert[];
  states: Record<State, number>;
  next: string;
}

export const SEVERITY_TONES = { high: "bad", medium: "warn" } as const;

export const toneOf = (severity: string) => SEVERITY_TONES[severity as keyof typeof SEVERITY_TONES];

const UNITS: Record<string, string> = { documents: "documents", active_minutes: "minutes active", mebibytes: "MiB" };

/** What happened, in a few words. */
export function describe(alert: Alert): string {
  const where = [alert.application, alert.detail["title"]].filter(Boolean).join(": ");
  if (alert.kind in UNITS) {
    const amount = formatNumber(Number(alert.detail["amount"] ?? 0));
    const within = alert.detail["within_minutes"];
    const what = `${amount} ${UNITS[alert.kind]} within ${within} min, more than ${alert.detail["more_than"]}`;
    return alert.kind === "active_minutes" && alert.application ? `${alert.application}: ${what}` : what;
  }
  return where || alert.stream;
}
