"""What happens on the demo's endpoint: the words that are typed, shown and mailed, different in every run.

Never anything but invented people and firms.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

_ADJECTIVES = (
    "amber",
    "brisk",
    "copper",
    "dusty",
    "gentle",
    "hollow",
    "ivory",
    "lunar",
    "mellow",
    "narrow",
    "rustic",
    "silent",
)
_NOUNS = (
    "anchor",
    "beacon",
    "canyon",
    "falcon",
    "garden",
    "harbor",
    "lantern",
    "meadow",
    "orchard",
    "pepper",
    "river",
    "window",
)


def invent_word() -> str:
    """A word of eight letters that nobody wrote before, easy to read on a screen."""
    return "".join(secrets.choice("bdfgkmnprtvz") + secrets.choice("aeiou") for _ in range(4))


@dataclass(frozen=True, slots=True)
class Story:
    """One run's words. `project` is a phrase that stands in every stream."""

    project: str
    number: int

    @classmethod
    def invent(cls) -> Story:
        """A story that no earlier run told, but for one chance in many thousands."""
        project = f"{secrets.choice(_ADJECTIVES)} {secrets.choice(_NOUNS)}"
        return cls(project, 1000 + secrets.randbelow(9000))

    @property
    def page_title(self) -> str:
        """Title of the page."""
        return f"Open items {self.number}"

    @property
    def page(self) -> str:
        """An HTML page with a form."""
        return f"""<!doctype html><html lang="en"><title>{self.page_title}</title>
<style>body{{font:20px/1.5 sans-serif;margin:2em;max-width:44em}}
input{{font:inherit;width:24em}} td,th{{padding:.2em 1em;text-align:left}}</style>
<h1>Open items of the {self.project} project</h1>
<p>The invoice {self.number} is overdue since Monday. Please settle it before the audit.</p>
<table><tr><th>Supplier<th>Amount<th>Due</tr><tr><td>Miller and Sons<td>1,250.00<td>12 March</tr>
<tr><td>Northern Paper<td>318.40<td>19 March</tr></table>
<form><p><label>Remark<br><input id="remark" autofocus></label></p></form></html>"""

    @property
    def remark(self) -> str:
        """Typed into the page's form."""
        return f"asked Miller about the {self.project} delivery"

    @property
    def note(self) -> str:
        """Typed into the text editor."""
        return f"Meeting notes: budget of {self.project} approved by Helen"

    @property
    def commands(self) -> tuple[str, ...]:
        """Typed into a terminal window on the screen."""
        return (f"echo checking the {self.project} backup", "date", "ls /usr")

    @property
    def session(self) -> tuple[str, ...]:
        """Typed into a recorded shell; the first line holds a typing mistake that is taken back."""
        return (
            f"echo transfer of {self.project} archivs\x7f\x7fves begins",
            f"echo invoice {self.number} is overdue",
            "uname -s",
        )

    @property
    def mail(self) -> tuple[str, str, str, str]:
        """Sender, recipient, subject and text of a message."""
        return (
            "Helen Brooks <helen@example.com>",
            "Ann Parker <ann@example.com>",
            f"Overdue invoice {self.number}",
            f"Dear Ann,\n\nthe invoice for {self.project} is overdue. Could you look into it today?\n\nHelen\n",
        )
