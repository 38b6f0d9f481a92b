"""What Envoy answers on its own: google.rpc.Status, as JSON to REST and as gRPC to gRPC."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from dataclasses import field as default

from google.protobuf import any_pb2, json_format
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from services.gateway import headers
from services.gateway.values import ORIGINAL_PATH, UNREAD, Json, extension, header_filter, set_header

DOMAIN = "commerce"
# What Envoy itself says of the fault; it knows best what it could not read.
ITS_OWN_WORDS = "%LOCAL_REPLY_BODY%"
RETRY_SECONDS = 1
NO_CONTENT = 204
GRPC_WEB = "application/grpc-web+proto"
TOO_LARGE = "the headers are larger than the server takes"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One of Envoy's replies, recognized by its HTTP `status` (0: any) and a part of its `details`."""

    status: int
    code: code_pb2.Code
    reason: str
    message: str
    details: str = ""
    metadata: Mapping[str, str] = default(default_factory=dict)
    violation: str = ""
    # The field or header at fault.
    field: str = ""
    # Nothing but REST has it.
    rest: bool = False
    # What else must fit of the request.
    when: tuple[Json, ...] = ()
    headers: Mapping[str, str] = default(default_factory=dict)
    retry: bool = False
    # The HTTP status to send, where Envoy's own is not fit.
    sent: int = 0


def _unauthenticated(details: str, cause: str, status: int = 401) -> Reply:
    return Reply(
        status=status,
        sent=401,
        details=details,
        code=code_pb2.UNAUTHENTICATED,
        reason="UNAUTHENTICATED",
        message=cause,
        metadata={"cause": cause},
    )


def _invalid(status: int, message: str, details: str = "") -> Reply:
    return Reply(
        status=status,
        details=details,
        code=code_pb2.INVALID_ARGUMENT,
        reason="INVALID_ARGUMENT",
        message=message,
    )


def unimplemented(status: int, message: str, sent: int = 0, details: str = "") -> Reply:
    """What is not offered here."""
    return Reply(
        status=status,
        sent=sent,
        details=details,
        code=code_pb2.UNIMPLEMENTED,
        reason="UNIMPLEMENTED",
        message=message,
    )


def _bad_header(name: str, words: str) -> Reply:
    """RBAC always says 403; the policy's name is the header's."""
    return replace(_invalid(403, f"the header {name} {words}", f"policy[{name}]"), sent=400, field=name)


def _bad_parameter(policy: str, field: str, words: str) -> Reply:
    return replace(_invalid(403, f"{field}: {words}", f"policy[{policy}]"), sent=400, field=field, rest=True)


def _late(status: int, message: str) -> Reply:
    return Reply(status=status, code=code_pb2.DEADLINE_EXCEEDED, reason="DEADLINE_EXCEEDED", message=message)


def _overloaded(status: int, message: str, details: str = "") -> Reply:
    return Reply(
        status=status,
        sent=429,
        details=details,
        code=code_pb2.RESOURCE_EXHAUSTED,
        reason="OVERLOADED",
        message=message,
        retry=True,
    )


_NO_PATH = unimplemented(404, "there is no such path")
# What the member filter completes: the field is named in Envoy's words.
UNREADABLE = replace(_invalid(400, ITS_OWN_WORDS), violation=ITS_OWN_WORDS)
# The first that fits answers.
REPLIES = (
    _unauthenticated("missing", "a bearer token is missing"),
    _unauthenticated("expired", "the token has expired"),
    _unauthenticated("issuer", "the token was issued by, or for, somebody else"),
    _unauthenticated("", "the token is unreadable, or not signed by a key that we know"),
    _unauthenticated("Audiences", "the token was issued by, or for, somebody else", status=403),
    replace(
        _unauthenticated(f"policy[{headers.NO_BEARER}]", "a bearer token is missing", status=403),
        headers={"www-authenticate": "Bearer"},
    ),
    replace(_bad_header(headers.AUTHORIZATION, "is given twice"), details=f"policy[{headers.TWICE}]"),
    replace(_invalid(403, TOO_LARGE, f"policy[{headers.TOO_LARGE}]"), sent=431),
    unimplemented(403, "this is no proxy: CONNECT leads nowhere", 501, f"policy[{headers.TUNNEL}]"),
    unimplemented(403, "gRPC is called by POST", 405, f"policy[{headers.METHOD}]"),
    *(_bad_header(name, words) for name, (_, words) in headers.FORMS.items()),
    replace(
        _invalid(
            403, "the body's encoding is not known here: send it as it is", f"policy[{headers.ENCODING}]"
        ),
        sent=415,
        headers={"accept-encoding": "identity"},
    ),
    _bad_header(headers.HOST, "is given twice"),
    _bad_header(headers.TE, "must be trailers"),
    *(_bad_header(name, "is not a client's to send") for name in headers.FOREIGN),
    Reply(
        status=403,
        code=code_pb2.PERMISSION_DENIED,
        reason="PERMISSION_DENIED",
        message="The token is for another store",
        metadata={"cause": "another store"},
    ),
    replace(_NO_PATH, rest=True),
    _invalid(400, "the header host is missing", "missing_host"),
    _invalid(400, "this is no well-formed HTTP/1.1, or no method of it", "http1."),
    _invalid(400, "the header host is not one", "invalid_authority"),
    _invalid(400, "the path has escaped slashes, or is not a path", "path_normalization"),
    _invalid(400, "a header's name has an underscore", "underscore"),
    UNREADABLE,
    unimplemented(426, "this version of HTTP is not spoken here, but HTTP/1.1 and HTTP/2", 505),
    unimplemented(501, "the transfer encoding is not known here: send chunked, or a length"),
    _invalid(413, "the body is larger than the server takes"),
    _invalid(431, TOO_LARGE),
    _late(408, "the request did not arrive in its time"),
    _late(504, "the call did not finish in its time"),
    _overloaded(429, "too many calls without a token"),
    _overloaded(503, "too many calls are in flight", "overload"),
    _overloaded(503, "too many calls are in flight", "overflow"),
    Reply(
        status=503,
        code=code_pb2.UNAVAILABLE,
        reason="UNAVAILABLE",
        message="the service is stopping or away",
        retry=True,
    ),
    Reply(status=0, code=code_pb2.INTERNAL, reason="INTERNAL", message="the fault is ours"),
)


