"""Hostile tokens by kind: what RFC 7519, 7515 and 7235 do not call an access token, nearly all rightly signed."""
# mypy: disable-error-code="misc, arg-type"

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from itertools import product
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from joserfc.jwk import ECKey

from tests.edge.bearers import Forge

# What stands in the authorization header.
Make = Callable[[Forge], str]


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def signed(forge: Forge, header: bytes, payload: bytes, key: ECKey | None = None) -> str:
    """A compact JWS of any bytes, by the cluster's own key unless another is given."""
    private: Any = (key or forge.key).private_key
    text = f"{encoded(header)}.{encoded(payload)}"
    der = private.sign(text.encode(), ECDSA(hashes.SHA256()))
    return f"{text}.{encoded(_raw(der))}"


def _raw(der: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    return b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(der))


def header(forge: Forge, **changes: Any) -> bytes:
    """A good header but for the changes; None takes a member away."""
    members = {"alg": "ES256", "typ": "JWT", "kid": forge.kid} | changes
    return json.dumps({name: value for name, value in members.items() if value is not None}).encode()


def payload(forge: Forge, raw: str = "", **changes: Any) -> bytes:
    """Good claims but for the changes, and `raw` as it stands at their end."""
    text = json.dumps(forge.claims(**changes))
    return (f"{text[:-1]}, {raw}}}" if raw else text).encode()


def of_claims(raw: str, *without: str, **changes: Any) -> Make:
    return lambda forge: (
        "Bearer " + signed(forge, header(forge), payload(forge, raw, **changes | dict.fromkeys(without)))
    )


def of_header(raw: str = "", *without: str, **changes: Any) -> Make:
    def make(forge: Forge) -> str:
        text = header(forge, **changes | dict.fromkeys(without)).decode()
        text = f"{text[:-1]}, {raw}}}" if raw else text
        return "Bearer " + signed(forge, text.encode(), payload(forge))

    return make


def of_payload(make: Callable[[Forge], bytes]) -> Make:
    return lambda forge: "Bearer " + signed(forge, header(forge), make(forge))


NUMBERS = (
    *("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e308", "1e30", "18446744073709551616"),
    *("9223372036854775808", "253402300800", "-1", "-0.5", '"4102444800"', '"soon"', '""', "true"),
    *("false", "null", "[]", "{}", "[4102444800]", '{"seconds": 4102444800}', "0x7fffffff", "+4102444800"),
    *("4102444800.", "04102444800", "4_102_444_800", "1" * 5000),
)
WRONG = ("7", "true", "null", "[]", "{}", "[7]", '{"a": 1}', "1e400")
TEXTS = ("iss", "aud", "sub", "role", "store_id")
NOT_ACCESS = ("refresh", "Refresh", "rt+jwt", "id+jwt", "dpop+jwt", "logout+jwt", "secevent+jwt", "JOSE", "")


def _numbers():
    for claim, value in product(("exp", "nbf", "iat"), NUMBERS):
        yield f"{claim} {value[:24]}", of_claims(f'"{claim}": {value}', claim)
    for value in ("0", "0.0", "1", "1.5e9"):
        yield f"exp {value}", of_claims(f'"exp": {value}', "exp")
    yield "iat next year", lambda forge: "Bearer " + forge.token(iat=int(time.time()) + 365 * 86_400)
    yield "nbf in a moment", lambda forge: "Bearer " + forge.token(nbf=time.time() + 60.5)


def _wrong_types():
    for claim, value in product(TEXTS, WRONG):
        yield f"{claim} {value}", of_claims(f'"{claim}": {value}', claim)
    for value in WRONG:
        yield f"jti {value}", of_claims(f'"jti": {value}')
        yield f"customer_id {value}", of_claims(f'"customer_id": {value}', role="CUSTOMER")
    for name, value in {
        "aud of others": '"aud": ["somebody", "else"]',
        "aud with a number": '"aud": ["commerce", 7]',
        "iss in a list": '"iss": ["commerce"]',
        "sub empty": '"sub": ""',
        "sub of a NUL": '"sub": "a\\u0000b"',
        "sub of a line break": '"sub": "a\\nb"',
        "sub of a lone surrogate": '"sub": "\\ud800"',
        "sub of 5,000 letters": f'"sub": "{"x" * 5000}"',
        "role in small letters": '"role": "store_admin"',
        "role of two": '"role": "STORE_ADMIN,PLATFORM_ADMIN"',
        "store_id in braces": f'"store_id": "{{{Forge.__name__}}}"',
        "store_id without hyphens": '"store_id": "018f0000000070008000000000000001"',
        "store_id as a URN": '"store_id": "urn:uuid:018f0000-0000-7000-8000-000000000001"',
        "store_id with a blank": '"store_id": "018f0000-0000-7000-8000-000000000001 "',
    }.items():
        yield name, of_claims(value, value.split('"')[1])


