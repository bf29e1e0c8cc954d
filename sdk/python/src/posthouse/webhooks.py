"""What a webhook brought, verified: Standard Webhooks (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field, ValidationError

from ._base import Model


class WebhookVerificationError(Exception):
    """It is not from the service, or too old. Answer with a 4xx and do nothing."""


class WebhookPayload(Model):
    """A webhook's body. An event may come more than once, always with the same `event_id`."""

    event: str
    timestamp: str
    event_id: str = Field(alias="eventId")
    account_id: str = Field(alias="accountId")
    webhook_id: str = Field(alias="webhookId")
    data: dict[str, Any]


def verify_webhook(
    body: str | bytes,
    headers: Mapping[str, str],
    secret: str | Iterable[str],
    *,
    tolerance_seconds: float = 300,
    now: float | None = None,
) -> WebhookPayload:
    """The payload, if the signature fits.

    `body` are the octets as they came: what was parsed and printed again has other ones. `secret` is the
    webhook's, during a rotation both.
    """
    fields = {name.lower(): value for name, value in headers.items()}
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    identity, timestamp, signatures = (fields.get(it, "") for it in names)
    if not (identity and timestamp and signatures):
        raise WebhookVerificationError("webhook-id, webhook-timestamp or webhook-signature is missing")
    moment = time.time() if now is None else now
    # Python's isdigit() takes digits of other scripts too; int() would as well.
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise WebhookVerificationError("webhook-timestamp is not a number")
    if abs(moment - int(timestamp)) > tolerance_seconds:
        raise WebhookVerificationError("webhook-timestamp is too far from now")
    octets = body.encode() if isinstance(body, str) else body
    signed = f"{identity}.{timestamp}.".encode() + octets
    secrets = [secret] if isinstance(secret, str) else secret
    if not any(_is_signed(it, signed, signatures) for it in secrets):
        raise WebhookVerificationError("webhook-signature: none of them fits")
    try:
        return WebhookPayload.model_validate(json.loads(octets))
    except (ValueError, ValidationError) as error:
        raise WebhookVerificationError("the body is not an event") from error


def verify_lobstermail_signature(secret: str, signature: str, body: str | bytes) -> bool:
    """The contract's `X-LobsterMail-Signature`: nothing in it keeps a request from being played again."""
    octets = body.encode() if isinstance(body, str) else body
    expected = hmac.new(secret.encode(), octets, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.lower().encode())


def _is_signed(secret: str, signed: bytes, signatures: str) -> bool:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise WebhookVerificationError("the secret is not base64") from error
    expected = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    return any(hmac.compare_digest(expected, it.encode()) for it in signatures.split(" "))
