"""URLs of webhooks: what is plainly inside is refused before anything is stored."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.courier.post_targets import MAX_URL, plain
from postclock.service.webhook_url import problem

INSIDE = [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "::", "::1", "fe80::1", "fc00::1", "fd12::1", "ff02::1",
    "::ffff:127.0.0.1", "::ffff:10.1.2.3", "2002:7f00:1::", "2002:a00:1::", "64:ff9b::127.0.0.1", "64:ff9b::a00:1", "2001:db8::1",
    "2001:0:a00:1::",
]  # fmt: skip
OUTSIDE = ["93.184.216.34", "1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"]


def literal(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@pytest.mark.parametrize("address", INSIDE)
def test_what_is_inside_is_refused_unless_allowed(address: str) -> None:
    """Private, loopback, link-local, shared, multicast, reserved, also as an IPv6 address that carries such a one."""
    url = f"https://{literal(address)}:8443/hook"
    assert problem(url, ()) == "Must not lead to a private address."
    assert problem(url, [ipaddress.ip_network(plain(ipaddress.ip_address(address)))]) is None


@pytest.mark.parametrize("address", OUTSIDE)
def test_what_is_outside_is_taken_over_tls(address: str) -> None:
    """And never without it."""
    assert problem(f"https://{literal(address)}/hook", ()) is None
    refused = problem(f"http://{literal(address)}/hook", [ipaddress.ip_network("10.0.0.0/8")])
    assert refused is not None
    assert refused.startswith("Must begin with https://")


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "localhost.", "app.localhost"])
def test_localhost_is_inside_by_any_spelling(host: str) -> None:
    """RFC 6761: it is the loopback whatever the DNS says."""
    assert problem(f"https://{host}/hook", ()) == "Must not lead to a private address."
    assert problem(f"http://{host}:3000/hook", [ipaddress.ip_network("127.0.0.0/8")]) is None


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "a.0x7f", "1.2.3", "127.0.0.1.nip.1"]
)
def test_an_address_in_an_old_form_is_no_host(host: str) -> None:
    """Resolvers take these for addresses: nobody who means well writes them."""
    assert problem(f"https://{host}/hook", ()) == "Must have a host name or an IP address as its host."


def test_a_name_without_tls_needs_an_open_network() -> None:
    """For development: a container's name, judged by its addresses at each delivery."""
    refused = problem("http://app:8080/hook", ())
    assert refused is not None
    assert "https://" in refused
    assert problem("http://app:8080/hook", [ipaddress.ip_network("172.16.0.0/12")]) is None
    assert problem("https://app:8080/hook", ()) is None


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("", "URL"),
        ("example.com/hook", "https://"),
        ("ftp://example.com/", "https://"),
        ("https://", "https://"),
        ("https:///hook", "https://"),
        ("https://example.com:0/", "https://"),
        ("https://example.com:99999/", "URL"),
        ("https://[::1/", "URL"),
        ("https://[fe80::1%25eth0]/", "host"),
        ("https://user:secret@example.com/", "password"),
        ("https://user@example.com/", "user name"),
        ("https://@example.com/", "user name"),
        ("https://example.com/#here", "fragment"),
        ("https://example.com/a b", "blanks"),
        ("https://example.com/\r\nX-Evil: 1", "blanks"),
        ("https://example.com\\@10.0.0.1/", "backslash"),
        ("https://bücher.example/", "ASCII"),
        ("https://exa_mple-.com/", "host"),
        ("https://a..b/", "host"),
        ("https://example.com/" + "x" * MAX_URL, "2048"),
    ],
)
def test_what_is_no_url_is_told_in_a_sentence(url: str, word: str) -> None:
    """Each with what is wrong about it."""
    told = problem(url, ())
    assert told is not None
    assert word in told


def test_a_usual_url_is_taken() -> None:
    """Port, path and query as they may be; up to the last character."""
    assert problem("https://hooks.example.com:8443/in?token=a%20b&x=1", ()) is None
    assert problem("https://example.com/" + "x" * (MAX_URL - 20), ()) is None


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_gets_an_answer(text: str) -> None:
    """Never an exception, whatever is written after the scheme."""
    for url in (text, "https://" + text, "http://[" + text, f"https://{text}:{text}@{text}"):
        told = problem(url, ())
        assert told is None or told.endswith(".")
