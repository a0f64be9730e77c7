"""An endpoint whose mail and screen the server may read, with words on it that nobody wrote before.

Never seals anything end to end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.demo.mail import deliver, make_maildir, write_message
from infra.demo.story import invent_word
from infra.settings import Settings
from tests.live.operator import EnrolledAgent, search, until
from tests.live.test_blind_index import display, showing


@dataclass(frozen=True)
class OpenEndpoint:
    """The endpoint; `word` stands in all its texts, `only_mail` in a message alone."""

    settings: Settings
    agent: EnrolledAgent
    maildir: Path
    word: str = field(default_factory=invent_word)
    only_mail: str = field(default_factory=invent_word)

    def send(self, subject: str, text: str) -> None:
        """Deliver a message to the recorded person."""
        deliver(self.maildir, write_message("helen@example.com", "ann@example.com", subject, text))

    def found(self, word: str) -> set[str]:
        """The streams of this endpoint in which the word is found."""
        return {str(hit["stream"]) for hit in search(self.settings, word, "--agent", self.agent.agent_id)}


@contextmanager
def open_endpoint(settings: Settings, place: Path) -> Iterator[OpenEndpoint]:
    """Two messages, and a note on the screen."""
    maildir = make_maildir(place / "mail")
    with display() as screen:
        toml = f'[sources]\nrun = ["email", "screen"]\ndisplay = "{screen}"\nmaildirs = ["{maildir}"]\n'
        agent = EnrolledAgent.enrol(settings, place / "agent", toml)
        with agent.running(DISPLAY=screen):
            endpoint = OpenEndpoint(settings, agent, maildir)
            note = f"the {endpoint.word} shipment\nleaves in the morning"
            with showing(screen, note, place / "note"):
                endpoint.send(
                    f"About {endpoint.word}", f"Dear Ann,\n\nplease look at {endpoint.word} today.\n\nHelen\n"
                )
                markup = f"<img src=x onerror=alert(1)> <b>{endpoint.only_mail}</b> & more"
                endpoint.send(f"Markup {markup}", f"Not markup: {markup}\n")
                until("the texts", lambda: endpoint.found(endpoint.word) >= {"email", "screen"}, within_s=180)
                until("the other mail", lambda: endpoint.found(endpoint.only_mail))
                yield endpoint