def local_replies(parameters: Mapping[str, tuple[str, str]], absent: Iterable[Reply]) -> Json:
    """HCM's local_reply_config.

    `parameters` has the field and the words for each policy on query parameters, `absent` what to say where nothing is.
    """
    asked = [_bad_parameter(policy, field, words) for policy, (field, words) in parameters.items()]
    # What REST has at a path is nothing to gRPC, and is looked at after it.
    mappers = [mapper for reply in (*asked, *absent, *REPLIES) for mapper in _mappers(reply)]
    return {"mappers": [_grpc_mapper(_NO_PATH), *mappers]}


def _mappers(reply: Reply) -> Iterator[Json]:
    if not reply.rest:
        yield _grpc_mapper(reply)
    yield {
        "filter": _all_of(*_recognized(reply)),
        "headers_to_add": [set_header(name, value) for name, value in _headers(reply).items()],
        "body_format_override": _body(reply),
        **({"status_code": reply.sent} if reply.sent else {}),
    }


def _headers(reply: Reply) -> Mapping[str, str]:
    marked = {UNREAD: "1"} if reply.violation else {}
    return {**reply.headers, **marked, **_return_time(reply)}


def _return_time(reply: Reply) -> Mapping[str, str]:
    return {"retry-after": str(RETRY_SECONDS)} if reply.retry else {}


def _body(reply: Reply) -> Json:
    if reply.sent == NO_CONTENT:
        return {"text_format_source": {"inline_string": ""}}
    return {"json_format": _json(reply), "content_type": "application/json"}


def _grpc_mapper(reply: Reply) -> Json:
    # gRPC wants the message in its binary details, too, so it cannot be Envoy's words of the moment.
    fixed = replace(reply, message="the request cannot be read", violation="") if reply.violation else reply
    return {
        "filter": _all_of(*_is_grpc(), *_recognized(reply)),
        "headers_to_add": [
            set_header("grpc-status", str(int(reply.code))),
            set_header("grpc-message", fixed.message),
            set_header(
                "grpc-status-details-bin", base64.b64encode(_status(fixed).SerializeToString()).decode()
            ),
            *(set_header(name, value) for name, value in _return_time(reply).items()),
        ],
        # Trailers alone, in gRPC's way. The content type is for grpc-web; Envoy gives gRPC its own.
        "status_code": 200,
        "body_format_override": {"text_format_source": {"inline_string": ""}, "content_type": GRPC_WEB},
    }


def _status(reply: Reply) -> status_pb2.Status:
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=reply.reason, domain=DOMAIN, metadata=dict(reply.metadata))
    ]
    if reply.violation:
        violation = error_details_pb2.BadRequest.FieldViolation(description=reply.violation)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if reply.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=reply.field, description=reply.message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if reply.retry:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromSeconds(RETRY_SECONDS)
        details.append(retry)
    packed = [any_pb2.Any() for _ in details]
    for item, detail in zip(packed, details, strict=True):
        item.Pack(detail)
    return status_pb2.Status(code=int(reply.code), message=reply.message, details=packed)


def _json(reply: Reply) -> Json:
    return json_format.MessageToDict(_status(reply))


def _recognized(reply: Reply) -> Iterator[Json]:
    # The runtime key is obligatory; nothing sets it.
    status = {"default_value": reply.status or 400, "runtime_key": "commerce.status"}
    yield {"status_code_filter": {"comparison": {"op": "EQ" if reply.status else "GE", "value": status}}}
    yield from reply.when
    if reply.details:
        yield {
            "extension_filter": extension(
                "envoy.access_loggers.extension_filters.cel",
                "access_loggers.filters.cel.v3.ExpressionFilter",
                expression=f'response.code_details.contains("{reply.details}")',
            )
        }


def _is_grpc() -> Iterator[Json]:
    """A transcoded call is answered as what it was: REST."""
    yield header_filter("content-type", string_match={"prefix": "application/grpc"})
    yield header_filter(ORIGINAL_PATH, present_match=False)


def _all_of(*filters: Json) -> Json:
    return filters[0] if len(filters) == 1 else {"and_filter": {"filters": list(filters)}}
