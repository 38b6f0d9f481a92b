"""What a span of a provider's call says: whom we asked for what, how it ended, and nobody's id."""

import pytest
from aiohttp import web

from services.payment.gateways.http import Http
from services.payment.rules.outcomes import NotSent, Unknown
from services.runtime import telemetry
from tests.collector import Sink
from tests.ports import free_port

STATUS = {"declined": 402, "captured": 200, "broken": 503}


@pytest.fixture
def sink(monkeypatch):
    sink = Sink()
    monkeypatch.setattr(telemetry, "_exporter", sink)
    return sink


@pytest.fixture
async def base():
    async def answer(request):
        return web.json_response({}, status=STATUS[request.match_info["id"]])

    application = web.Application()
    application.router.add_post("/v1/payments/{id}/capture", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def asked(base, payment):
    http = Http("acme", base, 5, 1)
    try:
        return await http.ask(
            "POST", "/v1/payments/{id}/capture", parts={"id": payment}, query={"key": "secret"}
        )
    finally:
        await http.close()


async def test_says_whom_we_asked_for_what_without_anybodys_id(base, sink):
    await asked(base, "captured")

    (span,) = sink.spans
    assert {**span.given, **span.attributes} == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": int(base.rpartition(":")[2]),
        "url.full": f"{base}/v1/payments/REDACTED/capture",
        "url.template": "/v1/payments/{id}/capture",
    }
    assert (span.kind, span.error) == ("client", None)


async def test_of_a_documents_url_which_came_with_a_message_only_the_server_is_told(base, sink):
    http = Http("acme", base, 5, 1)
    try:
        assert isinstance(await http.fetch("certificate", f"{base}/4111111111111111?key=secret"), Unknown)
    finally:
        await http.close()

    (span,) = sink.spans
    told = {"server.address": "127.0.0.1", "server.port": int(base.rpartition(":")[2])}
    ended = {"http.response.status_code": 404, "error.type": "404"}
    assert (span.given, span.attributes) == (None, {"http.request.method": "GET"} | told | ended)


@pytest.mark.parametrize("payment", ["declined", "broken"])
async def test_a_refusal_is_an_error_of_its_status(base, sink, payment):
    answer = await asked(base, payment)

    (span,) = sink.spans
    assert isinstance(answer, Unknown) == (STATUS[payment] >= 500)
    assert span.error == span.attributes["error.type"] == str(STATUS[payment])


async def test_nobody_there_is_an_error_of_its_kind(sink):
    answer = await asked(f"http://127.0.0.1:{free_port()}", "captured")

    (span,) = sink.spans
    assert isinstance(answer, NotSent)
    assert span.error == span.attributes["error.type"] == "ClientConnectorError"
