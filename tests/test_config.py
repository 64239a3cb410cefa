"""Settings in, a valid Config or every fault at once out."""

from __future__ import annotations

import pickle
import sys

import pytest

from posthog_twilio import ConfigError, manifest
from posthog_twilio.config import DEFAULT_TEMPLATE, Config, keys

MASK = "**************** POSTHOG SECRET FIELD ****************"
PHONES = "order shipped:{person.properties.phone}"


@pytest.fixture
def parse(twilio_config):
    """Parse a valid config with some settings changed."""
    return lambda **changes: Config.parse({**twilio_config, **changes})


@pytest.fixture
def problems_of(parse):
    """Return the problems of a config with some settings changed."""

    def problems(**changes):
        with pytest.raises(ConfigError) as caught:
            parse(**changes)
        return list(caught.value.problems)

    return problems


class TestDefaults:
    def test_the_original_five_are_enough(self, twilio_config):
        """Every working config of the original works; the rest has defaults."""
        config = Config.parse(twilio_config)

        assert config.cooldown == 60
        assert config.template == DEFAULT_TEMPLATE
        assert (config.scope, config.when_in_doubt) == ("event", "report")
        assert (config.daily_limit, config.max_segments, config.base_url) == (None, None, None)

    def test_no_timeout_is_a_minute(self, twilio_config):
        """An absent timeout is the form's default, never for ever."""
        del twilio_config["timeout"]

        assert Config.parse(twilio_config).cooldown == 60

    @pytest.mark.parametrize("blank", ["", "  ", None])
    def test_a_box_left_empty_means_the_default(self, parse, blank):
        """An optional setting may be blank, as an untouched form sends it."""
        optional = [k for k in keys() if k not in ORIGINAL]

        assert parse(**dict.fromkeys(optional, blank)) == parse()


ORIGINAL = (
    "accountSID",
    "authToken",
    "triggeringEventsAndNumber",
    "senderPhoneNumber",
    "timeout",
)


class TestTimeout:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [("60", 60), (60, 60), ("1", 1), ("31536000", 31_536_000), (" 60 ", 60), ("60\n", 60)],
        ids=repr,
    )
    def test_whole_seconds_are_taken(self, parse, value, seconds):
        """Text and numbers from a second to a year, blanks around them allowed."""
        assert parse(timeout=value).cooldown == seconds

    @pytest.mark.parametrize(
        "value",
        [
            *("0", "-1", "", "31536001", "Infinity", "NaN", "abc", "60s", "1_000", "６０", "٦٠"),  # noqa: RUF001
            *("1e3", "0x10", "0.5", "60.0", "+60", "060", "6 0", "99999999999999999999"),
            *(0, -1, 31_536_001, 60.0, float("nan"), float("inf"), True, False, None),
            *([], ["60"], {}, b"60"),
        ],
        ids=repr,
    )
    def test_anything_else_is_refused(self, problems_of, value):
        """What only looks like a number of seconds says what is expected, and what it is."""
        (problem,) = problems_of(timeout=value)

        assert problem.startswith("timeout: expected whole seconds from 1 to 31536000, got ")

    def test_a_number_in_the_wrong_box_is_masked(self, problems_of):
        """Rule 8, also where a phone number came as a number."""
        assert "15550100001" not in problems_of(timeout=15550100001)[0]

    def test_the_sentence_is_the_promised_one(self, problems_of):
        """Setting, expectation and value, in plugin.json's words."""
        assert problems_of(timeout="0") == [
            "timeout: expected whole seconds from 1 to 31536000, got '0'"
        ]


