"""The `netra` dialect to a target that repeats nothing: the references never reach it."""

from dataclasses import replace

from crosstalk.wire.dialect import Turn
from crosstalk.wire.netra import Netra


class Quiet(Netra):
    """Says what a user says, without the reference."""

    name = "quiet"

    def prompt(self, turn: Turn) -> str:
        return super().prompt(replace(turn, text=turn.text.partition("Please repeat")[0], context={}))
