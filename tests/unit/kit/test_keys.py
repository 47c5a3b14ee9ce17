"""The installation's secrets: one file, its owner's alone."""

from __future__ import annotations

import base64
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from heliograph.kit.keys import (
    Keys,
    KeysError,
    TokenKey,
    load_or_create,
    lost_database,
    mark_installed,
    write_private,
)


def test_keys_are_made_once_and_stay(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    first = load_or_create(folder)
    assert load_or_create(folder) == first
    assert load_or_create(tmp_path / "other") != first
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [file.name for file in folder.iterdir()] == ["keys.json"]


def test_secrets_have_256_bits_each_of_their_own(tmp_path: Path) -> None:
    keys = load_or_create(tmp_path / "data")
    every = [keys.tokens[0].secret, keys.ids, keys.webhooks]
    assert [len(secret) for secret in every] == [32] * 3
    assert len(set(every)) == 3


def test_the_fingerprint_is_of_what_never_changes(tmp_path: Path) -> None:
    keys = load_or_create(tmp_path)
    print_ = keys.fingerprint()
    assert len(bytes.fromhex(print_)) == 16
    rotated = msgspec.structs.replace(keys, tokens=[*keys.tokens, TokenKey("b", bytes(32))])
    assert rotated.fingerprint() == print_
    others = [msgspec.structs.replace(keys, **{name: bytes(32)}).fingerprint() for name in ("ids", "webhooks")]
    swapped = msgspec.structs.replace(keys, ids=keys.webhooks, webhooks=keys.ids).fingerprint()
    assert len({print_, swapped, *others}) == 4


def test_a_database_is_lost_when_there_was_one(tmp_path: Path) -> None:
    assert lost_database(tmp_path) == ""
    mark_installed(tmp_path)
    assert "begin anew in another folder" in lost_database(tmp_path)
    with pytest.raises(KeysError, match="is gone"):
        load_or_create(tmp_path)
    (tmp_path / "heliograph.sqlite").write_bytes(b"data")
    assert lost_database(tmp_path) == ""


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_file_is_its_owners_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        load_or_create(tmp_path / "data")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "data" / "keys.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_file_that_others_may_read_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    load_or_create(tmp_path)
    path = tmp_path / "keys.json"
    path.chmod(mode)
    with pytest.raises(PermissionError, match="chmod 600"):
        load_or_create(tmp_path)


def test_keys_that_are_gone_beside_data_are_not_made_anew(tmp_path: Path) -> None:
    (tmp_path / "heliograph.sqlite").write_bytes(b"data")
    with pytest.raises(KeysError, match=r"keys\.json is gone.*restore the file from the backup"):
        load_or_create(tmp_path)
    assert not (tmp_path / "keys.json").exists()


def test_an_empty_database_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "heliograph.sqlite").touch()
    load_or_create(tmp_path)


def test_those_who_make_keys_at_once_get_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path.name != "keys.json" and looked(path))  # all find none
    with ThreadPoolExecutor(4) as pool:
        every = list(pool.map(lambda _: load_or_create(tmp_path), range(8)))
    assert every == every[:1] * 8
    assert [file.name for file in tmp_path.iterdir()] == ["keys.json"]


SECRET, SHORT = base64.b64encode(bytes(32)).decode(), base64.b64encode(bytes(31)).decode()
WHOLE = {"tokens": [{"kid": "a", "secret": SECRET}], "ids": SECRET, "webhooks": SECRET}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        "\x00\xff garbage",
        "[" * 5_000,
        json.dumps(WHOLE | {"tokens": []}),
        json.dumps(WHOLE | {"tokens": [{"kid": "", "secret": SECRET}]}),
        json.dumps(WHOLE | {"tokens": [{"kid": "a", "secret": SHORT}]}),
        json.dumps(WHOLE | {"ids": 5}),
        json.dumps(WHOLE | {"ids": SHORT}),
        json.dumps(WHOLE | {"webhooks": "no base64!"}),
    ],
)
def test_a_damaged_file_is_refused_with_the_remedy(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    write_private(path, content.encode("latin-1"))
    with pytest.raises(KeysError, match=r"keys\.json is damaged.*backup"):
        load_or_create(tmp_path)
    assert path.read_bytes() == content.encode("latin-1")


def test_the_form_of_the_file_is_what_it_was(tmp_path: Path) -> None:
    write_private(tmp_path / "keys.json", json.dumps(WHOLE).encode())
    assert load_or_create(tmp_path) == Keys([TokenKey("a", bytes(32))], bytes(32), bytes(32))


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys.json").mkdir()
    with pytest.raises(KeysError, match="directory"):
        load_or_create(tmp_path)


def test_while_rotating_the_last_key_signs_and_all_are_accepted() -> None:
    keys = Keys([TokenKey("old", b"1" * 32), TokenKey("new", b"2" * 32)], b"i" * 32, b"w" * 32)
    assert keys.signing_key() == ("new", b"2" * 32)
    assert keys.verification_key("old") == b"1" * 32
    assert keys.verification_key("new") == b"2" * 32
    assert keys.verification_key("other") is None
    assert keys.verification_key("") is None


def test_webhook_secret_is_the_accounts_and_generations_own() -> None:
    keys = Keys([], b"i" * 32, b"w" * 32)
    secrets = {
        (account, generation): keys.webhook_secret(account, generation)
        for account in (1, 2, 11)
        for generation in (1, 2, 11)
    }
    assert len(set(secrets.values())) == 9
    for secret in secrets.values():
        assert secret.startswith("whsec_")
        assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert keys.webhook_secret(1, 1) == secrets[1, 1]
    assert Keys([], b"i" * 32, b"x" * 32).webhook_secret(1, 1) != secrets[1, 1]


def test_private_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_private(path, b"first")
    path.chmod(0o644)
    write_private(path, b"second")
    assert path.read_bytes() == b"second"
    with pytest.raises(FileExistsError):
        write_private(path, b"other", replace=False)
    assert path.read_bytes() == b"second"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="space"):
        write_private(path, b"third")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_sealed_opens_for_its_name_and_installation_alone(tmp_path: Path) -> None:
    keys, other = load_or_create(tmp_path / "data"), load_or_create(tmp_path / "other")
    sealed = keys.seal("main", b"a password")
    assert keys.unseal("main", sealed) == b"a password"
    assert b"password" not in sealed
    assert keys.seal("main", b"a password") != sealed
    for opener, name in ((keys, "other"), (other, "main")):
        with pytest.raises(KeysError, match=f"'{name}' cannot be opened with these keys; restore"):
            opener.unseal(name, sealed)


@pytest.mark.parametrize("kept", [0, 5, 12, 20])
def test_what_is_sealed_and_cut_short_does_not_open(tmp_path: Path, kept: int) -> None:
    keys = load_or_create(tmp_path / "data")
    with pytest.raises(KeysError, match="cannot be opened"):
        keys.unseal("main", keys.seal("main", b"a password")[:kept])


def test_every_octet_of_what_is_sealed_counts(tmp_path: Path) -> None:
    keys = load_or_create(tmp_path / "data")
    sealed = keys.seal("main", b"a password")
    for index in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[index] ^= 1
        with pytest.raises(KeysError, match="cannot be opened"):
            keys.unseal("main", bytes(damaged))
