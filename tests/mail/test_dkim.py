"""DKIM: another implementation verifies what is signed here, and refuses what was altered."""

from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from dkim.canonicalization import Relaxed
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postclock.core.address import Mailbox
from postclock.mail.compose import Composed, Draft, compose
from postclock.mail.dkim.canonical import body_hash, relaxed_body, relaxed_header
from postclock.mail.dkim.key import MAX_KEY_FILE, SigningKey, generate_ed25519, generate_rsa, load_key
from postclock.mail.dkim.record import MAX_RECORD, record_matches, txt_record
from postclock.mail.dkim.sign import sign

RSA = load_key("Example.COM", "pc1", generate_rsa())
ED25519 = load_key("example.com", "pc2", generate_ed25519())
KEYS = [RSA, ED25519]


def resolver(*keys: SigningKey) -> Callable[..., bytes | None]:
    """A DNS that knows the records of these keys."""
    zone = {f"{key.record_name}.".encode(): txt_record(key).encode() for key in keys}
    return lambda name, timeout=5: zone.get(name)


def verified(raw: bytes, *keys: SigningKey) -> list[bool]:
    """What dkimpy says of each signature, from the top."""
    return [dkim.DKIM(raw).verify(idx, dnsfunc=resolver(*keys)) for idx in range(raw.count(b"DKIM-Signature:"))]


def holds(raw: bytes, key: SigningKey) -> bool:
    """Whether the one signature holds; dkimpy raises when the body is another."""
    try:
        return verified(raw, key) == [True]
    except dkim.ValidationError:
        return False


def message(**more: str) -> Composed:
    """A message with both bodies and a link to unsubscribe."""
    return compose(
        Draft(
            from_=Mailbox("shop@example.com", "Example  Shop"),
            to=(Mailbox("anna@example.org", "Änna"),),
            subject=more.get("subject", "Your order"),
            text=more.get("text", "Hello  Anna,\n\n\tyour order \n\n\n"),
            html=more.get("html", "<p>Grüße</p>"),
            message_id="<msg_0001@example.com>",
            sent_at=1_790_000_000,
            headers={
                "List-Unsubscribe": "<https://example.com/u/1>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            },
        )
    )


@pytest.mark.parametrize("key", KEYS, ids=["rsa", "ed25519"])
@settings(deadline=None, max_examples=15)
@given(subject=st.text(max_size=150), text=st.text(max_size=200))
@example(subject="", text="")
@example(subject="a  b\tc " * 20, text=" \t\n\n a \t b \n\n\n")
def test_another_implementation_verifies(key: SigningKey, subject: str, text: str) -> None:
    """Whatever was composed, its signature holds."""
    composed = message(subject=subject, text=text)
    signature = sign(key, composed.headers, composed.body, at=1_790_000_000)
    assert all(len(line) <= 78 for line in signature.split(b"\r\n"))
    assert verified(composed.raw([signature]), key) == [True]


def test_two_signatures_on_one_message() -> None:
    """Both hold, in either order, from one body hash."""
    composed = message()
    digest = body_hash(composed.body)
    both = [sign(key, composed.headers, b"not looked at", at=1_790_000_000, body_hash=digest) for key in KEYS]
    assert verified(composed.raw(both), *KEYS) == [True, True]
    assert verified(composed.raw(both[::-1]), *KEYS) == [True, True]


def test_a_message_in_utf8_verifies() -> None:
    """A raw UTF-8 address in a field is signed as its octets."""
    composed = compose(
        Draft(from_=Mailbox("jörg@example.com"), to=(Mailbox("änna@example.org"),), text="x", message_id="<a@example.com>", sent_at=0)
    )  # fmt: skip
    assert verified(composed.raw([sign(RSA, composed.headers, composed.body, at=1)]), RSA) == [True]


@pytest.mark.parametrize("key", KEYS, ids=["rsa", "ed25519"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"your order", b"your ordeR"),
        (b"Subject: Your order", b"Subject: My order"),
        (b"Subject: Your order", b"Subject: Your order\r\nSubject: Another"),
        (b"From: ", b"From: x@example.net\r\nFrom: "),
        (b"To: =", b"To: x@example.net\r\nTo: ="),
        (b"Date: Mon", b"Date: Tue, 22 Sep 2026 14:13:20 +0000\r\nDate: Mon"),
        (b"/u/1>", b"/u/2>"),
        (b"=One-Click", b"=Two-Click"),
        (b"MIME-Version: 1.0", b"MIME-Version: 1.1"),
        (b"t=1790000000", b"t=1790000001"),
    ],
)
def test_an_altered_message_does_not_verify(key: SigningKey, old: bytes, new: bytes) -> None:
    """A changed or added field, or a changed body, breaks the signature."""
    composed = message()
    raw = composed.raw([sign(key, composed.headers, composed.body, at=1_790_000_000)])
    assert raw.count(old) == 1
    assert holds(raw, key)
    assert not holds(raw.replace(old, new), key)


