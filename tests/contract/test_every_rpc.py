"""What every RPC has: who may call it, a URL, an idempotency level, a comment, a handler, a test, a way to retry."""

import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest
from commerce.options.v1 import options_pb2
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

from services.runtime.definition import definitions

TESTS = Path(__file__).parent.parent
UNKNOWN = descriptor_pb2.MethodOptions.IDEMPOTENCY_UNKNOWN
HTTP_BODY = ".google.api.HttpBody"


def without_access(contract):
    return {
        rpc.name
        for rpc in contract.rpcs
        if not _has_access(rpc.method.options.Extensions[options_pb2.access])
    }


def _has_access(access):
    return access.public != bool(access.allow) and options_pb2.ROLE_UNSPECIFIED not in access.allow


def without_url(contract):
    """What streams its requests has no form that a browser could send."""
    return {
        rpc.name
        for rpc in contract.rpcs
        if not rpc.only_services
        and not rpc.method.client_streaming
        and not rpc.method.options.Extensions[annotations_pb2.http].WhichOneof("pattern")
    }


def with_the_wrong_verb(contract):
    """GET means that nothing is written: proxies and browsers act on the one, the runtime on NO_SIDE_EFFECTS.

    What changes nothing is a GET, unless its request holds a list of messages, which a query cannot: then it is a POST.
    """
    found = set()
    for rpc in contract.rpcs:
        verb = rpc.method.options.Extensions[annotations_pb2.http].WhichOneof("pattern")
        right = ("get", "post") if _has_a_list_of_messages(contract, rpc) else ("get",)
        if verb and (verb == "get" if rpc.mutates else verb not in right):
            found.add(rpc.name)
    return found


def _has_a_list_of_messages(contract, rpc):
    return any(
        field.label == field.LABEL_REPEATED and field.type == field.TYPE_MESSAGE
        for field in contract.messages[rpc.method.input_type.removeprefix(".")].field
    )


def without_idempotency_level(contract):
    return {rpc.name for rpc in contract.rpcs if rpc.method.options.idempotency_level == UNKNOWN}


def without_comment(contract):
    return {rpc.name for rpc in contract.rpcs if len(rpc.comment) < 10}


def without_request_id(contract):
    """Writes that are not safe to repeat. A raw body is the sender's, and carries an id of its own."""
    found = set()
    for rpc in contract.rpcs:
        fields = contract.messages[rpc.method.input_type.removeprefix(".")].field
        if rpc.mutates and not any(
            field.name == "request_id" or field.type_name == HTTP_BODY for field in fields
        ):
            found.add(rpc.name)
    return found


def with_the_wrong_cost(contract):
    """What looks for a text, or hands out a file, looks through much; what only reads is no write, and no import."""
    found = set()
    for rpc in contract.rpcs:
        cost = rpc.method.options.Extensions[options_pb2.cost]
        fields = contract.messages[rpc.method.input_type.removeprefix(".")].field
        looks = any(field.name == "query" for field in fields) or rpc.method.output_type == HTTP_BODY
        reads = (options_pb2.COST_UNSPECIFIED, options_pb2.COST_READ, options_pb2.COST_SEARCH)
        if (looks and cost != options_pb2.COST_SEARCH) or (not rpc.mutates and cost not in reads):
            found.add(rpc.name)
    return found


def without_events(contract):
    """Streams of messages whose replies make no server-sent events: a field is not said, or is not there."""
    found = set()
    for rpc in contract.rpcs:
        events = rpc.method.options.Extensions[options_pb2.events]
        replies, request = (
            {field.name for field in contract.messages[kind.removeprefix(".")].field}
            for kind in (rpc.method.output_type, rpc.method.input_type)
        )
        told = events.id in replies and events.bookmark in replies and events.after in request
        if rpc.method.server_streaming and rpc.method.output_type != HTTP_BODY and not told:
            found.add(rpc.name)
    return found


def without_handler(contract, handlers):
    return {rpc.full_name for rpc in contract.rpcs if rpc.name not in handlers.get(rpc.service, set())}


def without_test(contract, codes, tests=TESTS):
    return {
        rpc.name
        for rpc in contract.rpcs
        if not list((tests / codes.get(rpc.service, "")).rglob(f"test_{rpc.snake_name}.py"))
    }


@pytest.fixture(scope="module")
def codes():
    """Which service of ours offers a service of the contract."""
    return {name: definition.code for definition in definitions() for name in definition.proto_services}


@pytest.fixture(scope="module")
def handlers(codes):
    """The RPCs that each service's package has a method for, beside the generated one that refuses."""
    found: dict[str, set[str]] = {}
    for name, code in codes.items():
        servicer = f"{name.rpartition('.')[2]}Servicer"
        for each in _classes(code):
            bases = [base.__name__ for base in each.__mro__]
            if servicer in bases[1:]:
                own = each.__mro__[: bases.index(servicer)]
                found.setdefault(name, set()).update(method for part in own for method in vars(part))
    return found


