"""Style sheets of the console's pages: they stay loaded when a person goes on, so no page may style another's names."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from tests.console.node import CONSOLE

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_SELECTORS = re.compile(r"([^{}]+)\{")
_CLASS = re.compile(r"\.[a-z-]+")
_NAMES = re.compile(r"class=[\"{`]+([^\"`]*)")


def styled_alone(place: Path) -> dict[str, set[str]]:
    """Folders of style sheets below `place`, by each class that a rule there styles wherever it stands."""
    folders: defaultdict[str, set[str]] = defaultdict(set)
    for sheet in place.rglob("*.css"):
        for selectors in _SELECTORS.findall(_COMMENT.sub("", sheet.read_text("utf-8"))):
            for selector in map(str.strip, selectors.split(",")):
                if _CLASS.fullmatch(selector):
                    folders[selector[1:]].add(str(sheet.parent.relative_to(place)))
    return folders


def test_each_class_is_styled_by_one_folder():
    """A rule for a class alone, such as `.days { … }`, holds on every page that is looked at afterwards."""
    styled = styled_alone(CONSOLE / "src")
    assert len(styled) > 100
    assert {name: sorted(folders) for name, folders in styled.items() if len(folders) > 1} == {}


def test_what_a_page_styles_alone_no_other_page_has():
    """Unless it has that sheet too: else it looks one way before, and another after a visit there."""
    pages = CONSOLE / "src" / "pages"
    styled = styled_alone(pages)
    clashes: list[str] = []
    for folder in sorted(one for one in pages.iterdir() if one.is_dir()):
        text = "\n".join(source.read_text("utf-8") for source in folder.rglob("*.tsx"))
        having = {folder.name, *re.findall(r'import "\.\./([a-z-]+)/[a-z-]+\.css"', text)}
        names = {name for words in _NAMES.findall(text) for name in re.findall(r"[a-z][a-z-]*", words)}
        others = {name: styled.get(name, having) - having for name in names}
        clashes += [f"{name} of {folder.name}, as in {where}" for name, where in others.items() if where]
    assert clashes == []
