"""The reference of each API: an OpenAPI file, written by hand, as it is and as a page for people.

The pages are made once, when the server starts, of nothing but the files and the registry of errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from heliograph.api import html
from heliograph.api.face import Face
from heliograph.api.replies import JSON, Headers, Reply, ReplyResponse
from heliograph.messaging import errors

Node = Mapping[str, Any]
"""An object of the OpenAPI file."""

_YAML: Final[Headers] = ((b"content-type", b"application/yaml"),)  # RFC 9512
_METHODS: Final = ("post", "put", "get", "delete", "options", "head", "patch", "trace")


def contract(file: str) -> bytes:
    """An OpenAPI file of ours, as it is."""
    return resources.files("heliograph.api").joinpath("openapi", file).read_bytes()


class Reference:
    """The pages and files, made once."""

    def __init__(self, faces: Sequence[Face]) -> None:
        documents: dict[str, Document] = {}
        self._replies: dict[str, Reply] = {}
        for face in faces:
            path, source = f"/docs/{face.key}", contract(face.contract)
            decoded = msgspec.yaml.decode(source)
            document = documents[path] = Document(decoded)
            self._replies[path] = Reply(200, html.HTML, render(document, path))
            self._replies[f"{path}.yaml"] = Reply(200, _YAML, source)
            self._replies[f"{path}.json"] = Reply(200, JSON, msgspec.json.encode(decoded))
        self._replies["/docs"] = Reply(200, html.HTML, _index(documents))

    def routes(self) -> list[Route]:
        """What is where."""
        return [Route(path, self._serve, methods=["GET"]) for path in self._replies]

    async def _serve(self, request: Request) -> Response:
        return ReplyResponse(self._replies[request.url.path])


class Document:
    """An OpenAPI file in which every `$ref` is replaced by what it refers to, under the name `x-name`."""

    def __init__(self, source: Node) -> None:
        self.root: Node = _inlined(source, source)

    def operations(self) -> list[tuple[str, str, Node]]:
        """Path, method and operation of each call."""
        return _operations(self.root["paths"])

    def webhooks(self) -> list[tuple[str, str, Node]]:
        """Name, method and operation of each call that the server makes."""
        return _operations(self.root["webhooks"])

    def headers(self) -> Mapping[str, list[Node]]:
        """What each header of an answer means; most mean one thing."""
        found: dict[str, list[Node]] = {}
        for _, _, operation in self.operations():
            for answer in operation["responses"].values():
                for name, header in answer.get("headers", {}).items():
                    meanings = found.setdefault(name, [])
                    if header not in meanings:
                        meanings.append(header)
        return found

    def homes(self) -> Mapping[str, tuple[str, str]]:
        """Where each named object of a good answer is described, once for all: name → id and summary of the call."""
        found: dict[str, tuple[str, str]] = {}
        for _, _, operation in self.operations():
            for status, answer in operation["responses"].items():
                for content in answer.get("content", {}).values() if status[0] == "2" else ():
                    for name in _names(content["schema"]):
                        found.setdefault(name, (operation["operationId"], operation["summary"]))
        return found

    def error_bodies(self) -> list[tuple[str, Node]]:
        """Name and schema of each body that errors have."""
        found: dict[str, Node] = {}
        for _, _, operation in self.operations():
            for status, answer in operation["responses"].items():
                for content in answer.get("content", {}).values() if status[0] in "45" else ():
                    found[content["schema"]["x-name"]] = content["schema"]
        return sorted(found.items(), key=lambda item: item[0])


def _inlined(node: Any, source: Node) -> Any:
    match node:
        case {"$ref": str(reference)}:
            target: Any = source
            for name in reference.removeprefix("#/").split("/"):
                target = target[name]
            return {"x-name": name} | _inlined(target, source)
        case dict():
            return {name: _inlined(inner, source) for name, inner in node.items()}
        case list():
            return [_inlined(inner, source) for inner in node]
    return node


def _names(schema: Node) -> Iterator[str]:
    """The names of the objects in a schema."""
    for field in schema["properties"].values():
        inner = field.get("items", field)
        if "properties" in inner:
            if "x-name" in inner:
                yield inner["x-name"]
            yield from _names(inner)


def _operations(items: Node) -> list[tuple[str, str, Node]]:
    return [(path, method, item[method]) for path, item in items.items() for method in _METHODS if method in item]


def _index(documents: Mapping[str, Document]) -> bytes:
    parts = [_entry(path, document.root["info"]) for path, document in documents.items()]
    every_error = html.paragraph("[All errors](/errors), each with its cause and its remedy.")
    return html.page("Reference", "<h1>Reference</h1>\n", *parts, html.section("Errors", every_error))


def _entry(path: str, info: Node) -> str:
    links = (
        f'<ul>\n<li><a href="{path}">The reference</a>: every call, field, answer and callback</li>\n'
        f"<li>OpenAPI 3.1, for tools: {_files(path)}</li>\n</ul>\n"
    )
    return html.section(info["title"], html.paragraph(info["summary"]) + "\n" + links)


def _files(path: str) -> str:
    return f'<a href="{path}.yaml">YAML</a> or <a href="{path}.json">JSON</a>'


def render(document: Document, path: str) -> bytes:
    """The reference as a page, which is at this path."""
    info = document.root["info"]
    title = (
        f'<h1>{escape(info["title"])}</h1>\n<p class="faint">{html.marked(info["summary"])}'
        f" As OpenAPI 3.1: {_files(path)}.</p>\n"
    )
    before, *parts = f"\n{info['description']}".split("\n## ")
    chapters = [part.partition("\n")[::2] for part in parts]
    first, *rules = [_section(_slug(name), escape(name), html.prose(text)) for name, text in chapters]
    homes = document.homes()
    calls = [_operation(*operation, homes) for operation in document.operations()]
    callbacks = [_operation(*webhook, homes, ours=True) for webhook in document.webhooks()]
    article = (
        title,
        html.prose(before),
        first,
        *calls,
        *callbacks,
        *rules,
        _headers(document),
        _error_bodies(document),
    )
    contents = _contents(document, [name for name, _ in chapters])
    return html.page(info["title"], contents, "<article>\n", *article, "</article>\n", wide=True)


def _contents(document: Document, chapters: list[str]) -> str:
    def titles(operations: Iterable[tuple[str, str, Node]]) -> list[tuple[str, str]]:
        return [(operation["operationId"], operation["summary"]) for _, _, operation in operations]

    first, *rules = [(_slug(name), name) for name in chapters]
    parts = {
        "Start": [first],
        "Calls": titles(document.operations()),
        "Callbacks": titles(document.webhooks()),
        "Rules": [*rules, ("headers", "Headers of answers"), ("error-bodies", "Bodies of errors")],
    }
    lists = (
        f"<strong>{name}</strong>\n<ul>\n"
        + "".join(f'<li><a href="#{anchor}">{escape(text)}</a></li>\n' for anchor, text in entries)
        + "</ul>\n"
        for name, entries in parts.items()
    )
    return f'<nav class="contents" aria-label="Contents">\n{"".join(lists)}</nav>\n'


def _section(anchor: str, title: str, content: str) -> str:
    return f'<section id="{anchor}">\n<h2>{title}</h2>\n{content}</section>\n'


def _slug(title: str) -> str:
    return title.lower().replace(" ", "-")


# -- a call


Links = Mapping[str, str]
"""Objects that are described with another call: name → a link to that."""


def _operation(
    path: str, method: str, operation: Node, homes: Mapping[str, tuple[str, str]], *, ours: bool = False
) -> str:
    """A call, or with `ours` one that the server makes: then the path is no more than a name."""
    here = operation["operationId"]
    elsewhere = {
        name: f'<a href="#{call}">{escape(title)}</a>' for name, (call, title) in homes.items() if call != here
    }
    target = "your URL" if ours else html.code(path)
    call = f'<p class="call"><span class="verb {method}">{method.upper()}</span>{target}</p>\n'
    samples = operation.get("x-codeSamples", ())
    example = "".join(
        (f"<h3>{escape(one['label'])}</h3>\n" if len(samples) > 1 else "") + html.block(one["source"])
        for one in samples
    )
    request = _parameters(operation) + _body(operation, elsewhere)
    answers = "".join(_answer(status, answer, elsewhere) for status, answer in operation["responses"].items())
    heading = "Your answer" if ours else "Answers"
    content = f"{call}{html.prose(operation['description'])}{example}{request}<h3>{heading}</h3>\n{answers}"
    return _section(operation["operationId"], escape(operation["summary"]), content)


_WHERE: Final = {"header": "header", "path": "in the path", "query": "in the query"}


def _parameters(operation: Node) -> str:
    rows = [
        (_name(one["name"], _WHERE[one["in"]], required=one.get("required", False)), _told(one) + _shown(one))
        for one in operation.get("parameters", ())
    ]
    return "<h3>Parameters</h3>\n" + html.table(("Parameter", "Meaning"), rows, stacked=True) + "\n" if rows else ""


def _body(operation: Node, elsewhere: Links) -> str:
    if "requestBody" not in operation:
        return ""
    parts = []
    for media, content in operation["requestBody"]["content"].items():
        parts.append(f"<h3>Body: {html.code(media)}</h3>\n{_fields(content['schema'], elsewhere)}")
        parts += _examples(content, media)
    return "".join(parts)


def _answer(status: str, answer: Node, elsewhere: Links) -> str:
    """An answer folded into its status and what it means; the good ones are open."""
    first, _, rest = answer["description"].strip().partition("\n\n")
    named = f'<span class="status s{status[0]}">{status if status != "default" else "any other"}</span>'
    inside = html.prose(rest) + _meanings(answer)
    for media, content in answer.get("content", {}).items():
        inside += f"<p>Body: {html.code(media)}{_refers(content['schema'], status)}</p>\n"
        if status[0] == "2":
            inside += _fields(content["schema"], elsewhere)
        inside += "".join(_examples(content, media))
    if answer.get("headers"):
        links = ", ".join(f'<a href="#header-{name.lower()}">{name}</a>' for name in answer["headers"])
        inside += f'<p class="faint">Headers: {links}</p>\n'
    if not inside:
        return f"<p>{named} {html.marked(first)}</p>\n"
    summary = f"<summary>{named}{html.marked(first)}</summary>"
    is_open = " open" if status[0] == "2" else ""
    return f'<details{is_open}>{summary}<div class="inside">\n{inside}</div></details>\n'


def _meanings(answer: Node) -> str:
    """The errors that an answer can mean, each with its page."""
    entries = []
    for code in answer.get("x-errors", ()):
        title = errors.REGISTRY[code].title if code in errors.REGISTRY else ""
        entries.append(f'<li><a href="/errors/{code}">{html.code(code)}</a> {escape(title)}</li>\n')
    return f"<ul>\n{''.join(entries)}</ul>\n" if entries else ""


def _refers(schema: Node, status: str) -> str:
    """Where a body that many errors have is described."""
    return f', a <a href="#{schema["x-name"]}">{schema["x-name"]}</a>' if status[0] in "45" else ""


def _examples(content: Node, media: str) -> Iterator[str]:
    for name, example in content.get("examples", {}).items():
        title = html.marked(example.get("summary", ""))
        if name in errors.REGISTRY:
            title = f"Example: {html.code(name)}"
        yield (f'<p class="faint">{title}</p>\n' if title else "") + html.block(_text(example["value"], media))


def _text(value: Any, media: str) -> str:
    if media == "application/x-www-form-urlencoded":
        return "&\n".join(f"{name}={text}" for name, text in value.items())
    return _json(value)


_COLUMNS: Final = 80


def _json(value: Any, indent: str = "") -> str:
    """JSON in which what fits on a line is on one."""
    flat = msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
    if len(indent) + len(flat) <= _COLUMNS or not isinstance(value, dict | list):
        return flat
    deeper = indent + "  "
    if isinstance(value, list):
        entries, (opening, closing) = [_json(entry, deeper) for entry in value], "[]"
    else:
        entries, (opening, closing) = [f"{_json(name)}: {_json(entry, deeper)}" for name, entry in value.items()], "{}"
    return f"{opening}\n{deeper}" + f",\n{deeper}".join(entries) + f"\n{indent}{closing}"


# -- fields


def _fields(schema: Node, elsewhere: Links) -> str:
    rows = list(_rows(schema, "", elsewhere))
    return _told(schema) + html.table(("Field", "Meaning"), rows, stacked=True) + "\n"


def _rows(schema: Node, prefix: str, elsewhere: Links) -> Iterator[tuple[str, str]]:
    """Each field of an object and of the objects in it: `message.text`, `submissions[].status`."""
    for name, node in schema["properties"].items():
        field = node
        required = name in schema.get("required", ())
        inner, within = field, f"{prefix}{name}."
        if field.get("type") == "array":
            inner, within = field["items"], f"{prefix}{name}[]."
        link = elsewhere.get(inner.get("x-name", ""))
        more = f"<p>Its fields are those under {link}.</p>" if link else ""
        yield _name(prefix + name, _type(field), required=required), _meaning(field) + more
        if "properties" in inner and not link:
            yield from _rows(inner, within, elsewhere)


def _name(name: str, kind: str, *, required: bool) -> str:
    need = ", required" if required else ""
    return f'{html.code(name)}<br><span class="faint">{kind}{need}</span>'


def _type(schema: Node) -> str:
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        kinds = {type(value).__name__: None for value in values if value not in (None, "")}
        return " or ".join("string" if kind == "str" else "number" for kind in kinds)
    types: list[str] = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if types == ["array"]:
        return f"array of {_type(schema['items'])}s"
    return " or ".join(types)


def _meaning(field: Node) -> str:
    told = _told(field)
    if field.get("type") == "array":
        item = field["items"]
        told += _told(item) if "properties" not in item else ""
    if "const" in field:
        told += f"<p>Always {_literal(field['const'])}.</p>"
    elif "enum" in field and "| --- |" not in field.get("description", ""):
        told += f"<p>One of {', '.join(map(_literal, field['enum']))}.</p>"
    return told


def _literal(value: Any) -> str:
    return html.code(value if isinstance(value, str) and value else msgspec.json.encode(value).decode())


def _told(node: Node) -> str:
    return html.prose(node.get("description", ""))


def _shown(node: Node) -> str:
    return f'<p class="faint example">For example {_literal(node["example"])}</p>' if "example" in node else ""


# -- what many answers have in common


def _headers(document: Document) -> str:
    rows = [
        (f'<span id="header-{name.lower()}">{html.code(name)}</span>', "".join(map(_told, nodes)) + _shown(nodes[0]))
        for name, nodes in document.headers().items()
    ]
    return _section("headers", "Headers of answers", html.table(("Header", "Meaning"), rows, stacked=True) + "\n")


def _error_bodies(document: Document) -> str:
    bodies = (f'<h3 id="{name}">{name}</h3>\n{_fields(schema, {})}' for name, schema in document.error_bodies())
    return _section("error-bodies", "Bodies of errors", "".join(bodies))