def _twice():
    for name, raw in {
        "exp": '"exp": 4102444800',
        "iss": '"iss": "commerce"',
        "aud": '"aud": "commerce"',
        "sub": '"sub": "root"',
        "role": '"role": "PLATFORM_ADMIN"',
        "role, escaped": '"\\u0072ole": "PLATFORM_ADMIN"',
        "store_id": '"store_id": "018f0000-0000-7000-8000-000000000001"',
        "what nobody reads": '"a": 1, "a": 2',
        "within another": '"a": {"b": 1, "b": 2}',
    }.items():
        yield f"{name} twice", of_claims(raw)
    for raw in ('"alg": "ES256"', '"typ": "JWT"', '"kid": "x"', '"a": 1, "a": 2'):
        yield f"header twice {raw}", of_header(raw)


def _deep():
    for depth in (200, 900, 1100, 5000):
        yield f"lists {depth:,} deep", of_claims(f'"a": {"[" * depth}{"]" * depth}')
        yield f"a payload {depth:,} deep", of_payload(lambda _, depth=depth: b"[" * depth + b"]" * depth)
    for depth in (200, 1000):
        text = '{"a":' * depth + "1" + "}" * depth
        yield f"objects {depth:,} deep", of_claims(f'"a": {text}')
    yield "lists without an end", of_claims('"a": ' + "[" * 5000)
    yield "header 200 deep", of_header(f'"a": {"[" * 200}{"]" * 200}')


def _types():
    for each in NOT_ACCESS:
        yield f"typ {each}", of_header(typ=each)
    for value in WRONG:
        yield f"typ {value}", of_header(f'"typ": {value}', "typ")
    for value in ("Refresh", "ID", "Logout"):
        yield f"claim typ {value}", of_claims(f'"typ": "{value}"')
    for value in ("refresh", "id"):
        yield f"claim token_use {value}", of_claims(f'"token_use": "{value}"')


def _headers():
    for crit in ('["exp"]', '["unknown"]', '["b64"]', '["kid"]', "[]", '"kid"', "7", "null", "{}"):
        yield f"crit {crit}", of_header(f'"crit": {crit}')
    yield "b64 false", of_header('"b64": false, "crit": ["b64"]')
    for kid in ("../../../dev/null", "x' OR '1'='1", "", "k" * 5000, "another"):
        yield f"kid {kid[:20]}", of_header(kid=kid)
    for kid in WRONG:
        yield f"kid {kid}", of_header(f'"kid": {kid}', "kid")
    for alg in ("none", "None", "ES384", "HS256", "RS256", "es256", "ES256 ", "EdDSA", ""):
        yield f"alg {alg}", of_header(alg=alg)
    for alg in (*WRONG, '["ES256"]'):
        yield f"alg {alg}", of_header(f'"alg": {alg}', "alg")
    yield "no alg", of_header("", "alg")


def _strangers():
    """Signed by somebody else, with the way to their key."""
    stranger = ECKey.generate_key("P-256")
    mine = dict(stranger.as_dict(private=False))
    urls = {"jku": "https://evil.example/jwks.json", "x5u": "https://evil.example/cert.pem"}
    ways = {"jwk": mine, **urls, "x5c": ["MIIB"], "x5t": "abc", "nothing": None}
    for (name, value), kid in product(ways.items(), ("ours", "theirs", "none")):
        changes = {} if name == "nothing" else {name: value}
        kids = {"theirs": {"kid": "theirs"}, "none": {"kid": None}}.get(kid, {})
        yield f"a stranger's with {name} and kid {kid}", _signed_by(stranger, **changes, **kids)
    for name in ("jwk", "jku", "x5u", "x5c"):
        yield f"ours with a stranger's {name}", of_header(**{name: ways[name]})


