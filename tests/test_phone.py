"""Addresses: what passes for one, and what must not."""

# ruff: noqa: RUF001 - look-alikes are the point

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthog_twilio import phone
from posthog_twilio.phone import as_recipient, channel, is_address, is_sender, mask, normalise

US = ("+1",)
WORLD = tuple(f"+{digit}" for digit in range(1, 10))


@pytest.fixture
def without_plans(monkeypatch):
    """Take the extra away."""
    monkeypatch.setattr(phone, "numbering_plans", lambda: None)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("+15550100001", "+1555•••0001"),
        ("to whatsapp:+447700900123!", "to whatsapp:+4477•••0123!"),
        ("+15550100", "+1•••00"),
        ("5550100", "55•••00"),
        ("555010", "555010"),
        ("from +15550100001 to +15550100002", "from +1555•••0001 to +1555•••0002"),
        ("", ""),
        (None, None),
    ],
)
def test_masks(text, shown):
    """A masked number is recognised by those who know it, and by nobody else."""
    assert mask(text) == shown


@given(st.from_regex(r"\+?[0-9]{7,15}", fullmatch=True))
def test_hides_something(number):
    """However short a number is, at least three of its characters are hidden."""
    assert len(mask(number)) - len("•••") <= len(number) - 3


@pytest.mark.parametrize(
    "text",
    [
        "+15550100001",
        "+1 555 010 0001",
        " +1 555 010 0001 ",
        "+1 (555) 010-0001",
        "+1-555-010-0001",
        "+1.555.010.0001",
        "[+1] 555 010 0001",
        "+1\u00a0555\u2009010\u202f0001",
        "+1 555\u2011010\u20130001",
        "0015550100001",
        "00 1 555 010 0001",
        "(00) 1 555-010-0001",
    ],
)
def test_accepts_what_people_write(text):
    """Blanks, dashes, dots, brackets and a leading 00 are how people write one number."""
    assert as_recipient(text, US) == "+15550100001"


@pytest.mark.parametrize(
    "number",
    ["+447700900123", "+4915112345678", "+33612345678", "+390212345678", "+29022501", "+15550100"],
)
def test_accepts_other_lengths(number):
    """Numbers of any plan and length pass, down to 8 digits."""
    assert as_recipient(number, WORLD) == number


@pytest.mark.parametrize("last", range(10))
def test_accepts_twilios_magic_numbers(last):
    """Twilio's documented test numbers pass, though their range is one of personal numbers."""
    number = f"+1500555000{last}"

    assert as_recipient(number, US) == number


