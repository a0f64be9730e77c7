"""Style sheets of the console's pages: they stay loaded when a person goes on, so no page may style another's names."""

from __future__ import annotations

import re
from collections import defaultdict

from tests.console.node import CONSOLE

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_SELECTORS = re.compile(r"([^{}]+)\{")
_CLASS = re.compile(r"\.[a-z-]+")


def test_each_class_is_styled_by_one_folder():
    """A rule for a class alone, such as `.days { … }`, holds on every page that is looked at afterwards."""
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for sheet in (CONSOLE / "src").rglob("*.css"):
        folder = str(sheet.parent.relative_to(CONSOLE / "src"))
        for selectors in _SELECTORS.findall(_COMMENT.sub("", sheet.read_text("utf-8"))):
            for selector in map(str.strip, selectors.split(",")):
                if _CLASS.fullmatch(selector):
                    owners[selector].add(folder)
    assert len(owners) > 100
    assert {name: sorted(folders) for name, folders in owners.items() if len(folders) > 1} == {}
