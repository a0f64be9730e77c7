"""What is known of a recorded person, as they may see it themselves: streams, computers, policy in words, sums.

Never tells of anybody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gateway.api.times import to_ms
from schemas.kinds import StreamKind

if TYPE_CHECKING:
    from infra.settings import RetentionSettings
    from sinks.postgresql.connection import Connection

STREAMS = tuple(kind.label for kind in StreamKind if kind not in (StreamKind.GAP, StreamKind.INDEX))
_COMPUTERS = """
SELECT computer, bool_or(connected) AS connected, min(first_seen_at) AS first_seen_at, max(last_seen_at) AS last_seen_at
FROM agent WHERE user_name = $1 GROUP BY computer ORDER BY 4 DESC"""
_STREAMS = """
SELECT wanted.stream, min(first.at) AS since, max(last.at) AS latest
FROM agent a CROSS JOIN unnest($2::text[]) AS wanted(stream)
CROSS JOIN LATERAL (SELECT first_captured_at AS at FROM archive_run r
    WHERE r.agent_id = a.agent_id AND r.stream = wanted.stream ORDER BY last_captured_at LIMIT 1) first
CROSS JOIN LATERAL (SELECT last_captured_at AS at FROM archive_run r
    WHERE r.agent_id = a.agent_id AND r.stream = wanted.stream ORDER BY last_captured_at DESC LIMIT 1) last
WHERE a.user_name = $1 GROUP BY wanted.stream ORDER BY wanted.stream"""
_DAYS = """
SELECT (hour AT TIME ZONE 'UTC')::date AS day, sum(active_ms)::bigint AS active_ms, sum(idle_ms)::bigint AS idle_ms
FROM activity_total WHERE user_name = $1 AND hour > now() - make_interval(days => $2)
GROUP BY 1 ORDER BY 1 DESC"""
_APPLICATIONS = """
SELECT application, sum(active_ms)::bigint AS active_ms FROM activity_total
WHERE user_name = $1 AND hour > now() - make_interval(days => $2) AND active_ms > 0
GROUP BY 1 ORDER BY 2 DESC LIMIT 10"""
DAYS = 14

_LOOKS = "Who looked at it is kept for good, so that nobody can look without a trace."
_UNSET = "What was recorded is kept in the archive until your organisation erases it."
_LONGER = "It may be kept longer while a legal matter needs it."
_NAMES = {
    StreamKind.SCREEN: "pictures of your screens",
    StreamKind.KEYSTROKES: "your terminals",
    StreamKind.EMAIL: "your emails",
    StreamKind.ACTIVITY: "windows' titles and activity",
    StreamKind.AUDIO: "sound",
}
_WORDS = {
    "screen": "Pictures of your screens, when something on them changes.",
    "keystrokes": "What you type in terminals, and what they answer.",
    "email": "Emails that you send and receive on this computer.",
    "activity": "Which application is in front, its window's title, and whether you are active.",
    "audio": "Sound, while somebody listens or as the policy says.",
}


async def read_computers(connection: Connection, person: str) -> list[dict[str, Any]]:
    """Where the person is recorded."""
    return [
        {
            "computer": row["computer"],
            "connected": row["connected"],
            "first_seen_ms": to_ms(row["first_seen_at"]),
            "last_seen_ms": to_ms(row["last_seen_at"]),
        }
        for row in await connection.fetch(_COMPUTERS, person)
    ]


async def read_streams(connection: Connection, person: str) -> list[dict[str, Any]]:
    """What there is of the person, and from when until when."""
    return [
        {"stream": row["stream"], "since_ms": to_ms(row["since"]), "last_ms": to_ms(row["latest"])}
        for row in await connection.fetch(_STREAMS, person, list(STREAMS))
    ]


async def read_totals(connection: Connection, person: str) -> dict[str, list[dict[str, Any]]]:
    """Days and applications of the last two weeks."""
    days = await connection.fetch(_DAYS, person, DAYS)
    applications = await connection.fetch(_APPLICATIONS, person, DAYS)
    return {
        "days": [{**row, "day": row["day"].isoformat()} for row in map(dict, days)],
        "applications": [dict(row) for row in applications],
    }


def policy_words(policy: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the policy has recorded, each stream in words, and whether nobody but key holders can open it."""
    sealed = set(policy.get("end_to_end", []))
    return [
        {"stream": stream, "words": _WORDS.get(stream, stream), "end_to_end": stream in sealed}
        for stream in policy.get("streams", [])
    ]


def kept_words(retention: RetentionSettings) -> str:
    """For how long what was recorded is kept, in words."""
    if not retention.is_set:
        return f"{_UNSET} {_LOOKS}"
    days = {name: retention.days_of(kind) for kind, name in _NAMES.items()}
    days |= {"sums of your activity": retention.days_of_activity, "alerts": retention.days_of_alerts}
    by_days: dict[int, list[str]] = {}
    for name, count in days.items():
        by_days.setdefault(count, []).append(name)
    for_ever = by_days.pop(0, [])
    told = [f"{count} days for {_listed(names)}" for count, names in sorted(by_days.items())]
    if len(told) == 1 and not for_ever:
        told = [f"{next(iter(by_days))} days"]
    if for_ever:
        told.append(f"until your organisation erases it for {_listed(for_ever)}")
    return f"What was recorded is kept {'; '.join(told)}. Then it is erased by itself. {_LONGER} {_LOOKS}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def policy_limits(policy: Mapping[str, Any]) -> list[str]:
    """What the policy leaves out, in words."""
    told = []
    if policy.get("paused"):
        told.append("Recording is paused for everybody at the moment.")
    if policy.get("pause_allowed", True):
        told.append("You may pause the recording yourself; that you did is recorded.")
    if applications := policy.get("exclude_applications"):
        told.append(f"These applications are left out: {', '.join(applications)}.")
    if titles := policy.get("exclude_titles"):
        told.append(f"Windows with such titles are left out: {', '.join(titles)}.")
    if idle := policy.get("idle_after_s"):
        told.append(f"After {idle:.0f} seconds without a key or the mouse you count as away.")
    return told
