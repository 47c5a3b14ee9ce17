"""Proves that the conformance suite bites: each mutation of the server, one by one, must turn it red.

    python -m tests.mutation            all of them
    python -m tests.mutation 3 7        some of them
    python -m tests.mutation --list     what they are
    python -m tests.mutation --source DIR …    of another copy of `src`

Before the first, the tests that will be asked are run against the source as it is and must be green.
A mutation whose text is not found exactly once is an error: the list is out of date.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutation.mutations import MUTATIONS, Mutation

AT_ONCE = 3  # mutations, each with a server of its own
ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"


class OutOfDateError(Exception):
    """A mutation that cannot be applied."""


def apply(mutation: Mutation, source: Path) -> None:
    for change in mutation.changes:
        path = source / "heliograph" / change.file
        text = path.read_text()
        if text.count(change.old) != 1:
            raise OutOfDateError(f"{change.file}: found {text.count(change.old)} times, not once:\n{change.old}")
        path.write_text(text.replace(change.old, change.new))
        compile(path.read_text(), str(path), "exec")


def run(source: Path, tests: list[str], *words: str) -> tuple[int, str]:
    """pytest over these tests, with the server and everything in-process taken from `source`."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *words, *tests]
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    return done.returncode, done.stdout + done.stderr


def verdict(code: int, output: str) -> str:
    """Red means that a test failed: not that one could not be set up, found or run."""
    if code == 0:
        return "survived: no test noticed"
    if code == 1 and re.search(r"^FAILED ", output, re.MULTILINE):
        return "killed"
    return f"error: pytest ended with {code} and no failed test\n{output[-3000:]}"


def check(mutation: Mutation, source: Path) -> str:
    with tempfile.TemporaryDirectory(prefix="heliograph-mutation-") as folder:
        mutated = Path(folder) / "src"
        shutil.copytree(source, mutated, ignore=shutil.ignore_patterns("__pycache__"))
        try:
            apply(mutation, mutated)
        except (OutOfDateError, SyntaxError) as error:
            return f"error: {error}"
        return verdict(*run(mutated, list(mutation.tests)))


def main(words: list[str]) -> int:
    if "--list" in words:
        for number, mutation in enumerate(MUTATIONS, 1):
            print(f"{number:3} {mutation.noticed}")
        return 0
    source = SOURCE
    if "--source" in words:
        at = words.index("--source")
        source = Path(words[at + 1]).resolve()
        words = words[:at] + words[at + 2 :]
    chosen = [int(word) for word in words] or list(range(1, len(MUTATIONS) + 1))
    asked = sorted({test for number in chosen for test in MUTATIONS[number - 1].tests})
    code, output = run(source, asked, "-n", str(AT_ONCE))
    if code != 0:
        print(output[-4000:])
        print("the suite is red without any mutation")
        return 2
    with ThreadPoolExecutor(AT_ONCE) as workers:
        killed = sum(workers.map(lambda number: tell(number, source), chosen))
    print(f"{killed} of {len(chosen)} mutations killed")
    return 0 if killed == len(chosen) else 1


def tell(number: int, source: Path) -> bool:
    """Print what becomes of a mutation; whether it is killed."""
    mutation = MUTATIONS[number - 1]
    begun = time.monotonic()
    first, *more = check(mutation, source).splitlines()
    lines = [f"{number:3} {first:12} {time.monotonic() - begun:5.1f} s  {mutation.noticed}"]
    print("\n".join([*lines, *(f"      {line}" for line in more)]), flush=True)
    return first == "killed"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
