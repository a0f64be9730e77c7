"""The notice: what is recorded here, for whom, and where it goes, in words for the person who is recorded.

Never leaves out a stream, and never says less than the policy does.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.policy import Policy
from schemas.kinds import StreamKind

DESCRIPTIONS: dict[StreamKind, str] = {
    StreamKind.SCREEN: "your screen: pictures of what it shows, when it changes",
    StreamKind.KEYSTROKES: "terminal sessions that are started for recording: what is typed and shown there "
    "(what is typed while the terminal does not show it, such as a password, is not kept)",
    StreamKind.EMAIL: "email in the watched mailboxes: headers and text, and the names of attachments",
    StreamKind.ACTIVITY: "which application and window is in front, and when you are idle",
    StreamKind.AUDIO: "sound: what the microphone hears, silence left out",
}


def write_notice(
    policy: Policy,
    *,
    server: str,
    agent_id: str,
    user: str,
    computer: str,
    paused_here: bool,
    live: Sequence[str] = (),
) -> str:
    """The notice as text of several lines; `live` are sentences of who watches or listens now."""
    lines = ["This computer is being recorded.", *(f"{sentence}." for sentence in live), ""]
    recorded = [kind for kind in DESCRIPTIONS if kind.label in policy.streams]
    if policy.paused or paused_here:
        lines[0] = "This computer can be recorded. Recording is paused now."
    elif not recorded:
        lines[0] = "This computer can be recorded. Nothing is recorded now."
    for kind in recorded:
        lines += [f"  {kind.label:<11}{DESCRIPTIONS[kind]}", f"{'':13}{_readers(policy, kind)}"]
    lines += [""] if recorded else []
    if policy.exclude_applications or policy.exclude_titles:
        lines += [
            "Never recorded:",
            *(f"  applications named {glob}" for glob in policy.exclude_applications),
            *(f"  windows titled {glob}" for glob in policy.exclude_titles),
            "",
        ]
    lines += [
        f"For:        {policy.organisation or 'the organisation that runs the server below'}",
        f"Purpose:    {policy.purpose or 'not stated: ask the organisation'}",
        f"Questions:  {policy.contact or 'ask whoever set up this computer'}",
        f"Goes to:    {server}, sealed before it leaves this computer",
        f"Recorded:   {user} on {computer}, as agent {agent_id}",
        f"Live:       {_live(policy)}",
        f"Pause:      {_pause(policy)}",
        f"Policy:     version {policy.version}",
    ]
    return "\n".join(lines) + "\n"


def _readers(policy: Policy, kind: StreamKind) -> str:
    if policy.seals_end_to_end(kind):
        told = "sealed end to end: the server cannot read it, only holders of your organisation's key can"
        searched = policy.indexes(kind) and (kind is not StreamKind.SCREEN or policy.endpoint_ocr)
        return f"{told}; they can search it by hashes of its words" if searched else told
    return "readable by the server, which makes it searchable for people with access"


def _live(policy: Policy) -> str:
    """What may be watched as it happens."""
    words = {StreamKind.SCREEN: "your screen may be watched", StreamKind.AUDIO: "sound may be heard"}
    may = [word for kind, word in words.items() if kind.label in policy.live & policy.streams]
    if not may:
        return "nobody may watch or listen as it happens"
    return f"{' and '.join(may)} as it happens; you are shown when somebody does"


def _pause(policy: Policy) -> str:
    if policy.pause_allowed:
        return "`sealstream agent pause` stops recording until `sealstream agent resume`; the pause itself is noted"
    return "not allowed by the policy"
