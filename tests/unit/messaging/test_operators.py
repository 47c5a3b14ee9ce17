"""Which operator a customer sees for a number, and that its id never changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tools import make_operators
from tools.make_operators import Key, Network

from heliograph.messaging.operators import UNKNOWN_OPERATOR, Operator, OperatorTable

DATA = make_operators.OUTPUT.read_bytes()
NONE = Network("", "")


@pytest.fixture(scope="module")
def table() -> OperatorTable:
    return OperatorTable.from_json(DATA)


def row(id: int, holder: str, prefixes: str) -> dict[str, Any]:
    return {"id": id, "country": "CL", "holder": holder, "name": holder, "mcc": "", "mnc": "", "prefixes": prefixes}


def test_number_of_the_documented_example_has_the_documented_operator(table: OperatorTable) -> None:
    entel = Operator(id=188, name="Entel Pcs", mcc="730", mnc="10")
    assert table.by_number("56998765432") == entel
    assert table.by_id(188) == entel


@pytest.mark.parametrize(
    ("digits", "name", "code"),
    [
        ("56946112345", "Claro", "73003"),
        ("447400123456", "Three", "23420"),
        ("77011234567", "Kcell/Activ", "40102"),
        ("4915112345678", "T-Mobile", "26201"),
    ],
)
def test_ranges_of_large_operators_are_known(table: OperatorTable, digits: str, name: str, code: str) -> None:
    operator = table.by_number(digits)
    assert (operator.name, operator.mcc + operator.mnc) == (name, code)


@pytest.mark.parametrize("digits", ["15551234567", "123456789", "99912345678", "56", ""])
def test_number_in_no_known_range_has_the_unknown_operator(table: OperatorTable, digits: str) -> None:
    assert table.by_number(digits) is UNKNOWN_OPERATOR
    assert table.by_number(digits) == Operator(0, "", "", "")


def test_id_that_was_never_issued_is_the_unknown_operator(table: OperatorTable) -> None:
    assert table.by_id(0) is UNKNOWN_OPERATOR
    assert table.by_id(10**9) is UNKNOWN_OPERATOR


def test_longest_prefix_finds_the_holder_of_a_range_within_a_range() -> None:
    table = OperatorTable.from_json(json.dumps([row(1, "Whole", "569"), row(2, "Part", "5691 5693")]).encode())
    assert [table.by_number(n).name for n in ("56912345678", "56922345678", "56932345678")] == ["Part", "Whole", "Part"]


@pytest.mark.parametrize(
    "rows", [[row(1, "A", "56"), row(1, "B", "57")], [row(0, "A", "56")], [row(1, "A", "+56")], [{"id": 1}], {}]
)
def test_damaged_table_is_refused_at_start(rows: object) -> None:
    with pytest.raises(ValueError):
        OperatorTable.from_json(json.dumps(rows).encode())


def test_shipped_codes_are_complete_or_empty() -> None:
    for entry in json.loads(DATA):
        assert entry["name"]
        assert (len(entry["mcc"]), len(entry["mnc"])) in {(0, 0), (3, 0), (3, 2), (3, 3)}
        assert (entry["mcc"] + entry["mnc"]).isdigit() or not entry["mcc"]


# -- making the table


def test_issued_ids_stay_when_the_sources_change() -> None:
    old = [row(7, "Old", "561"), row(9, "Gone", "562")]
    new = {Key("CL", "Another"): ["563"], Key("CL", "Old"): ["561", "564"], Key("AR", "Old"): ["54"]}
    made = make_operators.make(new, dict.fromkeys(new, NONE), old)
    assert [(entry["id"], entry["country"], entry["holder"], entry["prefixes"]) for entry in made] == [
        (7, "CL", "Old", "561 564"),
        (9, "CL", "Gone", ""),  # stored messages still name it
        (10, "AR", "Old", "54"),
        (11, "CL", "Another", "563"),
    ]


def test_no_new_operator_is_given_the_id_of_the_documented_one() -> None:
    keys = [Key("AA", f"{n:03}") for n in range(200)]
    ids = make_operators.numbered(keys, {})
    assert 188 not in [ids[key] for key in keys]
    assert len({ids[key] for key in keys}) == 200
    assert make_operators.numbered([*keys, Key("CL", "Entel")], {})[Key("CL", "Entel")] == 188


def test_shipped_table_would_keep_all_its_ids_if_made_again() -> None:
    entries = json.loads(DATA)
    issued = {Key(entry["country"], entry["holder"]): entry["id"] for entry in entries}
    assert len(issued) == len(entries)
    again = make_operators.numbered(make_operators.holders(), issued)
    assert {key: again[key] for key in issued} == issued


PROVIDERS = [
    ("Claro Chile", [Network("730", "03")]),
    ("WOM S.A.", [Network("730", "09")]),
    ("Móvil Telefónica", [Network("730", "02"), Network("730", "07")]),
]


@pytest.mark.parametrize(
    ("holder", "code"),
    [
        ("WOM", Network("730", "09")),  # the legal form does not count
        ("Telefonica", Network("730", "02")),  # nor what every operator calls itself
        ("MOVIL TELEFONICA", Network("730", "02")),  # accents and case do not; the first code is the main one
        ("Claro", Network("730", "")),  # no guess
        ("S.A.", Network("730", "")),
    ],
)
def test_operator_gets_the_code_of_its_name_and_no_guessed_one(holder: str, code: Network) -> None:
    assert make_operators.network(Key("CL", holder), PROVIDERS) == code


def test_operator_with_a_code_for_each_region_gets_none() -> None:
    providers = [("Airtel", [Network("404", "02"), Network("404", "03")]), ("Spice", [Network("404", "14")])]
    assert make_operators.network(Key("IN", "Airtel"), providers) == NONE
    assert make_operators.network(Key("IN", "Jio"), providers) == NONE
    assert make_operators.network(Key("IN", "Spice"), providers) == Network("404", "14")


@pytest.mark.parametrize(
    ("prefix", "country"), [("7701", "KZ"), ("7916", "RU"), ("1787", "PR"), ("5699", "CL"), ("88233", "001")]
)
def test_prefix_belongs_to_the_country_that_uses_it(prefix: str, country: str) -> None:
    assert make_operators.region(prefix) == country


def test_damaged_name_of_the_source_is_mended() -> None:
    assert make_operators.mended("TelefÃ³nica") == "Telefónica"
    assert make_operators.mended("Compañía") == "Compañía"
    assert make_operators.mended("楽天") == "楽天"
