"""HTML of the pages for people: the shell around every page, its style, and the little markup that our texts have.

A page needs nothing from elsewhere and no script; the policy in its headers forbids both.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby
from typing import Final

from heliograph.api.replies import Headers

_STYLE: Final = """
:root {
  color-scheme: light dark; --width: 52rem;
  --ink: #1d2430; --paper: #fdfcf9; --faint: #5c6675; --line: #dcd9d0; --sun: #a34a00; --shade: #f4f1ea;
  --good: #1a6b3c; --warn: #8a5a00; --bad: #a8261d; --read: #1a5fa0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e6e8ec; --paper: #14181f; --faint: #9aa4b2; --line: #2c3440; --sun: #ffb066; --shade: #1b212a;
    --good: #6cc893; --warn: #e6b450; --bad: #ff8f85; --read: #7ab8f0;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.6 system-ui, sans-serif; }
header, main { max-width: var(--width); margin: 0 auto; padding: 1rem 1.25rem; }
header { border-bottom: 1px solid var(--line); }
header a { margin-right: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 1rem 0 .25rem; }
h2 { font-size: 1.05rem; margin: 1.75rem 0 .25rem; }
p { margin: .25rem 0 .75rem; }
a { color: var(--sun); }
code { font: .9em ui-monospace, monospace; }
pre code { overflow-wrap: anywhere; }
@media (min-width: 40rem) { td code { white-space: nowrap; } wbr { display: none; } }
pre { border: 1px solid var(--line); border-radius: .4rem; padding: .75rem; white-space: pre-wrap; margin: .25rem 0; }
.faint { color: var(--faint); }
h3 { font-size: .9rem; color: var(--faint); margin: 1rem 0 .25rem; }
ul { padding-left: 1.25rem; margin: .25rem 0 .75rem; }
li { margin: .35rem 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); gap: .75rem 1.5rem; }
.facts { margin: 1.5rem 0 0; padding: .75rem 1rem; background: var(--shade); }
.facts { border: 1px solid var(--line); border-radius: .4rem; }
dt { font-weight: 600; font-size: .9rem; }
dd { margin: 0; }
p { overflow-wrap: break-word; }
.after { color: var(--faint); font-size: .9rem; margin-top: .75rem; }
.index table { table-layout: fixed; }
.index td { overflow-wrap: break-word; }
.narrow { display: none; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); }

.wide { --width: 74rem; }
.wide h2 { font-size: 1.35rem; line-height: 1.3; margin: 0 0 .5rem; }
.wide h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
.wide article > section { padding: 2rem 0; border-top: 1px solid var(--line); }
.wide article > section:first-of-type { border-top: 0; padding-top: 1rem; }
.wide pre { background: var(--shade); margin: .5rem 0 1rem; line-height: 1.5; }
.wide li { margin: .35rem 0; }
.wide td p, .wide td ul { margin: 0 0 .25rem; }
.wide table + p, .wide table + pre, .wide table + details { margin-top: 1rem; }
.stacked > tbody > tr > td:first-child { width: 30%; }
.example code { white-space: normal; word-break: break-all; }
.wide td tr:last-child td { border-bottom: 0; }
.contents ul { list-style: none; margin: 0 0 1rem; padding: 0; }
.contents li { margin: .15rem 0; }
.contents a { text-decoration: none; }
.contents a:hover { text-decoration: underline; }
.contents strong { font-size: .8rem; color: var(--faint); }
.call { margin: .25rem 0 .75rem; }
.call code { font-size: 1.05em; }
.verb, .status { font: 600 .8rem/1 ui-monospace, monospace; border: 1px solid; border-radius: .3rem; }
.verb, .status { padding: .2rem .4rem; }
.verb { margin-right: .5rem; color: var(--read); }
.post, .s2 { color: var(--good); }
.s4 { color: var(--warn); }
.s5 { color: var(--bad); }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .5rem 0; }
summary { cursor: pointer; padding: .5rem .75rem; }
summary .status { margin: 0 .5rem 0 .25rem; }
details[open] > summary { border-bottom: 1px solid var(--line); }
.inside { padding: .5rem .75rem; }
@media (min-width: 62rem) {
  .wide main { display: grid; grid-template-columns: 14rem minmax(0, 1fr); gap: 3rem; }
  .contents { position: sticky; top: 1rem; align-self: start; max-height: calc(100vh - 2rem); overflow: auto; }
}
@media (max-width: 62rem) { .contents ul { display: flex; flex-wrap: wrap; gap: 0 1rem; } }
@media (max-width: 40rem) {
  .narrow { display: inline; color: var(--faint); }
  .stacked > tbody > tr > td:empty { display: none; }
  .stacked > thead { display: none; }
  .stacked > tbody > tr, .stacked > tbody > tr > td { display: block; }
  .stacked > tbody > tr { padding: .4rem 0; border-bottom: 1px solid var(--line); }
  .stacked > tbody > tr > td, .stacked > tbody > tr > td:first-child { width: auto; border: 0; padding: 0 0 .25rem; }
}
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HTML: Final[Headers] = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'".encode()),
    (b"x-content-type-options", b"nosniff"),
)
"""The headers of every page."""