class TestTriggers:
    @pytest.mark.parametrize(
        ("text", "triggers"),
        [
            ("a:+15550100", {"a": ("+15550100",)}),
            (" a : +15550100 , b:+15550101", {"a": ("+15550100",), "b": ("+15550101",)}),
            ("a:+15550100,a:+15550101", {"a": ("+15550100", "+15550101")}),
            ("a:+15550100,a:+15550100", {"a": ("+15550100",)}),
            ("user:created:+15550100", {"user:created": ("+15550100",)}),
            ("a:+15550100,", {"a": ("+15550100",)}),
            ("a:+15550100\nb:+15550101\r\n", {"a": ("+15550100",), "b": ("+15550101",)}),
            ("a:+15550100\rb:+15550101", {"a": ("+15550100",), "b": ("+15550101",)}),
            ("\ufeffa:+15550100\u00a0", {"a": ("+15550100",)}),
            ("__proto__:+15550100", {"__proto__": ("+15550100",)}),
            ("$pageview:+15550100", {"$pageview": ("+15550100",)}),
            ("step:1:+15550100", {"step:1": ("+15550100",)}),
        ],
        ids=[
            *(
                "one",
                "blanks",
                "two numbers",
                "twice the same",
                "colon",
                "empty entry",
                "lines",
                "old lines",
            ),
            *("byte order mark", "proto", "dollar", "digit"),
        ],
    )
    def test_entries_split_before_the_address(self, parse, text, triggers):
        """A name ends where its address begins, whatever colons it holds."""
        assert parse(triggeringEventsAndNumber=text).triggers == triggers

    def test_a_channel_belongs_to_the_address(self, parse):
        """whatsapp: before a number is part of the address, not of the name."""
        config = parse(
            triggeringEventsAndNumber="a:b:whatsapp:+15550100",
            senderPhoneNumber="whatsapp:+15550199",
        )

        assert config.triggers == {"a:b": ("whatsapp:+15550100",)}

    @pytest.mark.parametrize("address", ["rcs:brand_agent", "messenger:1234", "rcs:+15550100"])
    def test_other_channels_belong_to_theirs(self, parse, address):
        """So do messenger: and rcs:."""
        sender = f"{address.partition(':')[0]}:us"
        config = parse(triggeringEventsAndNumber=f"a:b:{address}", senderPhoneNumber=sender)

        assert config.triggers == {"a:b": (address,)}

    @pytest.mark.parametrize("braces", ["{{{}}}", "{{{{ {} }}}}"], ids=["single", "liquid"])
    def test_a_recipient_can_come_from_the_event(self, parse, braces):
        """A path in braces stands for the number that an event carries."""
        config = parse(
            triggeringEventsAndNumber="order:" + braces.format("person.properties.phone"),
            allowedCountryCodes="+1, +44",
        )

        assert config.triggers == {"order": ("{person.properties.phone}",)}
        assert config.country_codes == ("+1", "+44")

    def test_a_mapping_can_name_anything(self, parse):
        """In Python, a name may hold commas, and a value may be a list."""
        given = {"a,b": ["+15550101", "+15550102"], " c ": "+15550100"}

        assert parse(triggeringEventsAndNumber=given).triggers == {
            "a,b": ("+15550101", "+15550102"),
            " c ": ("+15550100",),
        }

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            ("", "missing"),
            (None, "missing"),
            (",", "missing"),
            ({}, "missing"),
            ("{Sample keys}", "placeholder"),
            ("a", "expected event:number, got 'a'"),
            ("a:", "expected event:number, got 'a:'"),
            (":+15550100", "expected event:number, got ':+1•••00'"),
            ("a:+15550100:extra", "expected one number an entry"),
            ("a:+15550100:+15550101", "expected one number an entry"),
            ("a:WhatsApp:+15550100", "expected one number an entry"),
            ("a:5551234", "'a': expected an E.164 number"),
            ("a:+1 555 222", "'a': expected an E.164 number"),
            ("a:+١٥٥٥٠١٠٠", "'a': expected an E.164 number"),  # noqa: RUF001
            ("a:+05550100", "'a': expected an E.164 number"),
            ("a:+1234567890123456", "'a': expected an E.164 number"),
            ("a:{phone}", "'a': expected a path"),
            ("a:{person}", "'a': expected a path"),
            ("a:messenger:{person.properties.id}", "'a': expected an E.164 number"),
            ({"a": []}, "'a': missing"),
            ({"a": None}, "'a': missing"),
            ({"": "+15550100"}, "expected the name of an event or action, got ''"),
            ({7: "+15550100"}, "expected the name of an event or action, got 7"),
            ({"a": 15550100}, "'a': expected an E.164 number such as +15550100, got an int"),
            (7, "expected event:number,event:number or a mapping of names to numbers, got an int"),
            (["a:+15550100"], "got a list"),
        ],
        ids=repr,
    )
    def test_faulty_entries_are_named(self, problems_of, value, said):
        """An entry that could only be guessed at is refused by its name."""
        (problem,) = problems_of(triggeringEventsAndNumber=value)

        assert problem.startswith("triggeringEventsAndNumber: ")
        assert said in problem

    def test_all_faulty_entries_are_named_in_one_go(self, problems_of):
        """One look at the form is enough to mend it."""
        assert len(problems_of(triggeringEventsAndNumber="a,b:1,c:+15550100,d:2")) == 3


