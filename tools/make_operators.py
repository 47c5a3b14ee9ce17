"""Make `src/heliograph/messaging/data/operators.json` from public data; the README beside that file says from which.

    tools/make_operators.py serviceproviders.xml

An id once issued stays, because customers and stored messages know operators by it. So the existing file is read first,
an operator that the sources no longer have keeps its row without prefixes, and a new one gets an id never used before.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import unicodedata
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import phonenumbers
from phonenumbers.carrierdata import CARRIER_DATA

OUTPUT = Path(__file__).parent.parent / "src/heliograph/messaging/data/operators.json"


class Key(NamedTuple):
    """What makes an operator one and the same over time: its country (ISO 3166) and its name in the prefix data."""

    country: str
    holder: str


class Network(NamedTuple):
    """A network's code by ITU-T E.212; "" where it is not known for certain."""

    mcc: str
    mnc: str


# What the sources do not join by name, or join to another code than the operator's main one. Reviewed by hand.
OVERRIDES = """
AT 232-01 A1 TA | AT 232-03 T-Mobile AT | AT 232-10 Three
BG 284-01 A1 | BG 284-05 Yettel
BO 736-01 Nuevatel | BO 736-02 Entel | BO 736-03 Tigo
CI 612-02 Moov | CI 612-03 Orange
CL 730-10 Entel | CL 730-02 Movistar | CL 730-03 Claro | CL 730-09 WOM | CL 730-08 VTR Móvil
CM 624-01 MTN Cameroon
CN 460-00 China Mobile
CR 712-01 Kolbi ICE | CR 712-02 Movistar | CR 712-03 Claro
DK 238-20 telia
EC 740-01 Claro | EC 740-02 CNT
EE 248-01 Telia Eesti AS
EG 602-01 Orange | EG 602-04 TE
ES 214-07 Movistar
FJ 542-01 Vodafone | FJ 542-02 Digicel
FR 208-01 Orange France
GB 234-10 O2 | GB 234-20 Three | GB 234-30 EE | GB 234-33 Orange
GE 282-01 Silknet | GE 282-02 MagtiCom
GT 704-02 Tigo
HR 219-01 Hrvatski Telekom | HR 219-10 A1 Telekom
HU 216-01 Yettel Hungary | HU 216-30 Magyar Telekom | HU 216-70 One
ID 510-01 Indosat Ooredoo Hutchison | ID 510-11 XL
IE 272-05 3
IQ 418-20 Zain
IR 432-11 IR-MCI | IR 432-20 Rightel | IR 432-35 Irancell
IT 222-99 3 Italia
JO 416-01 Zain JO | JO 416-03 Umniah
JP 440-10 NTT Docomo | JP 440-20 Softbank
KE 639-07 Telkom
KG 437-01 Sky mobile | KG 437-05 ALFA Telecom | KG 437-09 Nur Telecom
KW 419-03 Ooredoo | KW 419-04 STC
KZ 401-02 Kcell/Activ | KZ 401-77 T2
LB 415-01 Alfa | LB 415-03 Touch
LT 246-01 Telia | LT 246-03 Tele 2
LU 270-01 POST
LV 247-05 Bite Latvia
MA 604-00 Orange | MA 604-01 Maroc Telecom | MA 604-02 Inwi
ME 297-01 Telenor | ME 297-02 Telekom
MT 278-01 epic
MY 502-18 U Mobile
NG 621-20 Airtel | NG 621-60 9mobile
NL 204-04 Vodafone Libertel B.V. | NL 204-08 KPN
NO 242-01 telenor norge | NO 242-02 telia | NO 242-14 Lyse Tele
NZ 530-05 Spark
OM 422-02 Omantel | OM 422-03 Ooredoo
PA 714-01 Cable & Wireless | PA 714-02 Telefónica Móviles | PA 714-03 Claro | PA 714-04 Digicel
PE 716-17 Entel
PH 515-66 Dito
PK 410-01 Jazz
PT 268-03 NOS | PT 268-06 MEO
QA 427-01 ooredoo
RE 647-00 Orange | RE 647-10 SFR
RS 220-03 Telekom Srbija a.d. | RS 220-05 A1
RU 250-20 T2 | RU 250-99 Beeline
SE 240-01 TeliaSonera | SE 240-02 HI3G Access | SE 240-07 Tele2 Sverige | SE 240-08 Telenor Sverige
SG 525-10 Simba
SI 293-40 A1 | SI 293-41 Telekom Slovenije
SK 231-02 T-Mobile (Slovak Telekom) | SK 231-03 4ka of SWAN | SK 231-06 Telefonica O2
SN 608-01 Orange
SY 417-01 Syriatel | SY 417-02 MTN
TN 605-02 Tunisie Telecom | TN 605-03 Ooredoo
TR 286-03 Turk Telekom
TW 466-01 FarEasTone | TW 466-89 T Star | TW 466-92 Chunghwa Telecom | TW 466-97 Taiwan Mobile
TZ 640-05 Airtel
UA 255-01 Vodafone | UA 255-06 lifecell
UG 641-01 Airtel
UY 748-01 Antel
UZ 434-07 MobiUZ
VE 734-02 Digitel GSM
XK 221-01 vala
ZA 655-02 Telkom Mobile
ZM 645-01 Airtel | ZM 645-02 MTN | ZM 645-03 ZAMTEL
ZW 648-01 Net*One | ZW 648-03 Telecel | ZW 648-04 Econet
"""
# The API's reference shows this one as `{"id":"188","name":"Entel Pcs","mcc":"730","mnc":"10"}`.
NAMES = {Key("CL", "Entel"): "Entel Pcs"}
IDS = {Key("CL", "Entel"): 188}