ATTACKS = {
    "none": None,
    "empty": "",
    "blank": "   ",
    "int": 15550100001,
    "float": 15550100001.0,
    "bool": True,
    "list": ["+15550100001"],
    "dict": {"phone": "+15550100001"},
    "bytes": b"+15550100001",
    "no plus": "15550100001",
    "national": "555-010-0001",
    "national with trunk zero": "0555 0100001",
    "two pluses": "++15550100001",
    "plus inside": "1+5550100001",
    "plus at the end": "15550100001+",
    "double 00 and plus": "00+15550100001",
    "000": "00015550100001",
    "country 0": "+05550100001",
    "00 then 0": "0005550100001",
    "letters": "+1555CALLNOW",
    "vanity": "+1-800-FLOWERS",
    "x extension": "+15550100001x123",
    "ext extension": "+1 555 010 0001 ext. 5",
    "hash extension": "+15550100001#5",
    "semicolon extension": "+15550100001;ext=5",
    "dial pause": "+15550100001,,5",
    "dial wait": "+15550100001w5",
    "star": "*67+15550100001",
    "ussd": "*#21#",
    "tel URL": "tel:+15550100001",
    "sms URL": "sms:+15550100001",
    "https URL": "https://example.com/+15550100001",
    "whatsapp": "whatsapp:+15550100001",
    "messenger": "messenger:1234567890",
    "rcs": "rcs:+15550100001",
    "client": "client:alice",
    "sip": "sip:+15550100001@example.com",
    "e-mail": "+15550100001@example.com",
    "messaging service": "MG" + "0" * 32,
    "alphanumeric sender": "PostHog",
    "comma list": "+15550100001,+15550100002",
    "semicolon list": "+15550100001;+15550100002",
    "blank list": "+15550100001 +15550100002",
    "list without plus": "+15550100001 15550100002",
    "slash list": "+15550100001/2",
    "json list": '["+15550100001"]',
    "newline list": "+15550100001\n+15550100002",
    "newline at the end": "+15550100001\n",
    "newline inside": "+1555010\n0001",
    "carriage return": "+15550100001\r\nBcc: x",
    "tab": "+1555\t0100001",
    "null": "+15550100001\x00",
    "vertical tab": "+1555\x0b0100001",
    "line separator": "+1555\u20280100001",
    "fullwidth digits": "+１５５５０１００００１",
    "fullwidth plus": "\uff0b15550100001",
    "small plus": "\ufe6215550100001",
    "superscript plus": "\u207a15550100001",
    "arabic digits": "+١٥٥٥٠١٠٠٠٠١",
    "devanagari digit": "+1555010000१",
    "superscript digit": "+1555010000¹",
    "mathematical digit": "+1555010000\U0001d7cf",
    "right-to-left override": "\u202e+15550100001",
    "pasted marks": "\u202a+15550100001\u202c",
    "zero-width space": "+1555\u200b0100001",
    "zero-width joiner": "+1555\u200d0100001",
    "soft hyphen": "+1555\u00ad0100001",
    "byte order mark": "\ufeff+15550100001",
    "lone surrogate": "+15550100001\ud800",
    "emoji": "+15550100001☎️",
    "trunk zero in brackets": "+44 (0) 7700 900123",
    "trunk zero in square brackets": "+44[ 0 ]7700 900123",
    "short code": "12345",
    "short code with plus": "+12345",
    "emergency": "911",
    "emergency with plus": "+1911",
    "7 digits": "+1234567",
    "16 digits": "+1555010000112345",
    "13 digits in North America": "+1555010000112",
    "long": "+1555" + " " * 500 + "0100001",
    "endless": "+" + "1" * 100_000,
    "template": "{person.properties.phone}",
    "format string": "%s",
    "sql": "' OR 1=1 --",
    "script": "<script>alert(1)</script>",
    "not allowed": "+447700900123",
    "not allowed, Russia": "+79161234567",
    "not allowed, Cuba": "+5355501000",
    "not allowed by 00": "00447700900123",
    "satellite": "+881612345678",
    "international premium": "+979123456789",
    "longer than a test number": "+150055500012",
    "premium": "+19005550100",
    "premium, written nicely": "+1 (900) 555-0100",
    "premium by 00": "001 900 555 0100",
}


@pytest.mark.parametrize("value", ATTACKS.values(), ids=ATTACKS.keys())
@pytest.mark.parametrize("plans", ["with the extra", "without it"])
def test_refuses_attacks(value, plans, request):
    """Nothing but one number in an allowed country passes, and the reason repeats no number."""
    if plans == "without it":
        request.getfixturevalue("without_plans")
    with pytest.raises(ValueError, match=r".") as caught:
        as_recipient(value, US)

    reason = str(caught.value)
    digits = "".join(filter(str.isdigit, str(value)))
    assert len(digits) < 7 or digits not in reason
    assert reason.isprintable()
    assert len(reason) < 200


def test_the_attack_list_is_long():
    """More than sixty ways to abuse a recipient are tried."""
    assert len(ATTACKS) > 60


@pytest.mark.parametrize(
    "number",
    ["+19005550100", "+449011234567", "+447012345678", "+499001234567", "+41900123456",
     "+41901123456", "+41906123456", "+611901234567", "+979123456789"],
)  # fmt: skip
def test_costly_prefixes(number, without_plans):
    """Ranges that are costly as a whole are refused without the extra, and the plans agree."""
    plans = pytest.importorskip("phonenumbers")
    kind = plans.number_type(plans.parse(number))

    assert kind in (plans.PhoneNumberType.PREMIUM_RATE, plans.PhoneNumberType.PERSONAL_NUMBER)
    with pytest.raises(ValueError, match="premium-rate or personal"):
        as_recipient(number, WORLD)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("+33899123456", "a premium-rate number"),
        ("+39892000", "a premium-rate number"),
        ("+34806123456", "a premium-rate number"),
        ("+448431234567", "a premium-rate number"),
        ("+33820123456", "a shared-cost number"),
        ("+15212345678", "a personal number"),
        ("+447640123456", "a pager"),
        ("+445612345678", None),
        ("+445512345678", "a company's universal number"),
        ("+4402079460958", "too long, too short or misspelt"),
        ("+447700900123456", "too long, too short or misspelt"),
        ("+21012345678", "in no country's numbering plan"),
    ],
)
def test_numbering_plans(number, reason):
    """With the extra, the plans of every country tell what is costly or no number at all."""
    pytest.importorskip("phonenumbers")
    if reason is None:
        assert as_recipient(number, WORLD) == number
        return
    with pytest.raises(ValueError, match=reason):
        as_recipient(number, WORLD)