def test_white_space_may_change_on_the_way() -> None:
    """Relaxed forms survive what relays do: folds moved, runs of space changed, blank lines added at the end."""
    composed = message()
    raw = composed.raw([sign(RSA, composed.headers, composed.body, at=1_790_000_000)])
    moved = raw.replace(b"Subject: Your order", b"subject:   Your\r\n\torder  ").replace(
        b"Hello  Anna", b"Hello \t Anna"
    )
    assert moved != raw
    assert verified(moved + b"\r\n \r\n", RSA) == [True]


def test_the_signature_says_what_it_must() -> None:
    """Its tags: algorithm, canonical forms, domain, selector, time, fields with the weighty ones twice, no length."""
    composed = message()
    signature = sign(RSA, composed.headers, composed.body, at=1_790_000_000).replace(b"\r\n ", b" ")
    tags = dict(tag.strip().split(b"=", 1) for tag in signature.removeprefix(b"DKIM-Signature: ").split(b";"))
    assert tags.keys() == {b"v", b"a", b"c", b"d", b"s", b"t", b"h", b"bh", b"b"}
    assert (tags[b"a"], tags[b"c"]) == (b"rsa-sha256", b"relaxed/relaxed")
    assert (tags[b"d"], tags[b"s"], tags[b"t"]) == (b"example.com", b"pc1", b"1790000000")
    names = tags[b"h"].replace(b" ", b"").split(b":")
    assert {name for name in names if names.count(name) == 2} == {b"from", b"to", b"subject", b"date"}
    assert set(names) == {name.lower() for name, _ in composed.headers}


def test_the_same_message_gets_the_same_signature() -> None:
    """RSA and Ed25519 signatures hold no chance, so a second attempt sends the same octets."""
    composed = message()
    for key in KEYS:
        assert sign(key, composed.headers, composed.body, at=1) == sign(key, composed.headers, composed.body, at=1)


def test_of_a_field_that_occurs_twice_the_last_is_signed_first() -> None:
    """Verifiers go through a field's occurrences from the bottom."""
    composed = message()
    headers = (*composed.headers, (b"Cc", b"a@example.org"), (b"Cc", b"b@example.org"))
    doubled = Composed(headers=headers, body=composed.body)
    assert verified(doubled.raw([sign(RSA, headers, composed.body, at=1)]), RSA) == [True]


BODIES = st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r\n", b"\xe9", b"\x0b", b"  ", b" \r\n"]), max_size=30).map(
    b"".join
)


@given(BODIES.map(lambda b: b + b"\r\n"))
@example(b"\r\n\r\n")
@example(b" \r\n\t\r\n")
@example(b"a \t b\t\r\n\r\n \r\n")
def test_relaxed_bodies_are_as_elsewhere(body: bytes) -> None:
    """Another implementation comes to the same canonical octets."""
    assert relaxed_body(body) == Relaxed.canonicalize_body(body)


def test_the_body_at_its_edges() -> None:
    """RFC 6376 3.4.4 and 3.4.5: an empty body is nothing, a missing line end is added, the RFC's example holds."""
    assert relaxed_body(b"") == relaxed_body(b"\r\n\r\n") == b""
    assert relaxed_body(b"a") == relaxed_body(b"a \t") == b"a\r\n"
    assert relaxed_body(b" C \r\nD \t E\r\n\r\n\r\n") == b" C\r\nD E\r\n"
    assert body_hash(b"") == sha256(b"").digest()


