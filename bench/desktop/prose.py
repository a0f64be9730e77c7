"""Words, sentences, names and code for scripted desktops.

Never quotes a real person.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

_WORDS = """the of and to in for is on that by this with you it not or be are from at as your all have new more was we
will home can us about if page my has search free but our one other do no information time they site he up may what
which their news out use any there see only so his when contact here business who web also now help get view online
first been would how were services some these click its like service than find price date back top people had list
name just over state year day into email two health world next used go work last most products music buy data make
them should product system post her city add policy number such please available copyright support message after best
software then good video well where info rights public books high school through each links she review years order
very privacy book items company read group need many user said does set under general research university january
mail full map reviews program life know games way days management part could great united hotel real item
international center must store travel comments made development report off member details line terms before hotels
did send right type because local those using results office education national car design take posted internet
address community within states area want phone shipping reserved subject between forum family long based code show
even black check special prices website index being women much sign file link open today technology south case project
same pages version section own found sports house related security both county american photo game members power while
care network down computer systems three total place end following download him without per access think north
resources current posts big media law control water history pictures size art personal since including guide shop
directory board location change white text small rating rate government children during return students shopping
account times sites level digital profile previous form events love old main call hours image department title
description insurance another why shall property class still money quality every listing content country private
little visit save tools low reply customer december compare movies include college value article york man card jobs
provide food source author different press learn sale around print course job canada process room stock training
too credit point join science men categories advanced west sales look english left team estate box conditions select
windows photos thread week category note live large gallery table register however june october november market
library really action start series model features air industry plan human provided required second accessories cost
movie forums march september better say questions july going medical test friend come server study application cart
staff articles feedback again play looking issues april never users complete street topic comment financial things
working against standard tax person below mobile less got blog party payment equipment login student let programs
offers legal above recent park stores side act problem red give memory performance social august quote language story
sell options experience rates create key body young america important field few east paper single age activities club
example additional password latest something road gift question changes night hard texas four status
browse issue range building seller court february always result audio light write war offer blue groups easy given
files event release analysis request china making picture needs possible might professional yet month major star areas
future space committee hand sun cards problems london washington meeting become interest child keep enter california
share similar garden schools million added reference companies listed baby learning energy run delivery net popular
term film stories put computers journal reports try welcome central images president notice original head radio until
cell color self council away includes track australia discussion archive once others entertainment agreement format
least society months safety friends sure trade edition cars messages marketing tell further updated association able
having provides david fun already green studies close common drive specific several gold living collection called
short arts lot ask display limited powered solutions means director daily beach past natural whether due electronics
five upon period planning database says official weather mar land average done technical window france pro region
island record direct microsoft conference environment records district calendar costs style front statement update
parts ever downloads early miles sound resource present applications either ago document word works material bill
invoice overdue quarterly budget shipment contract deadline approval""".split()  # noqa: SIM905 - a page of words

_WEIGHTS = list(accumulate(1 / (rank + 3) for rank in range(len(_WORDS))))

_STEMS = [word for word in _WORDS if len(word) > 3]
_BEFORE = ("", "", "", "re", "un", "over", "under", "inter", "non", "mis", "out", "sub", "fore")
_AFTER = ("ing", "ed", "er", "ers", "ment", "ness", "ly", "able", "less", "ful", "ists", "ized", "ation", "ship", "ish")
_RARE = 0.28
"""Share of words that are not among the commonest: in a text, a page holds many words that no page before it held."""

NAMES = ("Anna Keller", "Bruno Ortega", "Chen Wei", "Dana Novak", "Elif Kaya", "Farid Haddad", "Greta Lindholm",
         "Hugo Martin", "Ines Duarte", "Jonas Weber", "Kira Sato", "Liam Doyle")  # fmt: skip

_VERBS = ("load", "store", "parse", "build", "check", "merge", "render", "flush", "open", "close")
_NOUNS = ("buffer", "record", "segment", "index", "token", "header", "window", "cursor", "policy", "result")


def words(rng: random.Random, count: int) -> str:
    """That many words, as often as language uses them (Zipf), with a long tail of rare ones."""
    common = rng.choices(_WORDS, cum_weights=_WEIGHTS, k=count)
    return " ".join(_rare(rng) if rng.random() < _RARE else word for word in common)


def _rare(rng: random.Random) -> str:
    return rng.choice(_BEFORE) + rng.choice(_STEMS) + rng.choice(_AFTER)


def sentence(rng: random.Random, low: int = 6, high: int = 16) -> str:
    """A sentence with a capital, now and then a number, and a full stop."""
    parts = words(rng, rng.randint(low, high)).split()
    if rng.random() < 0.3:
        parts.insert(len(parts) // 2, amount(rng))
    return " ".join(parts).capitalize() + rng.choice("....?!")


def amount(rng: random.Random) -> str:
    """A number as people write it."""
    return rng.choice((f"{rng.randint(2, 999)}", f"{rng.randint(1, 99)},{rng.randint(100, 999)}.{rng.randint(10, 99)}"))


def wrapped(rng: random.Random, width: int, lines: int) -> list[str]:
    """Paragraph lines of at most `width` characters."""
    text: list[str] = []
    line = ""
    while len(text) < lines:
        for word in sentence(rng).split():
            if len(line) + len(word) + 1 > width:
                text.append(line)
                line = ""
            line = f"{line} {word}".strip()
    return text[:lines]


def code(rng: random.Random, lines: int) -> list[tuple[int, str]]:
    """Lines of a program: depth and text; an empty text is a blank line."""
    source: list[tuple[int, str]] = []
    while len(source) < lines:
        verb, noun, other = rng.choice(_VERBS), rng.choice(_NOUNS), rng.choice(_NOUNS)
        source += [
            (0, f"def {verb}_{noun}(self, {other}: int, limit: int = {rng.randint(2, 512)}) -> list[str]:"),
            (1, f'"""{sentence(rng, 4, 8)}"""'),
            (1, f"{noun} = self.{other}.{rng.choice(_VERBS)}({other}, limit)"),
            (1, f"for item in sorted({noun}, key=len):"),
            (2, f"if item.{other} > limit and not item.{noun}:"),
            (3, f"raise ValueError(f'{words(rng, 3)}')"),
            (2, f"# {words(rng, rng.randint(4, 9))}"),
            (1, f"return [{noun} for {noun} in self.{other} if limit < {rng.randint(10, 99)}]"),
            (0, ""),
        ]
    return source[:lines]
