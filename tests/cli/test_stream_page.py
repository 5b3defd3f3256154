"""`staa stream --serve`: what is wrong with it is said before a model is loaded."""

from __future__ import annotations

import socket
import sys
from typing import Any

import pytest
from live_pages import SAMPLE

from staa_cli.errors import ExitCode


@pytest.fixture(autouse=True)
def _no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any) -> None:
        raise AssertionError("the model is loaded")

    monkeypatch.setattr("staa_cli.explain.pipeline.open_model", load)


@pytest.mark.parametrize(
    ("options", "code", "cause"),
    [
        (["--serve", "x"], ExitCode.USAGE, "expected PORT or HOST:PORT"),
        (["--serve", "nowhere.invalid:0"], ExitCode.USAGE, "no such host"),
        (["--serve", "0", "--token-file", "absent"], ExitCode.USAGE, "cannot read"),
        (["--token-file", "absent"], ExitCode.USAGE, "for viewers of the page"),
    ],
)
def test_errors_come_before_the_model_is_loaded(
    run: Any, options: list[str], code: ExitCode, cause: str
) -> None:
    done = run("stream", str(SAMPLE), *options)
    assert done.code == code
    assert cause in done.err
    assert len(done.err.splitlines()) <= 2


def test_without_its_packages_the_page_says_what_to_install(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = run("stream", str(SAMPLE), "--serve", "0")
    assert done.code == ExitCode.UNAVAILABLE
    assert 'hint: pip install "staa[live]"' in done.err


def test_a_port_that_is_in_use(run: Any) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = run("stream", str(SAMPLE), "--serve", str(port))
    assert done.code == ExitCode.UNAVAILABLE
    assert f"port {port} is in use" in done.err


def test_a_token_is_not_a_setting(run: Any) -> None:
    done = run("config", "show", STAA_STREAM_TOKEN="secret-secret-secret")
    assert done.code == ExitCode.OK
    assert "secret-secret" not in done.out + done.err
