"""R1.9: whose address counts."""

from ipaddress import ip_network

import pytest

from chat.peers import address_of, headers_of


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.7", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.7", "6.6.6.6, 198.51.100.1, 10.0.0.8", "198.51.100.1"),
        ("10.0.0.7", "", "10.0.0.7"),
        ("10.0.0.7", "10.0.0.8", "10.0.0.7"),
        ("::ffff:10.0.0.7", "198.51.100.1", "198.51.100.1"),
        ("unix:", "198.51.100.1", "unix:"),
    ],
)
def test_the_caller_s_address(settings, peer, forwarded, address):
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/8")]
    assert address_of({"client": (peer, 1)}, {"x-forwarded-for": forwarded}) == address


def test_nobody_is_believed_unless_named(settings):
    settings.TRUSTED_PROXIES = []
    assert address_of({"client": ("10.0.0.7", 1)}, {"x-forwarded-for": "198.51.100.1"}) == "10.0.0.7"


def test_headers_that_come_twice_are_one_list():
    assert headers_of([(b"X-Forwarded-For", b"a"), (b"x-forwarded-for", b" b\t")]) == {"x-forwarded-for": "a, b"}
