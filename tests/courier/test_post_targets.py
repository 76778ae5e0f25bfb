"""Where a webhook may lead, address by address: nothing of the operator's own network, in whatever dress it comes."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postclock.courier.post_targets import MAX_URL, fault_of, is_inside, is_public, networks

PRIVATE = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1",
    "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.7", "203.0.113.9",
    "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
]  # fmt: skip
PRIVATE_6 = [
    "::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd12:3456::1", "ff02::1", "100::1", "2001:db8::1", "2001::1",
    "2001:10::1", "3fff::1", "2002:7f00:1::", "2002:808:808::", "::127.0.0.1", "64:ff9b:1::7f00:1", "5f00::1", "2001:0:7f00:1::",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1", "192.0.1.1", "223.255.255.255"]
PUBLIC_6 = ["2606:4700::1111", "2a00:1450::1", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8", "2001:4860:4860::8888"]


@pytest.mark.parametrize("text", PRIVATE + PRIVATE_6)
def test_what_is_not_public_is_refused(text: str) -> None:
    """Each kind of address that the registries of RFC 6890 keep back, and those that no network has yet."""
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC + PUBLIC_6)
def test_what_is_public_is_not(text: str) -> None:
    """The neighbours of what is kept back among them."""
    assert is_public(ip_address(text))


@given(
    st.sampled_from(
        [IPv4Network(n) for n in ("10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16", "100.64.0.0/10")]
    ),
    st.data(),
)
@settings(deadline=None, max_examples=200)
def test_no_dress_makes_a_private_address_public(network: IPv4Network, data: st.DataObject) -> None:
    """Mapped into IPv6, behind NAT64, 6to4 or Teredo, and in the compatible form it stays what it is."""
    inner = data.draw(st.ip_addresses(v=4, network=network))
    number = int(inner)
    teredo = (0x20010000 << 96) | (0x08080808 << 64) | (number ^ 0xFFFFFFFF)
    dressed = [
        (0xFFFF << 32) | number,
        (0x0064FF9B << 96) | number,
        (0x2002 << 112) | (number << 80) | 1,
        teredo,
        (0x20010000 << 96) | (number << 64),
        number,
    ]
    assert not is_public(inner)
    for outer in dressed:
        assert not is_public(IPv6Address(outer)), IPv6Address(outer)


@given(st.ip_addresses())
@settings(deadline=None, max_examples=300)
def test_nothing_public_is_private_for_the_library(address: IPv4Address | IPv6Address) -> None:
    """Python's own tables as oracle: what they call private, local or reserved, we never call public."""
    if is_public(address) and address not in networks(["64:ff9b::/96"])[0]:
        inner = getattr(address, "ipv4_mapped", None) or address
        words = ("is_private", "is_loopback", "is_link_local", "is_multicast", "is_unspecified")
        assert not [word for word in words if getattr(inner, word)]


def test_the_operator_opens_networks() -> None:
    """In the plain form and mapped; nothing beside them."""
    allowed = networks(["10.1.0.0/16", "fd00::/8"])
    assert is_inside(ip_address("10.1.2.3"), allowed)
    assert is_inside(ip_address("::ffff:10.1.2.3"), allowed)
    assert is_inside(ip_address("fd00::5"), allowed)
    assert not is_inside(ip_address("10.2.0.1"), allowed)
    assert not is_inside(ip_address("8.8.8.8"), allowed)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/in", "ftp://hooks.example.com", "https://", "https:///in", "hooks.example.com", "https://u:p@example.com/",
        "https://u@example.com/", "https://127.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]:8443/", "https://10.0.0.1:8443/",
        "https://example.com:0/", "https://example.com:99999/", "https://exa mple.com/", "https://example.com/\n", "https://[::1/",
        "https://example.com/" + "x" * MAX_URL, "http://8.8.8.8/",
    ],
)  # fmt: skip
def test_a_url_that_says_itself_that_it_is_wrong(url: str) -> None:
    """It can be refused before anything is looked up."""
    assert fault_of(url, ()) is not None


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/in?x=1",
        "https://hooks.example.com:8443",
        "https://8.8.8.8/in",
        "https://[2606:4700::1111]/",
    ],
)
def test_a_url_that_may_be_right(url: str) -> None:
    """Any port; where a name leads is seen at each post."""
    assert fault_of(url, ()) is None


def test_plain_http_needs_an_open_network() -> None:
    """Without one it is never right; with one a name may lead there, a literal must."""
    allowed = networks(["127.0.0.0/8"])
    assert fault_of("http://127.0.0.1:9/", allowed) is None
    assert fault_of("http://localhost:9/", allowed) is None
    assert fault_of("http://8.8.8.8/", allowed) is not None
    assert fault_of("https://10.0.0.1/", allowed) is not None
