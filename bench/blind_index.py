"""What a blind index costs: documents a second and core, bytes of tokens against bytes of text, tokens of a search.

    python -m bench.blind_index

Never measures more than one process: times are CPU seconds, so that other work on the machine counts little.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator

from schemas.blind_index import TEXT, TITLE, document_tokens, query_tokens, words_of

DOCUMENTS = 2000
VOCABULARY = 20_000
SIZES = {
    "a line typed": (5, 15),
    "a screen's new lines": (20, 120),
    "an email": (60, 300),
    "a long report": (1500, 2500),
}
FEW = 5


def make_texts(words: tuple[int, int], count: int, chance: random.Random) -> Iterator[str]:
    """Texts whose words are as frequent as in natural language (Zipf)."""
    vocabulary = ["".join(chance.choices("etaoinshrdlucmfw", k=chance.randint(3, 11))) for _ in range(VOCABULARY)]
    weights = [1 / rank for rank in range(1, VOCABULARY + 1)]
    for _ in range(count):
        yield " ".join(chance.choices(vocabulary, weights, k=chance.randint(*words)))


def measure(name: str, words: tuple[int, int], chance: random.Random) -> None:
    """One line of figures."""
    count = DOCUMENTS if words[1] < 1000 else DOCUMENTS // 10  # the long ones take longer
    texts = list(make_texts(words, count, chance))
    key = os.urandom(32)
    began = time.process_time()
    tokens = [document_tokens(key, os.urandom(32), [(TITLE, "subject"), (TEXT, text)]) for text in texts]
    seconds = time.process_time() - began
    text_bytes = sum(map(len, texts))
    token_bytes = 8 * sum(map(len, tokens))
    distinct = sum(len(set(words_of(text))) for text in texts) / count
    print(
        f"{name:22} {count / seconds:8.0f} documents/s  {distinct * count / seconds / 1000:6.0f} k words/s  "
        f"{text_bytes / count:7.0f} B of text  {token_bytes / count:6.0f} B of tokens  ({token_bytes / text_bytes:.2f})"
    )


def main() -> None:
    """Measure and print."""
    chance = random.Random(7)  # texts, not keys
    document_tokens(os.urandom(32), os.urandom(32), [(TEXT, "été")])  # the table of letters is made once
    for name, words in SIZES.items():
        measure(name, words, chance)
    began = time.process_time()
    for _ in range(1000):
        query_tokens(b"k" * 32, "invoice")
    per_day_us = (time.process_time() - began) * 1000
    print(f"searching              {per_day_us:8.1f} µs a word, agent, stream and day (16 tokens)")


if __name__ == "__main__":
    main()