# ITU-T E.212 gives these countries several MCCs, and most of their operators a code for each region.
SEVERAL_MCCS = frozenset({"AE", "CN", "GB", "IN", "JP", "US"})
# Country calling codes whose regions have networks of their own; elsewhere a code stands for its main region.
SHARED_CODES = frozenset({1, 7, 44})


def overrides() -> Iterator[tuple[Key, Network]]:
    """The table `OVERRIDES`."""
    for entry in OVERRIDES.strip().replace("\n", "|").split("|"):
        country, code, holder = entry.split(maxsplit=2)
        yield Key(country, holder.rstrip()), Network(*code.split("-"))


def region(prefix: str) -> str:
    """The ISO 3166 code of the region that numbers with this prefix lie in."""
    code = next(int(prefix[:end]) for end in (1, 2, 3) if int(prefix[:end]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
    main = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code][0]
    if code not in SHARED_CODES:
        return main
    national = prefix[len(str(code)) :]
    samples = (phonenumbers.PhoneNumber(code, int(national.ljust(10, filler))) for filler in "0123456789")
    found = {region for sample in samples if (region := phonenumbers.region_code_for_number(sample))}
    return found.pop() if len(found) == 1 else main


def holders() -> dict[Key, list[str]]:
    """The prefixes of each operator, sorted."""
    prefixes = defaultdict(list)
    for prefix, names in sorted(CARRIER_DATA.items()):
        if name := names.get("en"):
            prefixes[Key(region(prefix), mended(name))].append(prefix)
    return prefixes


def mended(name: str) -> str:
    """`name` without the damage of UTF-8 that was once read as Latin-1, as in "TelefÃ³nica"."""
    try:
        return name.encode("latin-1").decode()
    except UnicodeError:
        return name


def networks(providers: Path) -> dict[str, list[tuple[str, list[Network]]]]:
    """The names and networks of each country's operators in `serviceproviders.xml`."""
    found = defaultdict(list)
    for country in ET.parse(providers).iter("country"):
        for provider in country.iter("provider"):
            codes = [Network(node.get("mcc", ""), node.get("mnc", "")) for node in provider.iter("network-id")]
            if codes:
                found[country.get("code", "").upper()].append((provider.findtext("name", ""), codes))
    return found


def words(name: str) -> list[str]:
    """`name` in lower-case words without accents and dots."""
    plain = unicodedata.normalize("NFKD", name.casefold().replace(".", ""))
    return re.findall(r"\w+", "".join(char for char in plain if not unicodedata.combining(char)))


# Legal forms, and what operators add to their names or leave out.
NOISE = frozenset(
    words(
        "ab ag as asa bhd bv cjsc co company corp corporation gmbh inc jsc limited llc ltd nv ojsc oy pjsc plc sa sas"
        " sdn spa srl the cellular communication communications gsm mobile movil pcs telecom telecommunications telekom"
        " wireless"
    )
)


def network(key: Key, providers: list[tuple[str, list[Network]]]) -> Network:
    """The network of an operator, joined by its name within its country: as it is, then without `NOISE`."""
    several = key.country in SEVERAL_MCCS
    for noise in (frozenset[str](), NOISE):
        wanted = "".join(word for word in words(key.holder) if word not in noise)
        for name, codes in providers:
            if wanted and wanted == "".join(word for word in words(name) if word not in noise):
                # The first code is the main one, except where each region has its own.
                return Network("", "") if several and len(codes) > 1 else codes[0]
    mccs = {code.mcc for _, codes in providers for code in codes}
    return Network(mccs.pop(), "") if len(mccs) == 1 and not several else Network("", "")


def numbered(keys: Iterable[Key], issued: Mapping[Key, int]) -> dict[Key, int]:
    """An id for each of `keys`: the one it was issued, or else one that no operator ever had."""
    ids = {**IDS, **issued}
    taken = set(ids.values())
    unused = (number for number in itertools.count(max(issued.values(), default=0) + 1) if number not in taken)
    for key in sorted(keys):
        if key not in ids:
            ids[key] = next(unused)
    return ids


def make(
    prefixes: Mapping[Key, list[str]], codes: Mapping[Key, Network], old: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The rows of the file, by id. `old` are those of the existing one."""
    before = {Key(row["country"], row["holder"]): row for row in old}
    ids = numbered(prefixes, {key: row["id"] for key, row in before.items()})
    rows = [
        {
            "id": ids[key],
            "country": key.country,
            "holder": key.holder,
            "name": NAMES.get(key, key.holder),
            "mcc": codes[key].mcc,
            "mnc": codes[key].mnc,
            "prefixes": " ".join(prefixes[key]),
        }
        for key in prefixes
    ]
    rows += [{**row, "prefixes": ""} for key, row in before.items() if key not in prefixes]
    return sorted(rows, key=lambda row: row["id"])


def main() -> None:
    """Read the sources and the existing file, and write the new one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("providers", type=Path, help="serviceproviders.xml of mobile-broadband-provider-info")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()

    prefixes = holders()
    providers = networks(arguments.providers)
    reviewed = dict(overrides())
    if stale := reviewed.keys() - prefixes.keys():
        parser.error(f"overrides for operators that the prefix data does not have: {sorted(stale)}")
    codes = {key: reviewed.get(key) or network(key, providers.get(key.country, [])) for key in prefixes}
    old = json.loads(arguments.output.read_bytes()) if arguments.output.exists() else []
    rows = make(prefixes, codes, old)
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    arguments.output.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"{len(rows)} operators, {len(rows) - len(old)} of them new; {sum(map(len, prefixes.values()))} prefixes")


if __name__ == "__main__":
    main()
