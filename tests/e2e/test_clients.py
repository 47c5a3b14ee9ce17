"""Clients that people have: each changed in scheme, host, port and credentials, and in nothing else."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from oauthlib.oauth2 import BackendApplicationClient
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session
from tests.harness.client import form
from tests.harness.server import Server
from tests.harness.tls import Certificate, self_signed
from tests.harness.wire import Wire, encode

SEND = {"recipients": ["+56912340000"], "sender": "96000", "message": {"charset": 0, "text": "Café – ¡hola!"}}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secure(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The demo over TLS."""
    arguments = ["--tls-cert", str(certificate.cert), "--tls-key", str(certificate.key)]
    with Server(tmp_path_factory.mktemp("secure") / "data", arguments=arguments, scheme="https") as started:
        yield started


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(f"{name} is not installed")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}


def submitted(body: dict[str, Any]) -> str:
    (only,) = body["submissions"]
    assert only["status"] == "submitted"
    return str(only["submissionId"])


def test_the_credentials_name_the_url_that_answers(secure: Server, certificate: Certificate) -> None:
    assert secure.credentials["base_url"] == secure.base_url
    with requests.Session() as session:
        session.trust_env = False
        assert session.get(f"{secure.credentials['base_url']}/readyz", verify=str(certificate.cert)).status_code == 200


@pytest.mark.parametrize("way", ["basic", "form", "basic by default"])
def test_requests_oauthlib_gets_a_token_and_sends(secure: Server, certificate: Certificate, way: str) -> None:
    client_id, client_secret = secure.credentials["realtime"].values()
    how: dict[str, Any] = {
        "basic": {"auth": HTTPBasicAuth(client_id, client_secret)},
        "form": {"client_secret": client_secret, "include_client_id": True},
        "basic by default": {"client_secret": client_secret},
    }[way]
    with OAuth2Session(client=BackendApplicationClient(client_id=client_id)) as session:
        session.trust_env = False
        session.verify = str(certificate.cert)
        token = session.fetch_token(f"{secure.base_url}/api/auth", **how)
        assert token["token_type"] == "Bearer"
        assert token["expires_in"] == 3600
        sent = session.post(f"{secure.base_url}/api/sms", json=SEND)
        assert sent.status_code == 200
        info = session.get(f"{secure.base_url}/api/sms/{submitted(sent.json())}")
        assert info.json()["info"]["cost"] == 1
        assert session.get(f"{secure.base_url}/api/balance").json()["balance"].endswith(".00")


def test_python_requests(secure: Server, certificate: Certificate) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(certificate.cert)
        fields = {"grant_type": "client_credentials", **secure.credentials["realtime"]}
        token = session.post(f"{secure.base_url}/api/auth", data=fields).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        submitted(session.post(f"{secure.base_url}/api/sms", json=SEND, headers=headers).json())
        body = (part for part in [json.dumps(SEND)[:9].encode(), json.dumps(SEND)[9:].encode()])  # chunked
        submitted(session.post(f"{secure.base_url}/api/sms", data=body, headers=headers).json())


def test_curl(secure: Server, certificate: Certificate) -> None:
    curl = [tool("curl"), "--silent", "--show-error", "--fail", "--noproxy", "*", "--cacert", str(certificate.cert)]

    def run(*words: str) -> dict[str, Any]:
        done = subprocess.run([*curl, *words], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    id_, secret = secure.credentials["realtime"]["client_id"], secure.credentials["realtime"]["client_secret"]
    fields = ["-d", "grant_type=client_credentials", "-d", f"client_id={id_}", "--data-urlencode"]
    token = run(f"{secure.base_url}/api/auth", *fields, f"client_secret={secret}")["access_token"]
    by_basic = run(f"{secure.base_url}/api/auth", "-u", f"{id_}:{secret}", "-d", "grant_type=client_credentials")
    bearer = ["-H", f"Authorization: Bearer {token}"]
    as_json = ["-H", "Content-Type: application/json"]
    submission_id = submitted(run(f"{secure.base_url}/api/sms", *bearer, *as_json, "-d", json.dumps(SEND)))
    lower = ["-H", f"authorization: bearer {by_basic['access_token']}"]
    submitted(run(f"{secure.base_url}/api/sms", *lower, "-d", json.dumps(SEND)))
    assert run(f"{secure.base_url}/api/sms/{submission_id}", *bearer)["id"] == submission_id
    big = {**SEND, "recipients": ["+56912340000"] * 200}  # curl asks for `100 Continue` before a body of this size
    expect = ["-H", "Expect: 100-continue"]
    assert len(run(f"{secure.base_url}/api/sms", *bearer, *expect, "-d", json.dumps(big))["submissions"]) == 200


NODE = """
const https = require("https"), fs = require("fs");
const [base, id, secret, ca, send] = process.argv.slice(2);
const agent = new https.Agent({ keepAlive: true, ca: fs.readFileSync(ca) });
function call(method, path, headers, body) {
  return new Promise((resolve, reject) => {
    const request = https.request(base + path, { method, headers, agent }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part) => (text += part));
      response.on("end", () => resolve({ status: response.statusCode, body: text && JSON.parse(text) }));
    });
    request.on("error", reject);
    request.end(body);
  });
}
(async () => {
  const form = new URLSearchParams({ grant_type: "client_credentials", client_id: id, client_secret: secret });
  const type = { "Content-Type": "application/x-www-form-urlencoded" };
  const token = (await call("POST", "/api/auth", type, form.toString())).body.access_token;
  const headers = { Authorization: "Bearer " + token, "Content-Type": "application/json" };
  const sent = await call("POST", "/api/sms", headers, send);
  const info = await call("GET", "/api/sms/" + sent.body.submissions[0].submissionId, headers);
  console.log(JSON.stringify({ sent, info }));
  agent.destroy();
})();
"""


def test_node(secure: Server, certificate: Certificate, tmp_path: Path) -> None:
    script = tmp_path / "send.js"
    script.write_text(NODE)
    id_, secret = secure.credentials["realtime"]["client_id"], secure.credentials["realtime"]["client_secret"]
    command = [tool("node"), str(script), secure.base_url, id_, secret, str(certificate.cert), json.dumps(SEND)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment())
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["sent"]["status"] == 200
    assert told["info"]["body"]["id"] == submitted(told["sent"]["body"])


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_form_as_php_posts_it(secure: Server, certificate: Certificate, version: str) -> None:
    """`http_build_query` in `stream_context_create`: HTTP/1.0 before PHP 8, `Connection: close`, a charset."""
    context = ssl.create_default_context(cafile=str(certificate.cert))
    id_, secret = secure.credentials["realtime"]["client_id"], secure.credentials["realtime"]["client_secret"]
    body = form(client_secret=secret, scope="send sms&more", client_id=id_, grant_type="client_credentials")
    kind = ("Content-type", "application/x-www-form-urlencoded; charset=utf-8")
    close = ("Connection", "close")

    def call(path: str, headers: list[tuple[str, str]], body: bytes) -> dict[str, Any]:
        with Wire(secure.address, tls=context) as wire:
            wire.send(encode("POST", path, [*headers, close], body, version=version, host="127.0.0.1"))
            response = wire.read()
            assert response.status == 200, response.body
            found: dict[str, Any] = response.json()
            return found

    token = call("/api/auth", [kind], body)["access_token"]
    submitted(call("/api/sms", [("Authorization", f"Bearer {token}")], json.dumps(SEND).encode()))