@pytest.mark.parametrize("text", ["+44 (0) 7700 900123", "+44[ 0 ]7700900123", "0044(0)7700900123"])
def test_a_zero_in_brackets_is_not_guessed(text, without_plans):
    """A trunk zero may or may not be dialled, so a number that shows one is refused."""
    with pytest.raises(ValueError, match="a zero in brackets"):
        as_recipient(text, ("+44",))


def test_fictional_numbers_pass():
    """Numbers kept for fiction, which are assigned to nobody, pass: they are possible."""
    assert as_recipient("+15550100001", US) == "+15550100001"


def test_the_extra_may_be_missing(monkeypatch):
    """Without phonenumbers the module is reported as absent, and numbers pass by their form."""
    monkeypatch.setitem(__import__("sys").modules, "phonenumbers", None)
    phone.numbering_plans.cache_clear()
    try:
        assert phone.numbering_plans() is None
        assert as_recipient("+33899123456", WORLD) == "+33899123456"
    finally:
        phone.numbering_plans.cache_clear()


def test_no_allowed_country_allows_nothing():
    """Without a list of countries nobody is texted."""
    with pytest.raises(
        ValueError, match=r"\+1555•••0001 is in no allowed country \(there is none\)"
    ):
        as_recipient("+15550100001", ())


def test_a_longer_prefix_narrows():
    """An allowed prefix may be longer than a country code."""
    assert as_recipient("+15550100001", ("+44", "+1555")) == "+15550100001"
    with pytest.raises(ValueError, match="no allowed country"):
        as_recipient("+15550100001", ("+44", "+1556"))


@given(st.text())
def test_normalise_is_idempotent(text):
    """A normalised number stays as it is."""
    once = normalise(text)

    assert normalise(once) == once or once.startswith("00")


@given(st.text("+0123456789 -.()[]\u00a0", max_size=30))
def test_what_passes_is_exact(text):
    """Whatever passes is E.164, allowed, and has the digits of what was written."""
    try:
        number = as_recipient(text, US)
    except ValueError:
        return

    assert phone.E164.fullmatch(number)
    assert number.startswith("+1")
    assert number[1:] == "".join(filter(str.isdigit, text)).removeprefix("00")


@pytest.mark.parametrize(
    "text",
    [
        "+15550100001",
        "whatsapp:+15550100001",
        "messenger:100012345",
        "rcs:brand_agent",
        "rcs:+15550100001",
    ],
)
def test_addresses(text):
    """Numbers and the addresses of known channels can be texted, and can text."""
    assert is_address(text)
    assert is_sender(text)


NO_ADDRESSES = [
    "", "15550100001", "+0555", "+1", "+15550100001\n", "+1 555 010 0001", "whatsapp:15550100001",
    "whatsapp:", ":+15550100001", "messenger:", "messenger:a b", "rcs:", "rcs:a:b",
    "foo:+15550100001",
    "WhatsApp:+15550100001", "+１５５５０１００００１", "{person.properties.phone}",
]  # fmt: skip


@pytest.mark.parametrize("text", [*NO_ADDRESSES, "12345", "PostHog", "MG" + "0" * 32])
def test_no_addresses(text):
    """Anything else cannot be texted: no short code, no name, no unknown channel."""
    assert not is_address(text)


@pytest.mark.parametrize(
    "text", ["123", "12345678", "PostHog", "Post Hog 24", "A", "MG" + "0aF9" * 8]
)
def test_senders(text):
    """Short codes, names and Messaging Services can text."""
    assert is_sender(text)


@pytest.mark.parametrize(
    "text",
    ["", "12", "123456789", "PostHog alert", "Größe", "Post-Hog", " A", "A ", "1 2", "A\n",
     "MG" + "0" * 31, "MG" + "g" * 32, "foo:+15550100001"],
)  # fmt: skip
def test_no_senders(text):
    """Anything else cannot."""
    assert not is_sender(text)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("+15550100001", "sms"),
        ("whatsapp:+15550100001", "whatsapp"),
        ("whatsapp:{person.properties.phone}", "whatsapp"),
        ("{event.properties.a:b}", "sms"),
        ("whatsapp", "sms"),
        ("MG" + "0" * 32, "sms"),
    ],
)
def test_channel(address, name):
    """An address names its channel before a colon, else it is SMS."""
    assert channel(address) == name
