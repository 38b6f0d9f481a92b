"""Log lines as an operator reads them: from a process's stderr."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest
import structlog

from services.runtime import logs, telemetry

Lines = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def configured() -> Any:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    # What it was bound to when somebody in this process first wrote, it keeps.
    vars(logs.log).pop("bind", None)
    logs.configure("order", "INFO")
    yield
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()
    vars(logs.log).pop("bind", None)


def lines(captured: Lines) -> list[dict[str, Any]]:
    return [json.loads(line) for line in captured.readouterr().err.splitlines()]


def test_writes_one_json_line_with_the_trace(capsys: Lines) -> None:
    with telemetry.span("call") as span:
        logs.log.info("order recorded", order_id="o1", quantity=2)

    (line,) = lines(capsys)
    assert list(line) == ["ts", "level", "event", "service", "trace_id", "order_id", "quantity"]
    assert line["ts"].endswith("Z")
    assert {**line, "ts": ""} == {
        "ts": "",
        "level": "info",
        "event": "order recorded",
        "service": "order",
        "trace_id": span.trace.trace_id,
        "order_id": "o1",
        "quantity": 2,
    }


def test_has_no_trace_outside_of_one_and_nothing_below_its_level(capsys: Lines) -> None:
    logs.log.debug("quiet")
    logs.log.warning("100% sure")

    (line,) = lines(capsys)
    assert line["event"] == "100% sure" and "trace_id" not in line


def test_takes_the_standard_library_along(capsys: Lines) -> None:
    logging.getLogger("grpc._cython").error("lost %s", "x")
    logging.getLogger("aiohttp.access").info("GET /")

    (line,) = lines(capsys)
    assert (line["level"], line["event"], line["logger"]) == ("error", "lost x", "grpc._cython")


@pytest.mark.parametrize(
    "key",
    [
        "authorization",
        "access_token",
        "paymentMethod",
        "payment_method",
        "card",
        "card_number",
        "apiKey",
        "API_KEY",
        "database_dsn",
        "password",
        "clientSecret",
        "email",
        "Sandbox-Signature",
        "full_name",
        "cookies",
    ],
)
def test_drops_what_nobody_may_read(capsys: Lines, key: str) -> None:
    logs.log.info("x", **{key: "leak", "kept": {key: ["leak"], "inner": [{key: "leak"}, 1]}})

    written = capsys.readouterr().err
    assert "leak" not in written
    assert json.loads(written)["kept"] == {"inner": [{}, 1]}


@pytest.mark.parametrize(
    "key", ["order_id", "idempotency_key", "discarded", "span", "company", "address", "listen"]
)
def test_keeps_what_only_sounds_like_a_secret(capsys: Lines, key: str) -> None:
    logs.log.info("x", **{key: "kept"})

    assert lines(capsys)[0][key] == "kept"


def test_masks_card_numbers_wherever_they_stand(capsys: Lines) -> None:
    number = "4111 1111 1111 1111"
    logs.log.info(f"paid with {number}", note=number, inner=[{number: number}], error=KeyError(number))
    logs.log.info("paid", number=4111111111111111, cut="x" * (logs.TEXT_LIMIT - 20) + f" {number}")
    logging.getLogger("grpc").warning("paid with %s", number)

    text = capsys.readouterr().err
    assert not re.search("4[ 1]{10}|41{10}", text)
    assert text.count("**** **** **** 1111") >= 5


def test_cuts_a_text_without_end(capsys: Lines) -> None:
    logs.log.info("y" * 1_000_000, name="x" * 1_000_000)

    (line,) = lines(capsys)
    assert len(line["name"]) == len(line["event"]) == logs.TEXT_LIMIT + 1


def fail() -> None:
    try:
        raise KeyError("jane@example.org")
    except KeyError as error:
        raise ValueError("bad 'Jane Doe' for 4111111111111111\nDETAIL: (email)=(x@y.z)") from error


@pytest.mark.parametrize("through", ["structlog", "logging"])
def test_tells_where_an_exception_went_but_not_what_it_quoted(capsys: Lines, through: str) -> None:
    try:
        fail()
    except ValueError:
        logs.log.exception("failed") if through == "structlog" else logging.exception("failed")

    (line,) = lines(capsys)
    assert [cause["error"] for cause in line["exception"]] == ["ValueError: bad '…' for '…'", "KeyError: '…'"]
    assert line["exception"][0]["frames"][-1].endswith(" fail")
    assert line["level"] == "error"


def test_describes_an_exception_given_as_a_value(capsys: Lines) -> None:
    logs.log.warning("x", error=ConnectionRefusedError("refused by 'host'"))

    assert lines(capsys)[0]["error"] == "ConnectionRefusedError: refused by '…'"
