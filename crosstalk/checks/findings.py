"""What a deep search tells of a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from crosstalk.checks.canary import Hit


@dataclass(frozen=True, slots=True)
class DeepHit:
    """A canary, and how it was hidden: the outermost first, () for one that stands there plainly.

    Names: those of `transforms.DECODERS`, and "case", "separators", "rot13", "reversed", "split" (no string holds it
    alone), "garbled" (head and most of the MAC), "piece" (no head). `hit.start` counts in the decoded text.
    """

    hit: Hit
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    `hits`: strangers, each once, by the plainest way; not verified only where they stand there plainly.
    `own`: known canaries that were seen, also hidden ones. `weak`: pieces that may be chance: never a violation.
    `bytes_skipped`: of texts and of what was decoded from them, beyond the budget: not looked at.
    `texts`: what was searched, every string of it at least once; () where the parts themselves are as good.
    """

    hits: tuple[DeepHit, ...] = ()
    own: frozenset[bytes] = frozenset()
    weak: tuple[DeepHit, ...] = ()
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # accounts' names, each by the plainest way
    bytes_looked_at: int = 0
    bytes_skipped: int = 0
    texts: tuple[bytes, ...] = ()