def _classes(code):
    package = importlib.import_module(f"services.{code}")
    for module in pkgutil.walk_packages(package.__path__, f"services.{code}."):
        if not module.ispkg and not module.name.endswith("__main__"):
            imported = importlib.import_module(module.name)
            yield from (each for _, each in inspect.getmembers(imported, inspect.isclass))


def test_says_who_may_call_it(contract):
    assert without_access(contract) == set()
    assert without_access(
        contract.broken(lambda copy: _options(copy, "GetOrder").ClearExtension(options_pb2.access))
    ) == {"GetOrder"}

    def for_all_and_some(copy):
        _options(copy, "GetOrder").Extensions[options_pb2.access].public = True

    assert without_access(contract.broken(for_all_and_some)) == {"GetOrder"}


def test_has_a_url_unless_only_services_call_it_or_its_requests_stream(contract):
    assert without_url(contract) == set()
    assert without_url(
        contract.broken(lambda copy: _options(copy, "ShipOrder").ClearExtension(annotations_pb2.http))
    ) == {"ShipOrder"}

    def at_once(copy):
        copy.rpc("ImportProducts").method.client_streaming = False

    assert without_url(contract.broken(at_once)) == {"ImportProducts"}


def test_says_whether_it_may_be_repeated(contract):
    assert without_idempotency_level(contract) == set()
    assert without_idempotency_level(
        contract.broken(lambda copy: _options(copy, "GetStock").ClearField("idempotency_level"))
    ) == {"GetStock"}


def test_is_a_get_when_it_changes_nothing_and_only_then(contract):
    assert with_the_wrong_verb(contract) == set()
    assert with_the_wrong_verb(
        contract.broken(lambda copy: _options(copy, "GetStock").ClearField("idempotency_level"))
    ) == {"GetStock"}

    def of_one_line(copy):
        lines = copy.field("commerce.order.v1.PreviewOrderRequest", "lines")
        lines.label = lines.LABEL_OPTIONAL

    assert with_the_wrong_verb(contract.broken(of_one_line)) == {"PreviewOrder"}

    def written_with_get(copy):
        _options(copy, "ShipOrder").Extensions[annotations_pb2.http].get = "/v1/orders/{order_id}:ship"

    assert with_the_wrong_verb(contract.broken(written_with_get)) == {"ShipOrder"}


def test_says_how_its_replies_are_events_when_they_are_many(contract):
    assert without_events(contract) == set()

    def forgotten(copy):
        _options(copy, "WatchStock").ClearExtension(options_pb2.events)
        _options(copy, "WatchOrder").Extensions[options_pb2.events].after = "since"

    assert without_events(contract.broken(forgotten)) == {"WatchStock", "WatchOrder"}


def test_has_a_comment(contract):
    assert without_comment(contract) == set()

    def silenced(copy):
        for file in copy.ours:
            file.ClearField("source_code_info")

    everything = {rpc.name for rpc in contract.rpcs}
    assert without_comment(contract.broken(silenced)) == everything


def test_that_writes_carries_a_request_id_unless_its_body_is_raw(contract):
    assert without_request_id(contract) == set()

    def renamed(copy):
        copy.field("commerce.order.v1.CancelOrderRequest", "request_id").name = "id"

    assert without_request_id(contract.broken(renamed)) == {"CancelOrder"}


def test_is_a_search_when_it_looks_through_much_and_says_so(contract):
    assert with_the_wrong_cost(contract) == set()

    def cheap(copy):
        _options(copy, "ListProducts").Extensions[options_pb2.cost] = options_pb2.COST_READ
        _options(copy, "ExportLedger").ClearExtension(options_pb2.cost)
        _options(copy, "GetOrder").Extensions[options_pb2.cost] = options_pb2.COST_WRITE

    assert with_the_wrong_cost(contract.broken(cheap)) == {"ListProducts", "ExportLedger", "GetOrder"}


def test_has_a_handler_in_the_one_service_that_offers_it(contract, handlers):
    assert without_handler(contract, handlers) == set()

    def invented(copy):
        copy.rpc("GetOrder").method.name = "GuessOrder"

    assert without_handler(contract.broken(invented), handlers) == {
        "commerce.order.v1.OrderService/GuessOrder"
    }
    offered = [name for definition in definitions() for name in definition.proto_services]
    assert len(offered) == len(set(offered))


def test_has_a_file_of_tests_with_its_name(contract, codes, tmp_path):
    assert without_test(contract, codes) == set()
    assert without_test(contract, codes, tmp_path) == {rpc.name for rpc in contract.rpcs}


def _options(contract, name):
    return contract.rpc(name).method.options