def _signed_by(key: ECKey, **changes: Any) -> Make:
    return lambda forge: "Bearer " + signed(forge, header(forge, **changes), payload(forge), key)


def _symmetric():
    secrets = {
        "PEM": lambda forge: _public(forge, serialization.Encoding.PEM),
        "DER": lambda forge: _public(forge, serialization.Encoding.DER),
        "JWK": lambda forge: json.dumps(forge.key.as_dict(private=False)).encode(),
        "x": lambda forge: decoded(str(forge.key.as_dict(private=False)["x"])),
        "kid": lambda forge: forge.kid.encode(),
        "nothing": lambda _: b"",
    }
    for (name, secret), digest in product(secrets.items(), ("256", "384", "512")):
        yield f"HS{digest} with {name}", _hmac(secret, digest)


def _hmac(secret: Callable[[Forge], bytes], digest: str) -> Make:
    def make(forge: Forge) -> str:
        text = f"{encoded(header(forge, alg=f'HS{digest}'))}.{encoded(payload(forge))}"
        return f"Bearer {text}.{encoded(hmac.digest(secret(forge), text.encode(), f'sha{digest}'))}"

    return make


def _public(forge: Forge, encoding: serialization.Encoding) -> bytes:
    public: Any = forge.key.public_key
    return bytes(public.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo))


def _signatures():
    def changed(change):
        def make(forge):
            text, _, last = forge.token().rpartition(".")
            return f"Bearer {text}.{encoded(change(decoded(last)))}"

        return make

    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    for name, change in {
        "empty": lambda _: b"",
        "of zeros": lambda _: bytes(64),
        "of the curve's order": lambda _: order.to_bytes(32, "big") * 2,
        "cut short": lambda raw: raw[:-1],
        "longer": lambda raw: raw + b"\0",
        "much longer": lambda raw: raw * 30,
        "turned round": lambda raw: raw[32:] + raw[:32],
        "with a bit turned": lambda raw: bytes([raw[0] ^ 1]) + raw[1:],
        "in DER": lambda raw: b"\x30\x44\x02\x20" + raw[:32] + b"\x02\x20" + raw[32:],
    }.items():
        yield f"a signature {name}", changed(change)
    yield (
        "a signature of another token",
        lambda forge: (
            "Bearer " + forge.token().rpartition(".")[0] + "." + forge.token(sub="x").rpartition(".")[2]
        ),
    )


def _shapes():
    for name, change in {
        "one part": lambda token: token.split(".")[0],
        "two parts": lambda token: token.rpartition(".")[0],
        "four parts": lambda token: token + ".x",
        "five parts": lambda token: token + ".x.y",
        "a dot before": lambda token: "." + token,
        "a dot behind": lambda token: token + ".",
        "two dots": lambda token: token.replace(".", "..", 1),
        "padded": lambda token: ".".join(part + "=" * (-len(part) % 4) for part in token.split(".")),
        "a blank within": lambda token: token.replace(".", ". ", 1),
        "other letters of Base64": lambda token: token[:20] + "+/" + token[20:],
        "letters of no Base64": lambda token: token[:20] + "!" + token[20:],
        "in JSON": lambda token: json.dumps({"payload": token}),
    }.items():
        yield name, lambda forge, change=change: "Bearer " + change(forge.token())
    for name, data in {
        "nothing": b"",
        "a list": b"[]",
        "a text": b'"commerce"',
        "a number": b"7",
        "null": b"null",
        "no JSON": b"commerce",
    }.items():
        yield f"a payload of {name}", of_payload(lambda _, data=data: data)
        yield f"a header of {name}", lambda forge, data=data: "Bearer " + signed(forge, data, payload(forge))
    for name, rewrite in {
        "in UTF-16": lambda data: data.decode().encode("utf-16"),
        "in UTF-16 without a mark": lambda data: data.decode().encode("utf-16-le"),
        "in UTF-32": lambda data: data.decode().encode("utf-32"),
        "with a mark": lambda data: b"\xef\xbb\xbf" + data,
        "of no UTF-8": lambda data: data.replace(b"commerce", b"commerce\xff", 1),
        "with a raw line break": lambda data: data.replace(b"commerce", b"comm\nerce", 1),
        "with a tail": lambda data: data + b"x",
        "twice": lambda data: data + data,
        "with a comment": lambda data: data[:-1] + b"/* */}",
        "with a comma at the end": lambda data: data[:-1] + b",}",
        "in single quotes": lambda data: data.replace(b'"', b"'"),
        "without an end": lambda data: data[:-1],
    }.items():
        yield f"a payload {name}", of_payload(lambda forge, rewrite=rewrite: rewrite(payload(forge)))
        yield (
            f"a header {name}",
            lambda forge, rewrite=rewrite: (
                "Bearer " + signed(forge, rewrite(header(forge, cty="commerce")), payload(forge))
            ),
        )


