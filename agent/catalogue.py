"""The sources that there are, by name, imported only when they are wanted.

Never imports what an endpoint does not record: a machine without a screen needs no X11.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agent.settings import SourceSettings
from agent.source import Source


def _screen(settings: SourceSettings) -> Source:
    from agent.sources.desktop import open_desktop
    from agent.sources.screen import ScreenSource

    return ScreenSource(lambda: open_desktop(settings.display or None))


def _activity(settings: SourceSettings) -> Source:
    from agent.sources.activity import ActivitySource
    from agent.sources.desktop import open_desktop

    return ActivitySource(lambda: open_desktop(settings.display or None))


def _email(settings: SourceSettings) -> Source:
    from agent.sources.email import EmailSource

    return EmailSource([Path(maildir).expanduser() for maildir in settings.maildirs])


CATALOGUE: dict[str, Callable[[SourceSettings], Source]] = {
    "screen": _screen,
    "activity": _activity,
    "email": _email,
}
"""Name, as `sources.run` lists it, to what makes the source."""


def make_sources(settings: SourceSettings) -> list[Source]:
    """The sources that the settings ask for; email only where there is a mailbox to watch."""
    wanted = [name for name in settings.run if name != "email" or settings.maildirs]
    return [CATALOGUE[name](settings) for name in wanted]
