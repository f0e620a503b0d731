"""A real provider's software (oidc-provider-mock) on a free port of loopback, in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.integration.raw_http import PLAIN

_RUNNING = re.compile(r"Uvicorn running on http://127\.0\.0\.1:([0-9]+)")


@contextmanager
def real_provider(*people: dict[str, Any]) -> Iterator[str]:
    """Its issuer; each person has a ``sub`` and further claims."""
    argv = [sys.executable, "-m", "oidc_provider_mock", "--port", "0", "--require-nonce", "true"]
    for person in people:
        argv += ["--user-claims", json.dumps(person)]
    env = {"PATH": os.environ["PATH"], "NO_COLOR": "1"}
    with subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stderr is not None
            port = next(found[1] for line in process.stderr if (found := _RUNNING.search(line)))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def say_yes(address: str, sub: str) -> httpx.URL:
    """What the person does at the provider's page; where it sends the browser back to."""
    answer = httpx.post(address, data={"sub": sub}, verify=PLAIN, timeout=10)
    assert answer.status_code == 302, answer.text
    return httpx.URL(answer.headers["location"])
