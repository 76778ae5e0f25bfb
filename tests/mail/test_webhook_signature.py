"""Signatures of webhooks, checked by the verifiers that receivers already have."""

import json
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from sendara.webhooks_verify import WebhookVerificationError, verify
from sendgrid.helpers.eventwebhook import EventWebhook

from postclock.mail.webhook_signature import ecdsa_signature, hmac_signature, new_signing_key, public_key

KNOWN = "af01640927ce547da73a0209db60b99e5f063d9351656af958be484f15c0f6ab"
KEY = new_signing_key()


def test_the_published_vector() -> None:
    """Sendara's libraries publish a secret, a timestamp, a body and what must come out."""
    body = b'{"event_id":"evt_known","event_type":"message.delivered"}'
    assert hmac_signature("whsec_test_secret", "1718000000", body) == KNOWN


@given(st.text(min_size=1), st.integers(0, 2**33), st.dictionaries(st.text(), st.text()))
@settings(max_examples=50, deadline=None)
def test_sendaras_library_believes_ours(secret: str, timestamp: int, content: dict[str, str]) -> None:
    """Any secret, any body: its verifier gives the body back, and refuses it once anything was changed."""
    body = json.dumps(content).encode()
    signature = hmac_signature(secret, str(timestamp), body)
    assert verify(secret, body, signature=signature, timestamp=str(timestamp), tolerance=None) == content
    for changed in ((secret, body + b" ", timestamp), (secret, body, timestamp + 1), (secret + "x", body, timestamp)):
        with pytest.raises(WebhookVerificationError):
            verify(changed[0], changed[1], signature=signature, timestamp=str(changed[2]), tolerance=None)


@given(st.integers(0, 2**33), st.text())
@settings(max_examples=30, deadline=None)
def test_sendgrids_library_believes_ours(timestamp: int, text: str) -> None:
    """Its verifier loads the public key as we show it, takes the signature, and refuses a changed body or time."""
    payload = json.dumps([{"email": text}])
    signature = ecdsa_signature(KEY, str(timestamp), payload.encode())
    verifier = EventWebhook(public_key(KEY))
    assert verifier.verify_signature(payload, signature, str(timestamp))
    assert not verifier.verify_signature(payload + " ", signature, str(timestamp))
    assert not verifier.verify_signature(payload, signature, str(timestamp + 1))
    assert not EventWebhook(public_key(new_signing_key())).verify_signature(payload, signature, str(timestamp))


def test_every_key_is_new() -> None:
    """Two webhooks never share one."""
    assert len({sha256(new_signing_key()).digest() for _ in range(5)}) == 5


def test_a_key_of_another_kind_signs_nothing() -> None:
    """What was stored must be a key on a curve for ECDSA."""
    other = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(TypeError):
        ecdsa_signature(other, "0", b"")
