"""Where a process's time goes: py-spy's samples by thread, module, function and line.

Shares are of samples, and py-spy leaves out threads that wait; but it takes some waiting (for the disk, for the
interpreter's lock, for a thread's next task) for work, so each thread's CPU is given too, as the kernel counts it.
There are Python frames only: what C code does, the event loop's system calls among it, counts for the frame that called
it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

RATE = 250  # samples a second
_FRAME = re.compile(r"(?P<function>.*) \((?P<file>[^()]*?)(?::(?P<line>\d+))?\)")
_THREAD = re.compile(r"thread \((?P<id>[^)]*)\)(?:: (?P<name>.*))?")


class Frame(msgspec.Struct, frozen=True):
    """A place in the code; `module` is the file, from its package on."""

    function: str
    module: str
    line: int


class Share(msgspec.Struct, frozen=True):
    """What is spent in a place itself, and with what it calls: microseconds for each message."""

    place: str
    self_us: float
    total_us: float


class Thread(msgspec.Struct, frozen=True):
    """A thread: how busy it was, and what with; the most first."""

    name: str
    busy_percent: float
    us_per_message: float
    cpu_us_per_message: float
    modules: list[Share]
    functions: list[Share]
    lines: list[Share]


class Profile(msgspec.Struct, frozen=True):
    """Samples: for each thread its stacks, outermost frame first, with their counts; and its CPU, in seconds."""

    seconds: float
    rate: int
    stacks: dict[str, Counter[tuple[Frame, ...]]]
    cpu_seconds: dict[str, float]

    def threads(self, messages_per_second: float) -> list[Thread]:
        """What the threads did, the busiest first."""
        found = [self._thread(name, stacks, self.seconds * messages_per_second) for name, stacks in self.stacks.items()]
        return sorted(found, key=lambda thread: -thread.busy_percent)

    def _thread(self, name: str, stacks: Counter[tuple[Frame, ...]], messages: float) -> Thread:
        us = 1e6 / self.rate / messages  # a sample, for each message
        return Thread(
            name,
            100 * stacks.total() / (self.rate * self.seconds),
            stacks.total() * us,
            self.cpu_seconds.get(name, 0.0) * 1e6 / messages,
            _shares(stacks, us, lambda frame: frame.module),
            _shares(stacks, us, lambda frame: f"{frame.module} {frame.function}"),
            _shares(stacks, us, lambda frame: f"{frame.module}:{frame.line} {frame.function}"),
        )


def record(pid: int, seconds: int, output: Path, rate: int = RATE) -> Profile:
    """Sample a process for so long; the samples are left in `output` too."""
    spy = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or "py-spy"
    words = [spy, "record", "--pid", str(pid), "--duration", str(seconds), "--rate", str(rate)]
    words += ["--format", "raw", "--threads", "--output", str(output)]
    before = _cpu_seconds(pid)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    after = _cpu_seconds(pid)
    if done.returncode or not output.exists():
        raise RuntimeError(f"py-spy: exit {done.returncode}: {done.stderr[-500:]}")
    names, stacks = parse(output.read_text())
    used = {name: after.get(thread, 0.0) - before.get(thread, 0.0) for thread, name in names.items()}
    return Profile(seconds, rate, stacks, used)


def parse(raw: str) -> tuple[dict[str, str], dict[str, Counter[tuple[Frame, ...]]]]:
    """Threads' names by their ids, and stacks by name, of py-spy's format `raw` recorded with `--threads`."""
    names: dict[str, str] = {}
    found: dict[str, Counter[tuple[Frame, ...]]] = {}
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        first, *frames = stack.split(";")
        thread = _THREAD.fullmatch(first)
        if thread is None:
            raise ValueError(f"a stack without its thread: {line[:80]!r}")
        name = names.setdefault(thread["id"], thread["name"] or thread["id"])
        found.setdefault(name, Counter())[tuple(map(_frame, frames))] += int(count)
    return names, found


def _cpu_seconds(pid: int) -> dict[str, float]:
    """What each thread of a process has used so far, by thread id."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {task.name: int((task / "schedstat").read_text().split()[0]) / 1e9 for task in tasks}


def show(threads: list[Thread], top: int = 25, least_percent: float = 2.0) -> str:
    """The result as text; threads that did next to nothing are left out."""
    return "\n".join(
        line for thread in threads if thread.busy_percent >= least_percent for line in _show_thread(thread, top)
    )


def _show_thread(thread: Thread, top: int) -> Iterator[str]:
    yield (
        f"{thread.name}: sampled {thread.busy_percent:.0f} % of the time, {thread.us_per_message:.2f} µs a message,"
        f" of which {thread.cpu_us_per_message:.2f} CPU"
    )
    for title, shares in (("module", thread.modules), ("function", thread.functions), ("line", thread.lines)):
        yield f"  {'self µs':>9} {'self %':>7} {'total µs':>9}  {title}"
        for share in shares[:top]:
            percent = 100 * share.self_us / thread.us_per_message
            yield f"  {share.self_us:9.2f} {percent:7.1f} {share.total_us:9.2f}  {share.place}"


def _frame(text: str) -> Frame:
    match = _FRAME.fullmatch(text)
    if match is None:
        return Frame(text, "", 0)
    return Frame(match["function"], match["file"], int(match["line"] or 0))


def _shares(stacks: Counter[tuple[Frame, ...]], us: float, place: Callable[[Frame], str]) -> list[Share]:
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for frames, count in stacks.items():
        places = [place(frame) for frame in frames] or ["?"]
        own[places[-1]] += count
        for one in set(places):
            total[one] += count
    shares = [Share(one, own[one] * us, count * us) for one, count in total.items()]
    return sorted(shares, key=lambda share: (-share.self_us, -share.total_us))
