"""Settings: where they come from, which one goes first, and what is refused in which words."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.harness.tls import self_signed

from heliograph import config
from heliograph.cli.config import template
from heliograph.config import ConfigError, Settings, SimulatorSettings, SmppSettings, load, read
from heliograph.messaging.retry import DoubtPolicy, SubmitClass
from heliograph.webhooks.sender import MAX_TIMEOUT_SECONDS


def file(folder: Path, text: str) -> Path:
    path = folder / "heliograph.toml"
    path.write_text(text)
    return path


def problems(path: Path | None, env: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, env)
    return caught.value.problems


def test_without_a_file_and_an_environment_everything_has_its_default() -> None:
    settings = load(None, {"PATH": "/bin"})
    assert settings == Settings()
    assert settings.data.dir == "./heliograph-data"
    assert (settings.http.host, settings.http.port, settings.http.lean_door) == ("127.0.0.1", 8747, True)
    assert (settings.limits.recipients, settings.limits.segments) == (1000, 10)
    assert settings.prices == {"default": {"": "1.00"}}
    assert list(settings.carriers) == [settings.messages.default_carrier] == ["simulator"]


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    path = file(tmp_path, "[http]\nport = 1\nhost = '0.0.0.0'\nkeep_alive_seconds = 9\n")
    env = {"HELIOGRAPH_HTTP__PORT": "2", "HELIOGRAPH_HTTP__KEEP_ALIVE_SECONDS": "8"}
    effective = read(path, env, preset={"http.host": "::", "log.level": "error"}, given={"http.port": 3})
    http = effective.settings.http
    assert (http.port, http.keep_alive_seconds, http.host) == (3, 8, "0.0.0.0")
    assert effective.settings.log.level == "error"
    assert effective.origins == {
        "http.port": "command line",
        "http.keep_alive_seconds": "HELIOGRAPH_HTTP__KEEP_ALIVE_SECONDS",
        "http.host": str(path),
        "log.level": "preset",
    }


@pytest.mark.parametrize("setting", config.reference(), ids=lambda setting: setting.name)
def test_every_setting_is_described_and_can_be_set_by_its_variable(setting: config.Setting) -> None:
    assert setting.description.endswith(".")
    default = setting.default
    text = ",".join(default) if isinstance(default, tuple | list) else str(default)
    effective = read(None, {setting.variable: text})
    assert effective.settings == Settings()
    assert effective.origins == {setting.name: setting.variable}


def test_lists_in_the_environment_are_separated_by_commas() -> None:
    env = {"HELIOGRAPH_CALLBACKS__ALLOW_NETWORKS": "127.0.0.0/8, ::1/128,"}
    assert load(None, env).callbacks.allow_networks == ("127.0.0.0/8", "::1/128")


def test_the_data_folder_has_a_short_variable_and_the_long_one_goes_before_it() -> None:
    assert load(None, {"HELIOGRAPH_DATA": "/a"}).data.dir == "/a"
    assert load(None, {"HELIOGRAPH_DATA": "/a", "HELIOGRAPH_DATA__DIR": "/b"}).data.dir == "/b"


def test_a_file_with_carriers_or_prices_replaces_the_default_ones(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        """
        [messages]
        default_carrier = "b"
        [carriers.b]
        doubt = "hold"
        [carriers.c]
        [prices.default]
        44 = "0.05"
        [prices.cheap]
        "" = "0.01"
        """,
    )
    settings = load(path, {"HELIOGRAPH_CARRIERS__C__WINDOW": "20", "HELIOGRAPH_PRICES__DEFAULT__": "3"})
    assert set(settings.carriers) == {"b", "c"}
    assert settings.carriers["b"].doubt is DoubtPolicy.HOLD
    assert settings.carriers["c"].window == 20
    assert settings.prices == {"default": {"44": "0.05", "": "3"}, "cheap": {"": "0.01"}}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[http]\nprot = 9", ["http.prot = 9", "did you mean http.port?"]),
        ("[htpt]\nport = 9", ["htpt.port", "did you mean http.port?"]),
        ("[server]\nport = 9", ["server.port", "did you mean http.port?"]),
        ("[nonsense]\nx = 1", ["nonsense.x", "the sections are data, http"]),
        (
            "[limits]\nzzz = 1",
            ["limits.zzz", "the settings of [limits] are recipients, segments, waiting_rows, failed_tokens_per_minute"],
        ),
        ("http = 3", ["http = 3", "the settings of [http] are"]),
        ("loose = 3", ["loose = 3", "the sections are"]),
        ("[carriers.b]\nwindov = 3", ["carriers.b.windov", "did you mean carriers.b.window?"]),
        ("[carriers]\nsimulator = 3", ["carriers.simulator = 3"]),
        ("[http]\nport = 'x'", ['http.port = "x"', "expected int, got str", "the default is 8747", "TCP port"]),
        ("[http]\nport = 70000", ["http.port = 70000", "<= 65535"]),
        ("[http]\nlean_door = 1", ["http.lean_door = 1", "expected bool"]),
        ("[messages]\ncurrency = 'usd'", ['messages.currency = "usd"', 'the default is "USD"', "three capitals"]),
        ("[messages]\ncurrency = 'EURO'", ['messages.currency = "EURO"', "three capitals"]),
        ("[log]\nlevel = 'loud'", ['log.level = "loud"', '"info"']),
        ("[carriers.simulator]\ndoubt = 'maybe'", ['doubt = "maybe"', "resend"]),
        ("[prices.default]\n44 = 0.5", ["prices.default.44 = 0.5", "expected str", "decimal string"]),
    ],
)
def test_what_is_not_a_setting_is_refused_with_the_remedy(tmp_path: Path, text: str, named: list[str]) -> None:
    path = file(tmp_path, text)
    (problem,) = problems(path, {})
    assert problem.startswith(f"{path}: ")
    for part in named:
        assert part in problem


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"HELIOGRAPH_HTTP__PROT": "9"}, "did you mean http.port?"),
        ({"HELIOGRAPH_HTTP__PORT": "nine"}, 'HELIOGRAPH_HTTP__PORT: http.port = "nine"'),
        ({"HELIOGRAPH_HTTP_PORT": "9"}, "two underscores: HELIOGRAPH_HTTP__PORT"),
        ({"HELIOGRAPH_PRICES__DEFAULT__4X": "1"}, "'4x' is not a prefix"),
        ({"HELIOGRAPH_PRICES__DEFAULT__": "-1"}, "zero or more"),
        ({"HELIOGRAPH_PRICES__DEFAULT__": "1,5"}, "not an amount"),
        ({"HELIOGRAPH_CALLBACKS__ALLOW_NETWORKS": "127.0.0.1/8"}, "127.0.0.1/8"),
        ({"HELIOGRAPH_HTTP__TLS_CERT": __file__}, "set both or neither"),
        ({"HELIOGRAPH_HTTP__TLS_CERT": "/none", "HELIOGRAPH_HTTP__TLS_KEY": "/none"}, "No such file"),
        ({"HELIOGRAPH_HTTP__TLS_CERT": __file__, "HELIOGRAPH_HTTP__TLS_KEY": __file__}, "not PEM"),
        ({"HELIOGRAPH_CARRIERS__SIMULATOR__WINDOW": "9"}, "less than limits.segments = 10"),
        ({"HELIOGRAPH_MESSAGES__DEFAULT_CARRIER": "x"}, 'messages.default_carrier = "x" is not one of [carriers]'),
        ({"HELIOGRAPH_CALLBACKS__IN_FLIGHT": "5"}, "in_flight_per_endpoint is more than"),
        ({"HELIOGRAPH_CALLBACKS__TIMEOUT_SECONDS": "61"}, "the bounds are more than 0, at most 60"),
        ({"HELIOGRAPH_CALLBACKS__TIMEOUT_SECONDS": "nan"}, "timeout_seconds"),
        ({"HELIOGRAPH_HTTP__REQUEST_TIMEOUT_SECONDS": "inf"}, "request_timeout_seconds"),
        ({"HELIOGRAPH_CARRIERS__SIMULATOR__WINDOW": "9" * 30}, "the bounds are 1 to 100000"),
        ({"HELIOGRAPH_CARRIERS__A/B__WINDOW": "50"}, "the name of a carrier"),
        ({"HELIOGRAPH_HTTP__HOST": "no host"}, 'http.host = "no host" is neither'),
        ({"HELIOGRAPH_HTTP__HOST": "127.0.0.300"}, "is neither"),
        ({"HELIOGRAPH_HTTP__HOST": "a" * 64}, "is neither"),
        ({"HELIOGRAPH_HTTP__HOST": "http://x"}, "is neither"),
        ({"HELIOGRAPH_HTTP__TRUSTED_PROXIES": "10.0.0.1;10.0.0.2"}, "TRUSTED_PROXIES commas separate entries"),
        ({"HELIOGRAPH_CALLBACKS__ALLOW_NETWORKS": "::1 ::2"}, "ALLOW_NETWORKS commas separate entries"),
        ({"HELIOGRAPH_METRICS__ALLOW_NETWORKS": "10.0.0.1/8"}, "metrics.allow_networks: '10.0.0.1/8' is not a network"),
        ({"HELIOGRAPH_HTTP__DRAIN_SECONDS": "301"}, "the bounds are 0 to 300"),
        ({"HELIOGRAPH_PRICES__DEFAULT__": "100001"}, "at most 100000"),
        ({"HELIOGRAPH_DATE": "/x"}, "did you mean HELIOGRAPH_DATA?"),
        ({"HELIOGRAPH_PORT": "9"}, "did you mean HELIOGRAPH_HTTP__PORT?"),
        ({"HELIOGRAPH_LOGLEVEL": "info"}, "did you mean HELIOGRAPH_LOG__LEVEL?"),
    ],
)
def test_what_cannot_be_used_is_refused(env: dict[str, str], named: str) -> None:
    (problem,) = problems(None, env)
    assert named in problem


def test_a_price_list_named_default_must_be_there(tmp_path: Path) -> None:
    (problem,) = problems(file(tmp_path, "[prices.other]\n'' = '1'"), {})
    assert "[prices.default]" in problem


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    path = file(tmp_path, "[http]\nprot = 1\nport = 'x'\n[log]\nacces = true\n")
    assert len(problems(path, {"HELIOGRAPH_LIMITS__SEGMENTS": "0"})) == 4


@pytest.mark.parametrize("setting", config.reference(), ids=lambda setting: setting.name)
def test_every_number_is_finite_and_bounded(setting: config.Setting, tmp_path: Path) -> None:
    if isinstance(setting.default, bool) or not isinstance(setting.default, int | float):
        return
    assert setting.bounds
    for value in ("nan", "inf", "-inf", "-1", "1e300", "9" * 40):
        assert len(problems(None, {setting.variable: value})) == 1, value
        path = file(tmp_path, f"[{'.'.join(setting.path[:-1])}]\n{setting.path[-1]} = {value}\n")
        assert len(problems(path, {})) == 1, value


def test_the_longest_timeout_is_the_senders() -> None:
    longest = read(None, {}, given={"callbacks.timeout_seconds": MAX_TIMEOUT_SECONDS})
    assert longest.settings.callbacks.timeout_seconds == MAX_TIMEOUT_SECONDS
    with pytest.raises(ConfigError):
        read(None, {}, given={"callbacks.timeout_seconds": MAX_TIMEOUT_SECONDS + 0.1})


@pytest.mark.parametrize("host", ["localhost", "sms.example.com", "a_b-c.", "::1", "fe80::1%eth0", "192.0.2.1", "3com"])
def test_a_host_is_an_address_or_a_name(host: str) -> None:
    assert load(None, {"HELIOGRAPH_HTTP__HOST": host}).http.host == host


def test_a_text_with_a_nul_is_no_path(tmp_path: Path) -> None:
    assert "U+0000" in problems(file(tmp_path, '[data]\ndir = "a\\u0000b"'), {})[0]


def test_a_list_of_a_file_is_told_nothing_of_commas(tmp_path: Path) -> None:
    (problem,) = problems(file(tmp_path, "[http]\ntrusted_proxies = ['10.0.0.0/8', 'x']"), {})
    assert "'x' is not a network" in problem
    assert "commas" not in problem


def test_variables_of_others_are_no_business_of_ours() -> None:
    env = {
        "HELIOGRAPH_HTTP_PORT": "tcp://10.0.0.1:80",
        "HELIOGRAPH_SERVICE_HOST": "10.0.0.1",
        "HELIOGRAPH_SERVICE_PORT": "80",
        "HELIOGRAPH_SERVICE_PORT_HTTP": "80",
        "HELIOGRAPH_PORT": "tcp://10.0.0.1:80",
        "HELIOGRAPH_PORT_80_TCP": "tcp://10.0.0.1:80",
        "HELIOGRAPH_PORT_80_TCP_ADDR": "10.0.0.1",
        "HELIOGRAPH_PANEL_PORT_80_TCP_PROTO": "tcp",
        "HELIOGRAPH_WEBHOOK_SECRET": "y",
        "HELIOGRAPH_CONFIG": "z",
        "HELIOGRAPH_COMMAND": "./dev run heliograph",
        "HELIOGRAPH_TEST_SEED": "1",
    }
    assert read(None, env).settings == Settings()


def test_a_file_that_is_not_there_or_not_toml_is_named(tmp_path: Path) -> None:
    assert "config init" in problems(tmp_path / "none.toml", {})[0]
    assert "is not TOML" in problems(file(tmp_path, "this is no TOML"), {})[0]


def test_the_template_changes_nothing_as_it_is_nor_with_everything_uncommented(tmp_path: Path) -> None:
    text = template()
    assert read(file(tmp_path, text), {}).settings == Settings()
    bare = "\n".join(line.removeprefix("#") for line in text.splitlines() if not line.startswith("# "))
    effective = read(file(tmp_path, bare), {})
    assert effective.settings == Settings()
    assert set(effective.origins) == {setting.name for setting in config.reference()}


@pytest.mark.parametrize(
    ("env", "url"),
    [
        ({}, "http://127.0.0.1:8747"),
        ({"HELIOGRAPH_HTTP__HOST": "0.0.0.0", "HELIOGRAPH_HTTP__PORT": "80"}, "http://127.0.0.1:80"),
        ({"HELIOGRAPH_HTTP__HOST": "::"}, "http://[::1]:8747"),
    ],
)
def test_the_base_url_is_one_that_works_on_this_machine(env: dict[str, str], url: str) -> None:
    assert load(None, env).base_url == url


def test_tls_takes_a_certificate_with_its_key_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    made, other = self_signed(tmp_path), self_signed(tmp_path / "other")
    env = {"HELIOGRAPH_HTTP__TLS_CERT": str(made.cert), "HELIOGRAPH_HTTP__TLS_KEY": str(made.key)}
    assert load(None, env).base_url == "https://127.0.0.1:8747"
    (problem,) = problems(None, {**env, "HELIOGRAPH_HTTP__TLS_KEY": str(other.key)})
    assert "of another key" in problem


# -- carriers over SMPP

SMPP = '[carriers.main]\nkind = "smpp"\nhost = "smsc.example"\nsystem_id = "us"\n'
DEFAULT = '[messages]\ndefault_carrier = ""\n'


def smpp(folder: Path, more: str = "", env: dict[str, str] | None = None) -> SmppSettings:
    found = load(file(folder, DEFAULT + SMPP + more), env or {}).carriers["main"]
    assert isinstance(found, SmppSettings)
    return found


def test_a_file_without_kinds_still_has_simulators(tmp_path: Path) -> None:
    path = file(tmp_path, DEFAULT + "[carriers.old]\nwindow = 50\nanswer_ms = 7\n")
    assert load(path, {}).carriers == {"old": SimulatorSettings(window=50, answer_ms=7)}


def test_a_carrier_over_smpp_has_its_settings(tmp_path: Path) -> None:
    more = 'port = 2776\nnetwork_tlvs = [0x1503, 0x1504]\nstatuses = {"0x45" = "permanent"}\nthroughput = 30\n'
    found = smpp(tmp_path, more)
    assert (found.host, found.system_id, found.port, found.window) == ("smsc.example", "us", 2776, 100)
    assert (found.network_tlvs, found.throughput) == ((0x1503, 0x1504), 30.0)
    assert found.statuses == {"0x45": SubmitClass.PERMANENT}


def test_a_carrier_over_smpp_can_be_made_of_variables_alone() -> None:
    variables = {
        "KIND": "smpp",
        "HOST": "smsc.example",
        "SYSTEM_ID": "us",
        "PASSWORD": "123",
        "NETWORK_TLVS": "0x1503, 5380",
        "STATUSES__0X45": "permanent",
        "TLS": "true",
        "INTERFACE_VERSION": "80",
    }
    found = load(None, {f"HELIOGRAPH_CARRIERS__MAIN__{key}": value for key, value in variables.items()}).carriers
    assert found["simulator"] == SimulatorSettings()
    assert found["main"] == SmppSettings(
        host="smsc.example",
        system_id="us",
        password="123",
        network_tlvs=(0x1503, 5380),
        statuses={"0x45": SubmitClass.PERMANENT},
        tls=True,
        interface_version=0x50,
    )


def test_the_default_carrier_can_be_made_one_over_smpp_by_variables() -> None:
    variables = {"KIND": "smpp", "HOST": "smsc.example", "SYSTEM_ID": "us"}
    found = load(None, {f"HELIOGRAPH_CARRIERS__SIMULATOR__{key}": value for key, value in variables.items()}).carriers
    assert found == {"simulator": SmppSettings(host="smsc.example", system_id="us")}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[carriers.x]\nkind = "smtp"', ["carriers.x.kind", "smtp", "smpp"]),
        ('[carriers.x]\nkind = "smpp"\nhost = "h"', ["carriers.x.system_id is missing", "Who we are there."]),
        (SMPP + "answer_ms = 5", ["carriers.main.answer_ms = 5 is not a setting"]),
        (SMPP + "windwo = 5", ["carriers.main.windwo", "did you mean carriers.main.window?"]),
        (SMPP + "window = 0", ["carriers.main.window = 0", "the default is 100, the bounds are 1 to 100000"]),
        (SMPP + "window = 9", ["carriers.main.window = 9 is less than limits.segments = 10", "raise it"]),
        (SMPP + 'window = 10\nlong_messages = "udh16"', ["carriers.main.window = 10 is less than 11", "raise it"]),
        (SMPP + 'bind = "receiver"', ["carriers.main.bind", "transceiver"]),
        (SMPP + 'destination = "1"', ["carriers.main.destination", "1/1"]),
        (SMPP + 'destination = "1/300"', ["carriers.main.destination", "0 to 255"]),
        (SMPP + "ordered = true\nbinds = 2", ["carriers.main.ordered", "binds = 2", "set binds = 1"]),
        (SMPP + "binds = 20\nwindow = 10", ["carriers.main.binds = 20", "window = 10"]),
        (SMPP + 'password = "123456789"', ["carriers.main.password has 9 characters", "long_password"]),
        (SMPP + 'password = "€"', ["carriers.main.password", "Latin-1"]),
        (SMPP + "password = 12", ["carriers.main.password", "expected str"]),
        (SMPP + 'statuses = {"0x4G" = "permanent"}', ["carriers.main.statuses", "'0x4G'", "like 0x45 or 69"]),
        (SMPP + 'statuses = {"0" = "permanent"}', ["carriers.main.statuses", "leave it out"]),
        (SMPP + 'statuses = {"0x45" = "permanent", "69" = "temporary"}', ["'0x45' and '69'", "the same"]),
        (SMPP + 'statuses = {"0x45" = "taken"}', ["carriers.main.statuses.0x45", "taken", "throttled, temporary"]),
        (SMPP + 'statuses = {"0x45" = "maybe"}', ["carriers.main.statuses.0x45", "maybe"]),
        (SMPP + 'tls_ca = "/ca.pem"', ["carriers.main.tls_ca", "set tls = true"]),
        (SMPP + 'tls = true\ntls_ca = "/none/ca.pem"', ["carriers.main.tls_ca", "/none/ca.pem", "No such file"]),
        (SMPP + 'tls = true\ntls_cert = "/none/c.pem"', ["carriers.main.tls_cert is set without tls_key"]),
        (SMPP + 'tls_server_name = "a b"', ["carriers.main.tls_server_name", "tls is false"]),
        (SMPP + "reconnect_seconds = 90", ["carriers.main.reconnect_seconds = 90", "reconnect_max_seconds = 60"]),
        ('[carriers.x]\nkind = "smpp"\nhost = "h:1/x"\nsystem_id = "u"', ["carriers.x.host", "the port is a setting"]),
    ],
)
def test_what_a_carrier_over_smpp_cannot_have_is_refused_with_the_remedy(
    tmp_path: Path, text: str, named: list[str]
) -> None:
    (problem,) = problems(file(tmp_path, DEFAULT + text), {})
    for part in named:
        assert part in problem


def test_files_for_tls_are_looked_into(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    made, other = self_signed(tmp_path), self_signed(tmp_path / "other")
    good = f'tls = true\ntls_ca = "{made.cert}"\ntls_cert = "{made.cert}"\ntls_key = "{made.key}"\n'
    assert smpp(tmp_path, good).tls_ca == str(made.cert)
    text = DEFAULT + SMPP + good.replace(str(made.key), str(other.key))
    assert "carriers.main.tls_cert" in problems(file(tmp_path, text), {})[0]
    text = DEFAULT + SMPP + good.replace(f'tls_ca = "{made.cert}"', f'tls_ca = "{__file__}"')
    assert "carriers.main.tls_ca" in problems(file(tmp_path, text), {})[0]


def test_no_password_is_shown_when_it_is_refused(tmp_path: Path) -> None:
    for line in ('password = "0123456789secret"', 'passwrod = "0123456789secret"'):
        (problem,) = problems(file(tmp_path, DEFAULT + SMPP + line), {})
        assert "secret" not in problem


@pytest.mark.parametrize("setting", config.smpp_reference(), ids=lambda setting: setting.name)
def test_every_setting_of_a_carrier_over_smpp_is_described(setting: config.Setting) -> None:
    assert setting.description.endswith(".")
    number = isinstance(setting.default, int | float) and not isinstance(setting.default, bool)
    assert not number or setting.bounds or setting.path[-1] == "interface_version"


def test_the_template_names_every_setting_of_a_carrier_over_smpp() -> None:
    for setting in config.smpp_reference():
        assert f"\n# {setting.path[-1]} = " in template()
