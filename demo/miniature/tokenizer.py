"""CLIP's tokenizer, from the merges alone: byte-pair encoding of lower-cased text, 77 ids, padded with the end token.

The merges (demo/models/clip_merges.txt.xz) are the first 48 894 of OpenAI CLIP's `bpe_simple_vocab_16e6.txt` (MIT
licence); the vocabulary follows from them: 256 bytes, 256 bytes that end a word, the merges in order, start and end: 49
408 ids.
"""

import lzma
from functools import lru_cache
from pathlib import Path

import regex
import torch

MERGES = Path(__file__).parents[1] / "models" / "clip_merges.txt.xz"
LENGTH, START, END = 77, 49406, 49407
WORDS = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.IGNORECASE)


def byte_characters() -> dict[int, str]:
    """The printable character that stands for each byte, in the order of the vocabulary's first 256 entries."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [b for b in range(256) if b not in plain]
    return {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(other)}


class Tokenizer:
    """`Tokenizer()(texts)` -> ids [N, 77] int64; longer texts are cut."""

    def __init__(self, merges: Path = MERGES):
        pairs = [tuple(line.split()) for line in lzma.decompress(merges.read_bytes()).decode().splitlines()]
        self.rank = {pair: i for i, pair in enumerate(pairs)}
        self.bytes = byte_characters()
        characters = list(self.bytes.values())
        vocabulary = [*characters, *(c + "</w>" for c in characters), *("".join(pair) for pair in pairs)]
        self.id = {piece: i for i, piece in enumerate(vocabulary)}

    def __call__(self, texts: list[str]) -> torch.Tensor:
        rows = []
        for text in texts:
            ids = [i for word in WORDS.findall(" ".join(text.lower().split())) for i in self.word(word)][: LENGTH - 2]
            rows.append([START, *ids, *[END] * (LENGTH - 1 - len(ids))])
        return torch.tensor(rows)

    @lru_cache(4096)  # noqa: B019 - one tokenizer lives as long as the program
    def word(self, word: str) -> list[int]:
        """The ids of one word: merge the neighbouring pair of lowest rank until none is left."""
        pieces = [self.bytes[b] for b in word.encode()]
        pieces[-1] += "</w>"
        while len(pieces) > 1:
            best = min(zip(pieces, pieces[1:]), key=lambda pair: self.rank.get(pair, len(self.rank)))
            if best not in self.rank:
                break
            merged, i = [], 0
            while i < len(pieces):
                pair = i + 1 < len(pieces) and (pieces[i], pieces[i + 1]) == best
                merged.append("".join(best) if pair else pieces[i])
                i += 2 if pair else 1
            pieces = merged
        return [self.id[piece] for piece in pieces]
