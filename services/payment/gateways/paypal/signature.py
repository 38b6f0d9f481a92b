"""Whether a webhook is PayPal's: RSA with SHA-256 over `id|time|webhook id|CRC-32 of the body`.

Checked: the signature, the time it was sent, that the certificate is valid now, and that it was fetched from PayPal.
That TLS connection is what vouches for the certificate; not checked are the chain that it comes with, its revocation
and its subject.
"""

import asyncio
import base64
import binascii
import re
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import SplitResult, urlsplit

from commerce.common.v1.error_reason_pb2 import ErrorReason
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from services.payment.gateways.http import Http
from services.payment.gateways.paypal.orders import time_of
from services.runtime import times
from services.runtime.refusals import Refusal

TOLERANCE_SECONDS = 300
CERTIFICATES = 16
CERTIFICATE_PATH = re.compile(r"/v1/notifications/certs/[0-9A-Za-z_-]{1,100}")
TRANSMISSION_ID = re.compile(r"[0-9A-Za-z_-]{1,100}")
NAMES = ("transmission-id", "transmission-time", "transmission-sig", "cert-url", "auth-algo")


class Signatures:
    """Checks signatures; keeps the certificates that it has fetched."""

    def __init__(self, http: Http, base_url: str, webhook_id: str) -> None:
        self._http, self._webhook_id = http, webhook_id
        self._own = _origin(urlsplit(base_url))
        self._certificates: dict[str, x509.Certificate] = {}
        self._fetching = asyncio.Lock()

    async def verify(self, body: bytes, headers: Mapping[str, str | bytes]) -> None:
        """Refuse a body that is not PayPal's, or too old."""
        values = [headers.get(f"paypal-{name}") for name in NAMES]
        if not all(values):
            raise unsigned("missing")
        if not all(isinstance(value, str) and value.isascii() for value in values):
            raise unsigned("malformed")
        transmission_id, sent, signature, url, algorithm = (str(value) for value in values)
        sent_time = time_of(sent)
        if (
            sent_time is None
            or algorithm != "SHA256withRSA"
            or not TRANSMISSION_ID.fullmatch(transmission_id)
        ):
            raise unsigned("malformed")
        try:
            given = base64.b64decode(signature, validate=True)
        except binascii.Error:
            raise unsigned("malformed") from None
        signed = f"{transmission_id}|{sent}|{self._webhook_id}|{zlib.crc32(body)}"
        key = await self._key(url)
        try:
            key.verify(given, signed.encode(), PKCS1v15(), SHA256())
        except InvalidSignature:
            raise unsigned("wrong") from None
        if abs(times.signed_now() - sent_time.timestamp()) > TOLERANCE_SECONDS:
            raise unsigned("too old")

    async def _key(self, url: str) -> RSAPublicKey:
        if not self._trusted(url):
            raise unsigned("wrong")
        certificate = self._certificates.get(url) or await self._fetched(url)
        key, now = certificate.public_key(), datetime.fromtimestamp(times.signed_now(), UTC)
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise unsigned("wrong")
        if not isinstance(key, RSAPublicKey):
            raise unsigned("wrong")
        return key

    async def _fetched(self, url: str) -> x509.Certificate:
        # One at a time: a stranger can name certificates, and is not to make us ask for many at once.
        async with self._fetching:
            if url in self._certificates:
                return self._certificates[url]
            raw = await self._http.fetch("certificate", url)
            if not isinstance(raw, bytes):
                # It may well be PayPal's: not to be able to tell is not to refuse it, and it is sent again.
                raise Refusal(
                    ErrorReason.ERROR_REASON_GATEWAY_UNAVAILABLE,
                    "The certificate cannot be fetched",
                    retry_seconds=5,
                )
            try:
                certificate = x509.load_pem_x509_certificate(raw)
            except ValueError:
                raise unsigned("wrong") from None
            while len(self._certificates) >= CERTIFICATES:
                del self._certificates[next(iter(self._certificates))]
            self._certificates[url] = certificate
            return certificate

    def _trusted(self, url: str) -> bool:
        """Tell whether a certificate there is PayPal's: on its own hosts, or where we were told that PayPal is."""
        try:
            parts = urlsplit(url)
            origin = _origin(parts)
        except ValueError:
            return False
        if parts.query or parts.fragment or not CERTIFICATE_PATH.fullmatch(parts.path):
            return False
        scheme, host, port = origin
        paypal = host == "paypal.com" or host.endswith(".paypal.com")
        return origin == self._own or (scheme == "https" and paypal and port == 443)


def unsigned(cause: str) -> Refusal:
    """Refuse a webhook for its signature."""
    return Refusal(
        ErrorReason.ERROR_REASON_WEBHOOK_SIGNATURE_INVALID, f"The signature is {cause}", cause=cause
    )


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    """Return scheme, host and port; no host, which is nobody's, where somebody is named before it."""
    host = "" if "@" in parts.netloc else parts.hostname or ""
    return parts.scheme, host, parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