class TestCredentials:
    @pytest.mark.parametrize("key", ["accountSID", "authToken", "apiKeySID"])
    @pytest.mark.parametrize(
        "value", ["{your SID}", "{your token}", MASK, "two words", "naïve", 7, ["x"], True]
    )
    def test_what_is_none_is_refused_and_never_shown(self, problems_of, key, value):
        """Placeholders, PostHog's mask and other text are no credential, nor are they told."""
        (problem,) = problems_of(**{key: value})

        assert problem.startswith(f"{key}: ")
        assert str(value).strip("{}") not in problem or value in (7, True)
        assert ("PostHog's mask for a secret" in problem) is (value == MASK)
        assert ("the form's placeholder" in problem) is str(value).startswith("{your")

    @pytest.mark.parametrize("key", ["accountSID", "authToken"])
    @pytest.mark.parametrize("value", ["", " ", None])
    def test_required_ones_cannot_be_empty(self, problems_of, key, value):
        """A required credential that is not there is missing."""
        assert problems_of(**{key: value}) == [f"{key}: missing"]

    @pytest.mark.parametrize(
        "sid", ["AC123", "SK" + "0" * 32, "AC" + "g" * 32, "AC" + "0" * 33, "AC/../" + "0" * 28]
    )
    def test_an_account_sid_has_its_form(self, problems_of, sid):
        """It goes into a URL raw, so its form is checked; a token in its box is not shown."""
        assert problems_of(accountSID=sid) == [
            f"accountSID: expected AC and 32 hexadecimal digits, got {len(sid)} other characters"
        ]

    def test_blanks_around_them_go(self, parse, twilio_config):
        """What was pasted with blanks is taken without them."""
        config = parse(authToken=f" {twilio_config['authToken']}\n")

        assert config.auth_token == twilio_config["authToken"]

    def test_the_repr_shows_none(self, parse, twilio_config):
        """Neither credentials nor numbers show in a Config's repr."""
        shown = repr(parse(apiKeySID="SK" + "1" * 32, actions=[{"name": "of customers"}]))

        assert twilio_config["authToken"] not in shown
        assert "AC0123" not in shown
        assert "SK1" not in shown
        assert "5550100001" not in shown
        assert "5005550006" not in shown
        assert "of customers" not in shown


class TestSender:
    @pytest.mark.parametrize("sender", ["+15550199", "12345", "ACME Shop", "MG" + "a" * 32])
    def test_what_twilio_takes_is_taken(self, parse, sender):
        """Numbers, short codes, names and services."""
        assert parse(senderPhoneNumber=f" {sender} ").sender == sender

    @pytest.mark.parametrize(
        "sender",
        [
            "",
            None,
            "{+countrycodephone}",
            "+0",
            "12",
            "123456789",
            "TwelveLetters",
            "MG" + "0" * 31,
            "Ünï",
            5,
        ],
    )
    def test_anything_else_is_refused(self, problems_of, sender):
        """The error says what could stand there."""
        (problem,) = problems_of(senderPhoneNumber=sender)

        assert problem.startswith("senderPhoneNumber: ")
        assert ("the form's placeholder" in problem) is (sender == "{+countrycodephone}")

    @pytest.mark.parametrize(
        ("sender", "recipient"),
        [("+15550199", "whatsapp:+15550100"), ("whatsapp:+15550199", "+15550100")],
    )
    def test_both_ends_are_on_one_channel(self, problems_of, sender, recipient):
        """Twilio would refuse each message; better now than then."""
        (problem,) = problems_of(
            senderPhoneNumber=sender, triggeringEventsAndNumber={"a": recipient}
        )

        assert problem.startswith("senderPhoneNumber: expected the channel of 'a'")

    def test_a_service_serves_all_channels(self, parse):
        """A Messaging Service may hold senders of several channels."""
        parse(
            senderPhoneNumber="MG" + "a" * 32,
            triggeringEventsAndNumber={"a": ["whatsapp:+15550100", "+15550100"]},
        )

    def test_nobody_texts_themselves(self, problems_of):
        """A recipient that is the sender would be refused by Twilio."""
        (problem,) = problems_of(triggeringEventsAndNumber="a:+15005550006")

        assert "the sender itself" in problem


