"""The normal form of a text: what makes two spellings of a name the same name."""

import re
import unicodedata

_MAX_FOLDED = 1 << 16
"""Code points remembered at most; the data set has about 12,000."""

_SPACES = re.compile(r"[\t-\r ]+")


def normal_form(text: str) -> str:
    """Brings a text into its normal form.

    NFKD without marks, full case folding, NFKD without marks again, then every run of U+0009 to
    U+000D and U+0020 becomes one space, and none stays at either end.

    Works code point by code point, which is the same: canonical reordering only moves marks, and
    marks are dropped. It is also what keeps a long run of marks from costing quadratic time.

    Args:
        text: Any text.

    Returns:
        The normal form; its own normal form is itself.
    """
    folded = text.lower() if text.isascii() else text.translate(_FOLDING)
    return _SPACES.sub(" ", folded).strip(" ")


class _Folding(dict[int, str]):
    """A translation table that fills itself with what it is asked for."""

    def __missing__(self, code_point: int) -> str:
        folded = _without_marks(_without_marks(chr(code_point)).casefold())
        if len(self) < _MAX_FOLDED:
            self[code_point] = folded
        return folded


def _without_marks(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(c for c in decomposed if unicodedata.combining(c) == 0)


_FOLDING = _Folding()
