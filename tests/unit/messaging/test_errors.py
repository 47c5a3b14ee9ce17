"""The registry of errors: every one explained, none outside the tree."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import heliograph
from heliograph.messaging import errors, registry
from heliograph.messaging.errors import REGISTRY, CallerError, CarrierError, Fault, HeliographError, Kind, OurFault

KINDS = [value for value in vars(errors).values() if isinstance(value, Kind)]
BRANCHES = {"CallerError": Fault.CALLER, "CarrierError": Fault.CARRIER, "OurFault": Fault.OURS}
SOURCE = Path(heliograph.__file__).parent


def test_every_error_is_in_the_registry_under_its_code() -> None:
    assert list(REGISTRY.values()) == KINDS
    assert [kind.code for kind in KINDS] == list(REGISTRY)
    for name, value in vars(errors).items():
        if isinstance(value, Kind):
            assert value.code == name.lower()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_every_error_says_what_happened_why_and_what_to_do(kind: Kind) -> None:
    assert re.fullmatch("[a-z][a-z0-9_]*", kind.code)  # it appears in URLs
    assert not kind.title.endswith(".")
    for sentence in (kind.cause, kind.remedy, kind.charged):
        assert sentence.endswith(".")
        assert len(sentence) > 20
    assert kind.cause != kind.remedy
    assert 2 <= len(kind.causes) <= 4, "the usual causes"
    for cause in kind.causes:
        assert len(cause) > 10
        assert not cause.endswith("."), "it becomes a sentence where it is shown"
    assert "charged" in kind.charged
    throttled = kind in (errors.RATE_LIMITED, errors.AUTH_THROTTLED)
    assert kind.retry == (kind.fault is not Fault.CALLER or throttled), "the caller's own mistakes stay what they are"


def test_texts_are_each_errors_own() -> None:
    for field in ("title", "cause", "causes"):
        texts = [getattr(kind, field) for kind in KINDS]
        assert len(set(texts)) == len(texts), field


def test_code_cannot_be_registered_twice() -> None:
    with pytest.raises(ValueError, match="not_found"):
        registry._kind("not_found", "t", cause="c", causes=(), remedy="r")
    assert REGISTRY["not_found"] is errors.NOT_FOUND


def modules(*packages: str) -> Iterator[ModuleType]:
    for package in packages:
        root = importlib.import_module(f"heliograph.{package}")
        yield root
        for found in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
            yield importlib.import_module(found.name)


def defined_in(*packages: str) -> set[type[BaseException]]:
    return {
        value
        for module in modules(*packages)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseException) and value.__module__ == module.__name__
    }


def test_what_decides_and_serves_defines_no_exception_outside_the_tree() -> None:
    of_smpp = defined_in("carriers.smpp")
    assert defined_in("messaging", "service", "dialects", "carriers", "api") - of_smpp == {
        HeliographError,
        CallerError,
        CarrierError,
        OurFault,
    }


def test_a_carrier_over_smpp_keeps_its_errors_to_itself() -> None:
    """What a peer, a socket or a message did wrong becomes an outcome, a status on the wire or a state of the carrier:
    none of these is in what the engine sees of a carrier.
    """
    of_smpp = defined_in("carriers.smpp")
    assert {error.__name__ for error in of_smpp if not error.__name__.startswith("_")} == {
        "CannotConnectError",
        "FieldError",
        "FramingError",
        "NotAllowedError",
        "NotWritableError",
        "PduError",
        "UnreadableError",
    }
    assert not any(issubclass(error, HeliographError) for error in of_smpp)


def raised() -> Iterator[tuple[str, str, str]]:
    """Where an error of the registry is made: the place, the branch, the kind's name."""
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            branch = getattr(node.func, "attr", getattr(node.func, "id", ""))
            kind = getattr(node.args[0], "attr", getattr(node.args[0], "id", ""))
            if branch in BRANCHES and kind.isupper():
                yield f"{file.relative_to(SOURCE)}:{node.lineno}", branch, kind


def test_branch_of_the_tree_says_whose_fault_it_is_wherever_an_error_is_raised() -> None:
    found = list(raised())
    assert len(found) > 20
    for place, branch, name in found:
        assert getattr(errors, name).fault is BRANCHES[branch], place


def test_pointer_and_detail_reach_whoever_renders_the_error() -> None:
    error = CallerError(errors.TEXT_EMPTY, "Write something.", pointer="/message/text")
    assert (error.pointer, error.detail, str(error)) == ("/message/text", "Write something.", "Write something.")
    assert error.problems == (("/message/text", "Write something."),)
    error.point_at("/text")
    assert error.problems == (("/text", "Write something."),)
    plain = CallerError(errors.TEXT_EMPTY)
    assert (plain.pointer, plain.detail, plain.problems) == ("", errors.TEXT_EMPTY.cause, ())
    several = (("/a", "missing"), ("/b", "not a string"))
    assert CallerError(errors.FIELD_INVALID, problems=several).problems == several
    assert OurFault(errors.OVERLOADED, retry_after_seconds=7).retry_after_seconds == 7


def test_that_suspending_ends_tokens_is_told_where_it_is_met() -> None:
    assert any("suspended" in cause for cause in errors.TOKEN_INVALID.causes)
    assert "ended all its tokens" in errors.ACCOUNT_SUSPENDED.cause