class TestOptional:
    @pytest.mark.parametrize(
        ("key", "value", "said"),
        [
            ("timeoutScope", "team", "expected event or person, got 'team'"),
            ("timeoutScope", 1, "expected event or person, got 1"),
            ("whenInDoubt", "guess", "expected report or ask or resend, got 'guess'"),
            ("messageTemplate", 7, "expected text, got 7"),
            ("messageTemplate", "Hi {user.name}", "expected a path from event. or person."),
            ("messageTemplate", "Hi {event}", "expected a path from event. or person."),
            ("dailyLimit", "0", "expected a whole number from 1 to 100000, got '0'"),
            ("dailyLimit", 1.5, "expected a whole number from 1 to 100000, got 1.5"),
            ("maxSegments", "25", "expected a whole number from 1 to 24, got '25'"),
            ("maxSegments", True, "expected a whole number from 1 to 24, got True"),
            ("allowedCountryCodes", "1", "expected country codes such as +1,+44, got '1'"),
            ("allowedCountryCodes", 44, "expected country codes such as +1,+44, got '44'"),
            ("allowedCountryCodes", ["+1", None], "expected country codes such as +1,+44"),
            ("allowedCountryCodes", "+1,,+44", "expected country codes such as +1,+44, got ''"),
            ("apiBaseURL", "http://api.twilio.com", "expected https://..., or http:// to loopback"),
            ("apiBaseURL", "ftp://127.0.0.1", "expected https://..., or http:// to loopback"),
            ("apiBaseURL", "https://", "expected https://..., or http:// to loopback"),
            ("apiBaseURL", "https://u:p@twilio.com", "with no user, query or fragment"),
            ("apiBaseURL", "https://twilio.com?x=1", "with no user, query or fragment"),
            ("apiBaseURL", "https://[", "expected https://..., or http:// to loopback"),
            ("apiBaseURL", "http://localhost:99999", "expected https://..., or http://"),
            ("apiBaseURL", "https://twilio.com:99999", "expected https://..., or http://"),
            ("apiBaseURL", "https://twilio.com:api", "expected https://..., or http://"),
            ("apiBaseURL", "https://twilio.com:0", "expected https://..., or http://"),
            ("apiBaseURL", "http://localhost:0", "expected https://..., or http://"),
            ("apiBaseURL", "https://@twilio.com", "with no user, query or fragment"),
            ("apiBaseURL", "https://twilio.com#x", "with no user, query or fragment"),
            ("apiBaseURL", "https://twilio .com", "with no user, query or fragment"),
            ("apiBaseURL", "https:\\\\twilio.com", "with no user, query or fragment"),
            ("allowedCountryCodes", "+", "expected country codes such as +1,+44, got '+'"),
            ("allowedCountryCodes", "+044", "expected country codes such as +1,+44, got '+044'"),
            ("messageTemplate", "\u2003", "missing"),
            ("apiBaseURL", 7, "expected an https URL, got an int"),
        ],
        ids=str,
    )
    def test_faults_name_what_is_expected(self, problems_of, key, value, said):
        """Each optional setting is checked as strictly as the required ones."""
        (problem,) = problems_of(**{key: value})

        assert problem.startswith(f"{key}: ")
        assert said in problem

    @pytest.mark.parametrize(
        ("given", "taken"),
        [
            ("https://api.dublin.ie1.twilio.com/", "https://api.dublin.ie1.twilio.com"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://localhost", "http://localhost"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ],
    )
    def test_an_edge_or_an_emulator_can_be_named(self, parse, given, taken):
        """Https anywhere, http to this machine."""
        assert parse(apiBaseURL=given).base_url == taken

    def test_natural_types_are_taken(self, parse):
        """In Python, numbers are numbers and lists are lists."""
        config = parse(dailyLimit=5, maxSegments=2, allowedCountryCodes=["+1", "+1"])

        assert (config.daily_limit, config.max_segments, config.country_codes) == (5, 2, ("+1",))

    def test_numbers_from_event_data_need_countries(self, problems_of):
        """Whoever can post an event could otherwise text the world at our expense."""
        mixed = {"order shipped": ["+15550100", "{person.properties.phone}"]}
        assert len(problems_of(triggeringEventsAndNumber=mixed)) == 1
        assert problems_of(triggeringEventsAndNumber=PHONES) == [
            "allowedCountryCodes: missing; 'order shipped' texts numbers from event data"
        ]


class TestAllInOneGo:
    def test_every_faulty_setting_is_reported_at_once(self):
        """An empty config misses all that is required, and nothing else."""
        with pytest.raises(ConfigError) as caught:
            Config.parse({"tiemout": 5, "zzz": 1})

        assert caught.value.problems == [
            "accountSID: missing",
            "authToken: missing",
            "triggeringEventsAndNumber: missing",
            "senderPhoneNumber: missing",
            "tiemout: unknown setting; did you mean timeout?",
            "zzz: unknown setting",
        ]

    @pytest.mark.parametrize("settings", [None, [], "config", 3])
    def test_no_mapping_is_no_config(self, settings):
        """What is no mapping at all is said to be none."""
        with pytest.raises(ConfigError, match="config: expected a mapping"):
            Config.parse(settings)

    def test_the_error_is_a_value_error_that_travels(self):
        """Hosts catch ValueError, and engines pickle it."""
        error = ConfigError(["timeout: missing"])

        assert isinstance(error, ValueError)
        assert pickle.loads(pickle.dumps(error)).problems == ["timeout: missing"]
        assert str(error) == "invalid plugin settings\n  timeout: missing"


class TestWhatErrorsShow:
    @pytest.mark.parametrize("number", ["+1 555 010 0001", "1 (555) 010-0001", "+15550100001 x"])
    def test_no_number_however_it_is_written(self, problems_of, number):
        """Blanks and brackets do not bring a number past the mask."""
        (problem,) = problems_of(triggeringEventsAndNumber={"a": number})

        assert "•••" in problem
        assert "010 0001" not in problem
        assert "010-0001" not in problem

    @pytest.mark.parametrize("key", ["senderPhoneNumber", "triggeringEventsAndNumber"])
    def test_no_token_in_the_wrong_box(self, problems_of, key, twilio_config):
        """A token pasted into another box is not told."""
        (problem,) = problems_of(**{key: twilio_config["authToken"]})

        assert "(32 letters and digits)" in problem
        assert twilio_config["authToken"][:8] not in problem


class TestManifest:
    def fields(self):
        return {field["key"]: field for field in manifest()["config"] if "key" in field}

    def test_it_and_the_config_know_the_same_settings(self):
        """Neither plugin.json nor Config knows a setting that the other does not."""
        assert tuple(self.fields()) == keys()

    def test_the_original_five_are_as_they_were(self):
        """Same keys, all text, all required, a timeout of a minute."""
        fields = self.fields()

        assert all(fields[key]["type"] == "string" for key in ORIGINAL)
        assert [key for key, field in fields.items() if field["required"]] == list(ORIGINAL)
        assert fields["timeout"]["default"] == "60"

    def test_a_wheel_carries_it(self, monkeypatch, tmp_path):
        """Installed, it lies inside the package; in a checkout, beside it."""
        monkeypatch.setattr(sys.modules["posthog_twilio.manifest"], "__file__", str(tmp_path / "m"))
        (tmp_path / "plugin.json").write_text('{"name": "inside"}', "utf-8")

        assert manifest() == {"name": "inside"}

    def test_every_field_helps_a_person(self):
        """Each has a name, a hint and a default as text; credentials are secret."""
        for field in self.fields().values():
            assert field["name"]
            assert field["hint"]
            assert isinstance(field["default"], str)
        secret = {key for key, field in self.fields().items() if field.get("secret")}
        assert secret == {"accountSID", "authToken", "apiKeySID"}

    def test_its_defaults_and_choices_are_configs(self, parse):
        """What the form offers is what an absent setting means."""
        optional = {k: f["default"] for k, f in self.fields().items() if k not in ORIGINAL}
        config = parse(**{**optional, "actions": "[]"})

        assert (config.template, config.scope, config.when_in_doubt) == (
            DEFAULT_TEMPLATE,
            "event",
            "report",
        )
        for key in ("timeoutScope", "whenInDoubt"):
            for choice in self.fields()[key]["choices"]:
                parse(**{key: choice})

    def test_an_untouched_form_is_refused(self):
        """The form's own defaults lack what only a person can know."""
        with pytest.raises(ConfigError) as caught:
            Config.parse({key: field["default"] for key, field in self.fields().items()})

        assert len(caught.value.problems) == 4