def _long():
    yield "9,000 letters", of_claims(f'"a": "{"x" * 6600}"')
    yield "12,000 letters", of_claims(f'"a": "{"x" * 8800}"')
    yield "9,000 letters of nothing", lambda _: "Bearer " + "a" * 9000
    yield "9,000 dots", lambda _: "Bearer " + "." * 9000
    yield "a long header", of_header(a="x" * 6000)


def _schemes():
    for name, write in {
        "no scheme": lambda token: token,
        "no blank": lambda token: f"Bearer{token}",
        "a comma": lambda token: f"Bearer,{token}",
        "a comma before": lambda token: f", {token}",
        "something before": lambda token: f"x Bearer {token}",
        "letters before": lambda token: f"xBearer {token}",
        "within another scheme": lambda token: f"Basic Bearer {token}",
        "twice the scheme": lambda token: f"Bearer Bearer {token}",
        "two tokens": lambda token: f"Bearer {token} {token}",
        "quoted": lambda token: f'Bearer "{token}"',
        "as a parameter": lambda token: f"Bearer token={token}",
        "with a parameter": lambda token: f'Bearer {token}; realm="x"',
        "DPoP": lambda token: f"DPoP {token}",
        "Token": lambda token: f"Token {token}",
    }.items():
        yield f"credentials with {name}", lambda forge, write=write: write(forge.token())
    for text in (
        "Bearer",
        "Bearer .",
        "bearer",
        "BEARER null",
        "Bearer undefined",
        "Bearer []",
        "Negotiate YII",
    ):
        yield f"credentials {text}", lambda _, text=text: text


KINDS = (
    *(_numbers, _wrong_types, _twice, _deep, _types, _headers, _strangers, _symmetric),
    *(_signatures, _shapes, _long, _schemes),
)
HOSTILE: dict[str, dict[str, Make]] = {kind.__name__[1:]: dict(kind()) for kind in KINDS}

# Unusual, and good.
GOOD: dict[str, Make] = {
    "bearer": lambda forge: f"bearer {forge.token()}",
    "BEARER": lambda forge: f"BEARER {forge.token()}",
    "bEaReR and three blanks": lambda forge: f"bEaReR   {forge.token()}",
    "an audience among others": of_claims('"aud": ["shop", "commerce"]', "aud"),
    "of type at+jwt": of_header(typ="at+jwt"),
    "of type AT+JWT": of_header(typ="AT+JWT"),
    "of type application/at+jwt": of_header(typ="application/at+jwt"),
    "of type jwt": of_header(typ="jwt"),
    "of no type": of_header("", "typ"),
    "with headers that nobody reads": of_header('"a": {"b": [1]}, "x5t": "abc", "cty": "JWT"'),
    "with claims that nobody reads": of_claims('"realm_access": {"roles": ["a", "b"]}, "b": null, "c": -1e9'),
    "with a name in any letters": of_claims('"name": "Zo\\u00eb \\ud83d\\ude00 Zoë"'),
    "of type Bearer, says a claim": of_claims('"typ": "Bearer", "token_use": "access"'),
    "for a fraction of a second": lambda forge: "Bearer " + forge.token(exp=time.time() + 600.25),
    "times with an exponent": of_claims('"exp": 4.1024448e9, "iat": 1.7e9, "nbf": 0', "exp", "iat"),
    "begun, and named": lambda forge: "Bearer " + forge.token(nbf=time.time() - 0.5, jti="1"),
    "a store in capitals": lambda forge: "Bearer " + forge.token(store_id=forge.store_id.upper()),
    "7,500 letters": of_claims(f'"a": "{"x" * 5300}"'),
}