@given(st.lists(st.sampled_from([b"a", b" ", b"\t", b"\r\n ", b"\r\n\t", b"\xe9", b":"]), max_size=20).map(b"".join))
@example(b"\r\n Y\t\r\n\tZ  ")
def test_relaxed_headers_are_as_elsewhere(value: bytes) -> None:
    """Folds and runs of white space become one space, names lower case."""
    ((name, canonical),) = Relaxed.canonicalize_headers([(b"B ", value)])
    assert relaxed_header(b"B ", value) == name + b":" + canonical


def test_records_hold_the_public_key() -> None:
    """The TXT value is what receivers look for, at the name they look for it."""
    assert RSA.record_name == "pc1._domainkey.example.com"
    assert txt_record(RSA) == f"v=DKIM1; k=rsa; p={RSA.public}"
    assert txt_record(ED25519) == f"v=DKIM1; k=ed25519; p={ED25519.public}"
    assert len(ED25519.public) == 44


def pkcs1(key: SigningKey) -> str:
    """The public key in the other form that RFC 6376 allows."""
    assert isinstance(key.private, RSAPrivateKey)
    return b64encode(key.private.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)).decode()


@pytest.mark.parametrize(
    "txt",
    [
        f"v=DKIM1; k=rsa; p={RSA.public}",
        f"v=DKIM1;k=rsa;p={RSA.public};",
        f"p={RSA.public}",
        f" v = DKIM1 ; t=y:s; n=a note; h=sha1:sha256; s=email; p = {RSA.public[:99]} \t{RSA.public[99:]} ; x=unknown ; ",
        f"v=DKIM1; s=*; p={pkcs1(RSA)}",
    ],
    ids=lambda _: "txt",
)
def test_records_that_match(txt: str) -> None:
    """White space, defaults, notes and unknown tags do not matter."""
    assert record_matches(txt, RSA)


@pytest.mark.parametrize(
    "txt",
    [
        "",
        "v=DKIM1; k=rsa; p=",
        "v=DKIM1; k=rsa",
        f"v=DKIM2; p={RSA.public}",
        f"p={RSA.public}; v=DKIM1",
        f"v=DKIM1; k=ed25519; p={RSA.public}",
        f"v=DKIM1; h=sha1; p={RSA.public}",
        f"v=DKIM1; s=tlsrpt; p={RSA.public}",
        f"v=DKIM1; p={RSA.public}; p={RSA.public}",
        f"v=DKIM1; k=rsa; p={RSA.public[:-8]}",
        f"v=DKIM1; k=rsa; p=é{RSA.public}",
        f"v=DKIM1; k=rsa; p={ED25519.public}",
        f"v=DKIM1; ; p={RSA.public}",
        "v=spf1 -all",
        f"v=DKIM1; p={RSA.public}; n={'x' * MAX_RECORD}",
    ],
    ids=lambda _: "txt",
)
def test_records_that_do_not_match(txt: str) -> None:
    """A revoked, foreign, misplaced, broken or endless record lets no receiver verify."""
    assert not record_matches(txt, RSA)


def test_keys_load_from_pem_as_well() -> None:
    """An operator's own key, as openssl writes it, is the same key."""
    pem = RSA.private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert load_key("example.com", "PC1", pem).public == RSA.public


def test_keys_that_cannot_sign_are_refused() -> None:
    """Rubbish, a passphrase, another kind of key or an endless file raise ValueError, as do bad names."""
    locked = RSA.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    curve = generate_ec(SECP256R1()).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    for data in (b"", b"rubbish", b"-----BEGIN PRIVATE KEY-----", locked, curve, b"-----BEGIN" + b"x" * MAX_KEY_FILE):
        with pytest.raises(ValueError, match="key"):
            load_key("example.com", "pc1", data)
    good = generate_ed25519()
    for selector in ("", "a b", "-a", "a..b", "a;b", "a\n", "x" * 64):
        with pytest.raises(ValueError, match="selector"):
            load_key("example.com", selector, good)
    with pytest.raises(ValueError, match="domain"):
        load_key("no domain", "pc1", good)
