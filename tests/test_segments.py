"""How many segments a body takes, against other counters, and where it is cut."""

# ruff: noqa: RUF001 - look-alikes are the point

import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthog_twilio.message import count_segments
from posthog_twilio.segments import GSM7, is_gsm7, shorten, units

BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = "\f^{}\\[~]|€"
ALPHABETS = [BASIC, BASIC + EXTENSION, EXTENSION, BASIC + "ж’", BASIC + EXTENSION + "😀ж", "😀a"]
texts = st.one_of(
    st.text(max_size=400),
    *(st.text(st.sampled_from(alphabet), max_size=700) for alphabet in ALPHABETS),
)


def parts(body):
    """Lay *body* into segments one character after the other, as a handset would."""
    encoded = [
        [
            c.encode("utf-16-be", "surrogatepass")[i : i + 2]
            for i in range(0, 2 + 2 * (c > "\uffff"), 2)
        ]
        for c in body
    ]
    room = {True: 160, False: 153}, {True: 70, False: 67}
    gsm = not set(body) - set(BASIC) - set(EXTENSION)
    if gsm:
        encoded = [["\x1b", c] if c in EXTENSION else [c] for c in body]
    if sum(map(len, encoded)) <= room[not gsm][True]:
        return 1
    segments = [[]]
    for char in encoded:
        if len(segments[-1]) + len(char) > room[not gsm][False]:
            segments.append([])
        segments[-1] += char
    return len(segments)


def random_bodies(count):
    """Make bodies of every alphabet, many of them near the edges."""
    dice = random.Random(20261124)
    edges = [1, 35, 67, 70, 71, 134, 153, 160, 161, 306, 307, 459]
    for _ in range(count):
        length = max(1, dice.choice(edges) + dice.randint(-3, 3))
        yield "".join(dice.choices(dice.choice(ALPHABETS), k=length))


@pytest.mark.parametrize(
    ("body", "segments"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("€" * 152, 2),
        ("€" * 153, 3),  # one septet of each segment stays empty
        ("ж" * 70, 1),
        ("ж" * 71, 2),
        ("ж" * 134, 2),
        ("ж" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("😀" * 66, 2),
        ("😀" * 67, 3),  # 67 is odd: no pair is split
        ("[]" * 34 + "жж", 1),  # in UCS-2 a bracket takes one unit
        ("\x1b", 1),
        ("ç" * 71, 2),
        ("`" * 71, 2),
        ("\t" * 71, 2),
        ("\x1b" * 71, 2),
    ],
)
def test_edges(body, segments):
    """A body takes the segments that the 3GPP tables give it, on both sides of each edge."""
    assert count_segments(body) == segments


@given(texts)
def test_counts_as_laid_out(body):
    """The count is what laying out character after character gives."""
    assert count_segments(body) == parts(body)


def test_counts_as_smsutil():
    """An independent counter agrees on thousands of random bodies."""
    smsutil = pytest.importorskip("smsutil", reason="the independent counter is not installed")

    for body in random_bodies(4000):
        assert count_segments(body) == len(smsutil.split(body).parts), body


def test_counts_thousands_as_laid_out():
    """Without the independent counter, the layout agrees on the same random bodies."""
    for body in random_bodies(4000):
        assert count_segments(body) == parts(body), body


def test_the_alphabet_is_complete():
    """GSM-7 has 127 characters and 10 of the extension, none twice."""
    assert frozenset(BASIC + EXTENSION) == GSM7
    assert len(BASIC) == 127


@given(texts, st.integers(1, 12))
def test_shortened_fits(text, most):
    """What was cut never takes more segments or units than allowed."""
    short = shorten(text, most, 300)

    assert count_segments(short) <= most
    assert units(short) <= 300


@given(texts, st.one_of(st.none(), st.integers(1, 4)))
def test_shortened_is_a_beginning(text, most):
    """A cut text is a beginning with a visible end in its own encoding, else the text itself."""
    short = shorten(text, most)

    if short != text:
        end = "..." if is_gsm7(short) else "…"
        assert short.endswith(end)
        assert text.startswith(short.removesuffix(end))


@given(st.text(st.sampled_from("aж€[😀\n"), max_size=400), st.integers(1, 3))
def test_shortened_is_the_longest(text, most):
    """No longer beginning would have fitted."""
    short = shorten(text, most)

    if short != text:
        kept = len(short.removesuffix("...").removesuffix("…"))
        for longer in range(kept + 1, len(text) + 1):
            end = "..." if is_gsm7(text[:longer]) else "…"
            assert count_segments(text[:longer] + end) > most or units(text[:longer] + end) > 1600


@pytest.mark.parametrize(
    "character",
    ["👨‍👩‍👧‍👦", "👍🏽", "❤️", "é", "🇩🇪", "1️⃣", "नि"],
    ids=["family", "skin tone", "variation", "accent", "flag", "keycap", "vowel sign"],
)
def test_characters_stay_whole(character):
    """What a person sees as one character is never cut in two."""
    for shift in range(12):
        text = "ж" * shift + character * 100

        kept = shorten(text, 1).removesuffix("…").lstrip("ж")

        assert kept == character * (len(kept) // len(character))


def test_a_mark_after_plain_text_goes_with_its_base():
    """A cut before a mark that alone leaves GSM-7 takes the marked letter away too."""
    text = "a" * 156 + "e\u0301" + "b" * 100

    assert shorten(text, 1) == "a" * 156 + "..."


def test_a_heap_of_marks_is_cut():
    """A letter under thousands of marks is no reason to send nothing."""
    short = shorten("e" + "\u0301" * 5000, 1)

    assert len(short) == 70
    assert unicodedata.category(short[-2]) == "Mn"


def test_a_late_character_does_not_cost_the_early_ones():
    """Where the cut leaves only GSM-7, all of a GSM-7 segment is used."""
    assert shorten("a" * 170 + "😀", 1) == "a" * 157 + "..."
    assert shorten("a" * 157 + "😀", 1) == "a" * 157 + "..."
    assert shorten("a" * 68 + "😀😀", 1) == "a" * 68 + "..."
    assert shorten("a" * 67 + "😀😀", 1) == "a" * 67 + "😀…"


def test_the_end_fits_after_a_character_is_left_out():
    """Leaving a whole character out never leaves too little room for the longer end."""
    for length in range(290, 304):
        assert units(shorten("a" * length + "☝🏻" * 9, None, 300)) <= 300


@pytest.mark.parametrize("length", [7, 10, 100, 300, 1600])
def test_the_shorter_end_saves_the_last_characters(length):
    """Where the one-character end fits and three dots do not, more of the text is kept."""
    text = "a" * (length - 2) + "ж" + "b" * length

    assert shorten(text, None, length) == "a" * (length - 2) + "ж…"