def page(title: str, *content: str, wide: bool = False) -> bytes:
    """A whole page. One that is `wide` has its table of contents (`class="contents"`) beside an `article`."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} – Heliograph</title>
<style>{_STYLE}</style>
</head>
<body{' class="wide"' if wide else ""}>
<header><nav aria-label="Site">\
<a href="/">Heliograph</a><a href="/docs">Reference</a><a href="/errors">Errors</a></nav></header>
<main>
{"".join(content)}</main>
</body>
</html>
""".encode()


def section(title: str, content: str) -> str:
    """A part of a page under a heading."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>\n"


def code(text: str) -> str:
    """Code that breaks nowhere but after `_`, and at spaces."""
    return f"<code>{escape(text, quote=False).replace('_', '_<wbr>')}</code>"


def block(text: str) -> str:
    """Code of several lines."""
    return f"<pre><code>{escape(text.strip(), quote=False)}</code></pre>\n"


def table(head: Iterable[str], rows: Iterable[Iterable[str]], *, stacked: bool = False) -> str:
    """A table of cells that are HTML; one that is `stacked` has its cells one below the other on a phone."""
    heads = "".join(f'<th scope="col">{name}</th>' for name in head)
    lines = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    kind = ' class="stacked"' if stacked else ""
    return f"<table{kind}>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>"


# -- our texts, in a small part of CommonMark

_MARK: Final = re.compile(r"`(?P<code>[^`]+)`|\*\*(?P<strong>[^*]+)\*\*|\[(?P<text>[^\]]+)\]\((?P<to>[^)\s\"]+)\)")
_CELL: Final = re.compile(r"\s*\|\s*")


def paragraph(text: str) -> str:
    """A paragraph of text with `marks`."""
    return f"<p>{marked(text)}</p>"


def marked(text: str) -> str:
    """Text in which backticks mark code, two asterisks what matters, and `[text](address)` a link."""
    return _MARK.sub(_rendered, escape(text, quote=False))


def _rendered(mark: re.Match[str]) -> str:
    if mark["code"]:
        return f"<code>{mark['code'].replace('_', '_<wbr>')}</code>"
    if mark["strong"]:
        return f"<strong>{mark['strong']}</strong>"
    return f'<a href="{mark["to"]}">{mark["text"]}</a>'


def prose(text: str) -> str:
    """Paragraphs, lists with `-`, tables and code between fences, set apart by empty lines."""
    return "".join(_block(lines) for lines in _blocks(text))


def _blocks(text: str) -> Iterator[list[str]]:
    """The lines of each block. Empty lines inside a fence belong to it."""
    for number, part in enumerate(text.split("```")):
        if number % 2:
            yield ["```", *part.splitlines()]
        else:
            lines = part.splitlines()
            yield from (list(group) for filled, group in groupby(lines, key=lambda line: bool(line.strip())) if filled)


def _block(lines: list[str]) -> str:
    first = lines[0]
    if first == "```":
        return block("\n".join(lines[1:]))
    if first.startswith("|"):
        head, _, *rows = (_CELL.split(line.strip().strip("|").strip()) for line in lines)
        return table(map(marked, head), (map(marked, row) for row in rows)) + "\n"
    if first.startswith("- "):
        items = " ".join(line.strip() if not line.startswith("- ") else "\n" + line[2:] for line in lines)
        return "<ul>\n" + "".join(f"<li>{marked(item.strip())}</li>\n" for item in items.split("\n")[1:]) + "</ul>\n"
    return paragraph(" ".join(lines)) + "\n"
