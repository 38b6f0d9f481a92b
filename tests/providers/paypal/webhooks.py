"""Webhooks out, signed as PayPal signs: SHA256withRSA over `transmission_id|time|webhook_id|crc32(body)`."""

import asyncio
import base64
import json
import uuid
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import aiohttp
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from tests.providers.paypal.book import Book, Json, iso, new_id

ATTEMPTS = 25
ALGORITHM = "SHA256withRSA"


@dataclass(frozen=True)
class Event:
    """One notification: exactly the bytes and headers that are sent."""

    id: str
    event_type: str
    body: bytes
    headers: dict[str, str]

    @property
    def resource(self) -> Json:
        resource: Json = json.loads(self.body)["resource"]
        return resource


@dataclass(frozen=True)
class Delivery:
    """One attempt; no status means that nobody answered."""

    event: Event
    status: int | None


class Signer:
    """A key, its certificate, and the address the certificate is served at."""

    def __init__(self, now: datetime) -> None:
        self.cert_id = f"CERT-{uuid.uuid4().hex[:8]}-{uuid.uuid4().hex[:8]}"
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "messageverificationcerts.paypal.com")])
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=30))
            .not_valid_after(now + timedelta(days=365))
            .sign(self.key, hashes.SHA256())
        )
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)

    def sign(self, message: str) -> str:
        signature = self.key.sign(message.encode(), padding.PKCS1v15(), hashes.SHA256())
        return base64.b64encode(signature).decode()

    def signed(self, message: str, signature: str) -> bool:
        try:
            raw = base64.b64decode(signature, validate=True)
            self.key.public_key().verify(raw, message.encode(), padding.PKCS1v15(), hashes.SHA256())
        except (ValueError, InvalidSignature):
            return False
        return True


class Webhooks:
    def __init__(self, book: Book, webhook_url: str | None, webhook_id: str) -> None:
        self.book, self.webhook_url, self.webhook_id = book, webhook_url, webhook_id
        self.signer = Signer(book.now())
        self.signers = {self.signer.cert_id: self.signer}
        # What has happened, in order. Delivered at once, unless held.
        self.events: list[Event] = []
        self.held = False
        self.deliveries: list[Delivery] = []
        self.transmissions: dict[str, Event] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.session: aiohttp.ClientSession | None = None

    def announce(self, event_type: str, resource_type: str, resource: Json, summary: str) -> None:
        event = self.event(event_type, resource, resource_type=resource_type, summary=summary)
        self.events.append(event)
        if self.webhook_url and not self.held:
            task = asyncio.get_running_loop().create_task(self.insist(event))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def event(
        self,
        event_type: str,
        resource: Json,
        *,
        resource_type: str = "",
        summary: str = "",
        event_id: str | None = None,
        created: datetime | None = None,
    ) -> Event:
        moment = created or self.book.now()
        event_id = event_id or f"WH-{new_id()}-{new_id()}"
        link = f"{self.book.url}/v1/notifications/webhooks-events/{event_id}"
        body = {
            "id": event_id,
            "event_version": "1.0",
            "create_time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "resource_type": resource_type,
            "resource_version": "2.0",
            "event_type": event_type,
            "summary": summary or event_type,
            "resource": resource,
            "links": [
                {"href": link, "rel": "self", "method": "GET"},
                {"href": f"{link}/resend", "rel": "resend", "method": "POST"},
            ],
        }
        return self.signed(event_id, event_type, json.dumps(body).encode(), moment)

    def signed(
        self,
        event_id: str,
        event_type: str,
        body: bytes,
        moment: datetime,
        signer: Signer | None = None,
        webhook_id: str | None = None,
    ) -> Event:
        signer = signer or self.signer
        transmission_id, time = str(uuid.uuid4()), iso(moment)
        message = f"{transmission_id}|{time}|{webhook_id or self.webhook_id}|{zlib.crc32(body)}"
        headers = {
            "Content-Type": "application/json",
            "PAYPAL-TRANSMISSION-ID": transmission_id,
            "PAYPAL-TRANSMISSION-TIME": time,
            "PAYPAL-TRANSMISSION-SIG": signer.sign(message),
            "PAYPAL-CERT-URL": f"{self.book.url}/v1/notifications/certs/{signer.cert_id}",
            "PAYPAL-AUTH-ALGO": ALGORITHM,
            "PAYPAL-AUTH-VERSION": "v2",
        }
        event = Event(event_id, event_type, body, headers)
        self.transmissions[transmission_id] = event
        return event

    async def deliver(self, event: Event) -> int | None:
        """Send once; the status of the answer, or None."""
        assert self.session is not None
        assert self.webhook_url is not None, "the server was started without webhook_url"
        status: int | None = None
        try:
            async with self.session.post(self.webhook_url, data=event.body, headers=event.headers) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            status = None
        self.deliveries.append(Delivery(event, status))
        return status

    async def insist(self, event: Event) -> None:
        """PayPal tries up to 25 times over three days; here the days are seconds."""
        for attempt in range(ATTEMPTS):
            status = await self.deliver(event)
            if status is not None and 200 <= status < 300:
                return
            await asyncio.sleep(min(0.1 * 2**attempt, 5.0))

    def verified(self, asked: Json) -> bool:
        """The verify endpoint compares the event's content, the signature is over the bytes once sent."""
        event = self.transmissions.get(str(asked.get("transmission_id", "")))
        cert_url = str(asked.get("cert_url", ""))
        signer = self.signers.get(cert_url.rpartition("/")[2])
        if event is None or signer is None or asked.get("webhook_event") != json.loads(event.body):
            return False
        if not cert_url.startswith(self.book.url) or asked.get("auth_algo") != ALGORITHM:
            return False
        parts: list[Any] = [
            asked.get("transmission_id"),
            asked.get("transmission_time"),
            asked.get("webhook_id"),
        ]
        message = "|".join([*map(str, parts), str(zlib.crc32(event.body))])
        return asked.get("webhook_id") == self.webhook_id and signer.signed(
            message, str(asked.get("transmission_sig", ""))
        )
