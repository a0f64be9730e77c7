"""The sources that there are, by name, imported only when they are wanted.

Never imports what an endpoint does not record: a machine without a screen needs no X11.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agent.settings import SourceSettings
from agent.source import Source

SEEN = "email.seen"
"""Which messages were told already."""


def _screen(settings: SourceSettings, _: Path) -> Source:
    from agent.sources.desktop import open_desktop
    from agent.sources.screen import ScreenSource

    return ScreenSource(lambda: open_desktop(settings.display or None))


def _activity(settings: SourceSettings, _: Path) -> Source:
    from agent.sources.activity import ActivitySource
    from agent.sources.desktop import open_desktop

    return ActivitySource(lambda: open_desktop(settings.display or None))


def _email(settings: SourceSettings, directory: Path) -> Source:
    from agent.sources.email import EmailSource

    maildirs = [Path(maildir).expanduser() for maildir in settings.maildirs]
    return EmailSource(maildirs, directory / SEEN)


def _audio(settings: SourceSettings, _: Path) -> Source:
    from agent.sources import sound_feed
    from agent.sources.audio import AudioSource

    if settings.audio_file:
        path = Path(settings.audio_file).expanduser()
        return AudioSource(lambda: sound_feed.file(path))
    return AudioSource(lambda: sound_feed.microphone(settings.audio_device))


CATALOGUE: dict[str, Callable[[SourceSettings, Path], Source]] = {
    "screen": _screen,
    "activity": _activity,
    "email": _email,
    "audio": _audio,
}
"""Name, as `sources.run` lists it, to what makes the source."""


def make_sources(settings: SourceSettings, directory: Path) -> list[Source]:
    """The sources that the settings ask for, which may keep files in `directory`; email where there is a mailbox."""
    wanted = [name for name in settings.run if name != "email" or settings.maildirs]
    return [CATALOGUE[name](settings, directory) for name in wanted]
