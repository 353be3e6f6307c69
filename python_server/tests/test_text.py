import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gazetteer_server.domain.text import normal_form


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("  New\t\r\nYork  ", "new york"),
        ("New\u00a0York", "new york"),
        ("New\u3000York", "new york"),
        ("New\u0085York", "new\u0085york"),
        ("New\u2028York", "new\u2028york"),
        ("New\u001cYork", "new\u001cyork"),
        ("Weißwasser", "weisswasser"),
        ("WEIẞWASSER", "weisswasser"),
        ("\u0130zmir", "izmir"),
        ("Saatl\u0131", "saatl\u0131"),
        ("Αθήνας", "αθηνασ"),
        ("\ufb01", "fi"),
        ("\uff22\uff45\uff52\uff4c\uff49\uff4e", "berlin"),
        ("S\u00e3o", "sao"),
        ("Sa\u0303o", "sao"),
        ("\u00c5rhus", "arhus"),
        ("\u30d9", "\u30d8"),
        ("\ud55c", "\u1112\u1161\u11ab"),
        ("\u0301\u0323", ""),
        ("\u1fb3", "\u03b1"),
        ("\u0916\u094d", "\u0916"),
        ("\uab70", "\u13a0"),
    ],
)
def test_brings_a_text_into_its_normal_form(text: str, expected: str) -> None:
    assert normal_form(text) == expected


@given(st.text())
def test_the_normal_form_of_a_normal_form_is_itself(text: str) -> None:
    once = normal_form(text)
    assert normal_form(once) == once


@given(st.text())
def test_agrees_with_decomposing_the_text_as_a_whole(text: str) -> None:
    def strip(whole: str) -> str:
        decomposed = unicodedata.normalize("NFKD", whole)
        return "".join(c for c in decomposed if not unicodedata.combining(c))

    folded = strip(strip(text).casefold())
    spaced = "".join(" " if c in "\t\n\v\f\r" else c for c in folded)
    assert normal_form(text) == " ".join(word for word in spaced.split(" ") if word)


def test_a_long_run_of_marks_costs_no_more_than_other_text() -> None:
    # Canonical reordering of so many would take minutes.
    assert normal_form("a" + "\u0301\u0323" * 500_000) == "a"
