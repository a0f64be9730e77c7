"""An agent's status as a person reads it."""

from __future__ import annotations

import datetime as dt
from typing import Any


def describe_status(status: dict[str, Any]) -> str:
    """The answer of a running agent to `status`, as text of several lines."""
    uplink, spool, policy = status["uplink"], status["spool"], status["policy"]
    counts = uplink["counts"]
    where = f" to {uplink['server']} ({uplink['gateway']})" if uplink["state"] == "connected" else ""
    lines = [
        f"agent    {status['agent_id']}, {status['software']}, process {status['pid']}",
        f"for      {status['user']} on {status['computer']}, since {_when(status['started_us'])}",
        f"uplink   {uplink['state']}{where} since {_when(uplink['since_us'])}"
        + (f": {uplink['problem']}" if uplink["problem"] else ""),
        f"sent     {counts['acked']} acknowledged of {counts['pushed']}, {counts['nacked']} refused",
        f"spool    {spool['envelopes']} envelopes, {_size(spool['bytes'])}, {spool['gaps_owed']} gaps to tell",
        f"policy   version {policy['version']}: {', '.join(policy['streams']) or 'records nothing'}"
        + (f"; end to end: {', '.join(policy['end_to_end'])}" if policy["end_to_end"] else "")
        + (f"; refused a newer one: {policy['problem']}" if policy["problem"] else ""),
        f"keys     {_key_set(status['key_set'])}",
        f"paused   {_paused(status)}",
    ]
    for name, source in status["sources"].items():
        seen = f", last {_when(source['last_event_us'])}" if source["last_event_us"] else ""
        problem = f": {source['problem']}" if source["problem"] else ""
        lines.append(f"source   {name}: {source['state']}, {source['events']} events{seen}{problem}")
    if indexed := status.get("indexed"):
        lines.append("indexed  " + ", ".join(f"{stream}: {texts} texts" for stream, texts in sorted(indexed.items())))
    for stream, viewing in status.get("live", {}).items():
        verb = "is being heard" if stream == "audio" else "is being watched"
        lines.append(f"live     {stream} {verb} live now, by {viewing['viewers']}, since {_when(viewing['since_us'])}")
    if status["guests"]:
        lines.append(f"source   terminal: {status['guests']} sessions")
    lines += [f"sealing  {stream}: {problem}" for stream, problem in status["unsealable"].items()]
    return "\n".join(lines)


def _key_set(key_set: dict[str, Any]) -> str:
    sealed = "; ".join(f"{stream} to {', '.join(names)}" for stream, names in key_set["streams"].items())
    signed = f"set {key_set['version']} as an officer signed it: {sealed or 'nothing'}" if key_set["version"] else ""
    refused = f"; REFUSED what the server told: {key_set['problem']}" if key_set["problem"] else ""
    no_set = "no key set yet" if key_set["signers"] else "no signer is pinned; end to end by the KEK's file alone"
    return (signed or no_set) + refused


def _paused(status: dict[str, Any]) -> str:
    if status["policy"]["paused_by_server"]:
        return "by the server's policy"
    pause = status["pause"]
    if pause is None:
        return "no"
    until = f", until {_when(pause['until_us'])}" if pause["until_us"] else ""
    return f"by a person since {_when(pause['since_us'])}{until}"


def _when(us: int) -> str:
    return dt.datetime.fromtimestamp(us / 1_000_000, dt.UTC).astimezone().isoformat(sep=" ", timespec="seconds")


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
