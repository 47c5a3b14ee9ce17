"""Who is calling: credentials, and tokens that end when they must."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest
from tests.simulation.rig import Rig, ScriptedCarrier, run

from heliograph.kit.keys import load_or_create
from heliograph.messaging.accounts import Account
from heliograph.messaging.errors import CallerError
from heliograph.service.accounts import Directory, Secrets, Tokens, new_secrets
from heliograph.store.interface import ReplaceCredentials, UpdateAccount

NAMES = {1: "one", 2: "two"}


class Office:
    """An account with credentials of two dialects, and the tokens that it gets with them."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        self.rig = rig
        self.keys = load_or_create(folder)
        self.directory = Directory(rig.store)
        self.tokens = Tokens(self.keys, self.directory, rig.clock)
        self.secrets = {dialect: new_secrets("id_", "s_") for dialect in NAMES}

    async def renew(self, *dialects: int) -> None:
        for dialect in dialects:
            self.secrets[dialect] = Secrets(self.secrets[dialect].public_id, new_secrets("", "").secret)
        made = [self.secrets[dialect].credential(dialect) for dialect in dialects]
        await self.rig.store.apply(ReplaceCredentials(self.rig.account.id, made))
        await self.directory.refresh()

    def token(self, dialect: int) -> str:
        own = self.secrets[dialect]
        account = self.directory.authenticate(dialect, own.public_id, own.secret)
        return self.tokens.issue(account, NAMES[dialect], self.directory.fingerprint(dialect, own.public_id))

    def verify(self, dialect: int, token: str) -> Account:
        return self.tokens.verify(token, NAMES[dialect])

    def ended(self, dialect: int, token: str) -> bool:
        try:
            self.verify(dialect, token)
        except CallerError:
            return True
        return False

    def of_an_older_version(self, dialect: int) -> str:
        """A token without what it was issued for, otherwise as issued."""
        kid, secret = self.keys.signing_key()
        claims: dict[str, Any] = jwt.decode(self.token(dialect), options={"verify_signature": False})
        del claims["cred"]
        return jwt.encode(claims, secret, algorithm="HS256", headers={"kid": kid})


async def opened(folder: Path) -> Office:
    rig = await Rig(folder / "data").open(ScriptedCarrier())
    office = Office(rig, folder)
    await office.renew(*NAMES)
    return office


@pytest.mark.parametrize("seen", [True, False])
def test_new_credentials_end_the_tokens_of_the_old_ones_and_of_no_other_api(tmp_path: Path, seen: bool) -> None:
    async def scenario() -> None:
        office = await opened(tmp_path)
        one, two = office.token(1), office.token(2)
        if seen:
            assert office.verify(1, one) == office.verify(2, two)
        await office.renew(2)
        assert (office.ended(1, one), office.ended(2, two)) == (False, True)
        assert not office.ended(2, office.token(2))
        await office.renew(1, 2)
        assert office.ended(1, one)

    run(scenario())


def test_a_token_of_an_older_version_ends_with_its_epoch_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        office = await opened(tmp_path)
        older, newer = office.of_an_older_version(1), office.token(1)
        await office.renew(1)
        assert (office.ended(1, older), office.ended(1, newer)) == (False, True)
        newer = office.token(1)
        epoch = office.verify(1, older).token_epoch
        await office.rig.store.apply(UpdateAccount(office.rig.account.id, {"token_epoch": epoch + 1}))
        await office.directory.refresh()
        assert office.ended(1, older)
        assert office.ended(1, newer)

    run(scenario())


def test_a_token_tells_nothing_of_the_secret_but_twelve_digits_of_its_hash(tmp_path: Path) -> None:
    async def scenario() -> None:
        office = await opened(tmp_path)
        claims = jwt.decode(office.token(1), options={"verify_signature": False})
        assert claims["cred"] == office.secrets[1].credential(1).secret_sha256.hex()[:12]

    run(scenario())
