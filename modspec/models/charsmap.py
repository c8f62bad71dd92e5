"""sentencepiece's compiled character map: which strings the tokenizer replaces by which.

``tokenizers.normalizers.Precompiled`` takes it as bytes: the length of a trie, the trie as a double
array in the layout of darts-clone, then the replacements, each ended by a zero byte.
"""

from __future__ import annotations

import struct
import sys
import unicodedata
from collections.abc import Mapping

import numpy as np

# tokenizers looks up graphemes of up to so many bytes as wholes, longer ones by character.
LONGEST_GRAPHEME = 5
HAS_LEAF, IS_LEAF, OFFSET_SHIFT = 1 << 8, 1 << 31, 10


def compositions() -> dict[str, str]:
    """Letters with separate marks -> NFKC, as far as tokenizers looks them up."""
    rules = {}
    for character in map(chr, range(sys.maxunicode + 1)):
        parts = unicodedata.normalize("NFD", character)
        if len(parts) > 1 and len(parts.encode()) <= LONGEST_GRAPHEME:
            if unicodedata.normalize("NFC", parts) == character:
                rules[parts] = unicodedata.normalize("NFKC", character)
    return rules


def compile_rules(rules: Mapping[str, str]) -> bytes:
    """The compiled map of ``rules``: strings without a zero character -> replacements."""
    replacements = bytearray()
    root: dict = {}
    for source, target in sorted(rules.items()):
        node = root
        for byte in source.encode():
            node = node.setdefault(byte, {})
        node[0] = len(replacements)
        replacements += target.encode() + b"\0"
    units = _double_array(root)
    return struct.pack("<I", units.nbytes) + units.tobytes() + bytes(replacements)


def _double_array(root: dict) -> np.ndarray:
    """A trie of nested dictionaries {byte: node, 0: value} as uint32 units.

    A node has a base of its own; its child for byte b stands at base ^ b and is labelled b.
    """
    units: dict[int, int] = {0: 0}
    base = 0
    pending = [(0, root)]
    while pending:
        position, node = pending.pop()
        # Ever higher bases leave gaps but need no search of what is already full.
        base += 1
        while any(base ^ byte in units for byte in node):
            base += 1
        units[position] |= (position ^ base) << OFFSET_SHIFT | (HAS_LEAF if 0 in node else 0)
        for byte, child in node.items():
            if byte:
                units[base ^ byte] = byte
                pending.append((base ^ byte, child))
            else:
                units[base] = IS_LEAF | child
    # A look-up may land anywhere in the 256 units around a base.
    array = np.zeros((max(units) | 255) + 1, dtype="<u4")
    array[list(units)] = list(units.values())
    return array
