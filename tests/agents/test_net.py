"""R11.4: server-side fetches reach public addresses only, after resolving names and on every redirect."""

import socket
from collections.abc import AsyncIterator
from ipaddress import ip_address
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from agents import net
from agents.fetch import Answer, Request, fetch
from agents.net import FetchError, GuardedResolver, check_url, guarded_session, is_public
from tests.support.website import website

PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::808:808"]
NOT_PUBLIC = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.0.9", "168.63.129.16", "169.254.169.254",
    "172.16.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.7", "203.0.113.9",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808",
    "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0",
    "fec0::1", "ff02::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_unicast_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_private_local_metadata_and_tunnelled_addresses_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("url", ["https://example.com/a", "http://example.com:8080", "http://8.8.8.8/", "https://[2606:4700::1]/"])
def test_urls_of_names_and_public_addresses_pass_the_first_check(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://127.0.0.1./", "http://127.1/", "http://0x7f000001/", "http://2130706433/", "http://0177.0.0.1/",
        "http://①②⑦.⓪.⓪.①/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[fe80::1%25eth0]/", "http://0/",
        "http://user:pw@10.0.0.1/", "http://169.254.169.254/latest/meta-data", "ftp://example.com/", "file:///etc/passwd",
        "gopher://example.com/", "//example.com/", "/etc/passwd", "example.com", "", "http://", "http://[::1", "http://a:99999999/",
    ],
)  # fmt: skip
def test_other_schemes_and_numbers_in_any_notation_are_refused_without_a_look_up(url: str) -> None:
    with pytest.raises(FetchError) as refusal:
        check_url(url)
    assert str(refusal.value) == "This address may not be fetched."


def test_the_operator_may_allow_hosts_and_networks(settings: Any) -> None:
    settings.ALLOW_PRIVATE_ADDRESSES = ["10.0.0.0/8", "192.168.7.1", "printer.lan"]
    check_url("http://10.9.8.7/")
    check_url("http://192.168.7.1/")
    with pytest.raises(FetchError):
        check_url("http://192.168.7.2/")


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """A resolver of our own: name -> the answers it gives, one look-up after the other; the last one stays."""
    table: dict[str, list[list[str]]] = {}
    system = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        answers = table.get(host)
        if answers is None:
            return system(host, port, *args, **kwargs)
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [row for address in addresses for row in system(address, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return table


async def resolved(host: str) -> list[str]:
    return [answer["host"] for answer in await GuardedResolver().resolve(host, 80, socket.AF_UNSPEC)]


async def test_private_answers_of_a_name_are_left_out(names: dict[str, list[list[str]]]) -> None:
    names["mixed.test"] = [["10.0.0.1", "8.8.8.8", "127.0.0.1"]]
    assert await resolved("mixed.test") == ["8.8.8.8"]


async def test_a_name_with_private_answers_alone_is_refused(names: dict[str, list[list[str]]]) -> None:
    names["inside.test"] = [["10.0.0.1", "::1"]]
    with pytest.raises(FetchError):
        await resolved("inside.test")


async def test_an_allowed_host_may_resolve_to_any_address(names: dict[str, list[list[str]]], settings: Any) -> None:
    names["printer.lan"] = [["10.0.0.1"]]
    settings.ALLOW_PRIVATE_ADDRESSES = ["Printer.LAN"]
    assert await resolved("printer.lan") == ["10.0.0.1"]


@pytest.fixture
async def site() -> AsyncIterator[TestServer]:
    async with website() as running:
        yield running


@pytest.fixture
def allowed(settings: Any) -> None:
    settings.ALLOW_PRIVATE_ADDRESSES = ["127.0.0.1"]


async def get(url: Any, method: str = "GET", headers: dict[str, str] | None = None, body: bytes | None = None, **limits: Any) -> Answer:
    request = Request(method=method, url=str(url), headers=headers or {}, body=body)
    return await fetch(request, **{"timeout_s": 5, "max_bytes": 10_000, **limits})


async def test_a_local_server_is_not_reached(site: TestServer) -> None:
    with pytest.raises(FetchError, match="may not be fetched"):
        await get(site.make_url("/told/x"))


async def test_a_local_name_is_not_reached(site: TestServer) -> None:
    with pytest.raises(FetchError, match="may not be fetched"):
        await get(f"http://localhost:{site.port}/told/x")


async def test_the_session_itself_is_guarded_also_when_it_follows_redirects(site: TestServer, allowed: None) -> None:
    with pytest.raises(FetchError):
        await guarded_session().get(site.make_url("/redirect/302?to=http://127.0.0.2:1/"))


async def test_a_name_is_connected_to_at_the_address_that_was_checked(
    site: TestServer, allowed: None, names: dict[str, list[list[str]]]
) -> None:
    names["rebind.test"] = [["127.0.0.1"], ["10.0.0.1"]]
    assert (await get(f"http://rebind.test:{site.port}/told/x")).status == 200
    assert names["rebind.test"] == [["10.0.0.1"]], "one look-up, and no second one between check and connection"


@pytest.mark.parametrize(
    "target", ["http://127.0.0.2/", "http://[::1]/", "http://169.254.169.254/", "file:///etc/passwd", "http://inside.test/"]
)
async def test_every_redirect_is_checked(site: TestServer, allowed: None, names: dict[str, list[list[str]]], target: str) -> None:
    names["inside.test"] = [["10.0.0.1"]]
    with pytest.raises(FetchError, match="may not be fetched"):
        await get(site.make_url("/redirect/302").with_query(to=target))


async def test_at_most_three_redirects_are_followed(site: TestServer, allowed: None) -> None:
    one = site.make_url("/redirect/302").with_query(to="/told/end")
    two = site.make_url("/redirect/302").with_query(to=str(one))
    three = site.make_url("/redirect/302").with_query(to=str(two))
    four = site.make_url("/redirect/302").with_query(to=str(three))
    assert b"/told/end" in (await get(three)).body
    with pytest.raises(FetchError, match="redirected too often"):
        await get(four)


async def test_another_origin_gets_no_credential(site: TestServer, allowed: None, names: dict[str, list[list[str]]]) -> None:
    names["other.test"] = [["127.0.0.1"]]
    elsewhere = f"http://other.test:{site.port}/told/x"
    secrets = {"Authorization": "Bearer hidden", "X-Api-Key": "hidden", "Cookie": "a=hidden", "Accept": "text/x"}
    answer = await get(site.make_url("/redirect/302").with_query(to=elsewhere), headers=secrets)
    assert b"hidden" not in answer.body
    assert b"text/x" in answer.body


async def test_the_same_origin_keeps_the_headers(site: TestServer, allowed: None) -> None:
    answer = await get(site.make_url("/redirect/307").with_query(to="/told/x"), headers={"X-Api-Key": "ours"})
    assert b"ours" in answer.body


async def test_a_body_never_goes_to_another_origin(site: TestServer, allowed: None, names: dict[str, list[list[str]]]) -> None:
    names["other.test"] = [["127.0.0.1"]]
    url = site.make_url("/redirect/307").with_query(to=f"http://other.test:{site.port}/told/x")
    with pytest.raises(FetchError, match="another site"):
        await get(url, method="POST", body=b"secret")


@pytest.mark.parametrize(("status", "method"), [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")])
async def test_a_redirected_post_becomes_what_its_status_says(site: TestServer, allowed: None, status: int, method: str) -> None:
    url = site.make_url(f"/redirect/{status}").with_query(to="/told/x")
    answer = await get(url, method="POST", body=b"payload", headers={"Content-Type": "text/plain"})
    assert f'"method": "{method}"'.encode() in answer.body
    assert (b"payload" in answer.body) == (method == "POST")


async def test_a_slow_server_is_given_up(site: TestServer, allowed: None) -> None:
    with pytest.raises(FetchError, match="in time"):
        await get(site.make_url("/slow"), timeout_s=0.05)


async def test_an_endless_answer_is_cut_at_the_limit(site: TestServer, allowed: None) -> None:
    answer = await get(site.make_url("/endless"), max_bytes=25_000)
    assert (len(answer.body), answer.cut) == (25_000, True)


async def test_a_closed_port_is_a_fixed_sentence(allowed: None, unused_tcp_port: int) -> None:
    with pytest.raises(FetchError) as failure:
        await get(f"http://127.0.0.1:{unused_tcp_port}/")
    assert str(failure.value) == "The server could not be reached."


async def test_an_encoded_path_arrives_as_it_was_written(site: TestServer, allowed: None) -> None:
    answer = await get(f"http://127.0.0.1:{site.port}/told/a%2Fb%3Fc%23d%25e%2E?q=1%262%2B3")
    assert b'"/told/a%2Fb%3Fc%23d%25e.?q=1%262%2B3"' in answer.body


async def test_one_session_per_loop_that_can_be_closed() -> None:
    session = guarded_session()
    assert guarded_session() is session
    await net.close()
    assert session.closed
    assert guarded_session() is not session


async def test_where_redirects_are_not_followed_nobody_looks_where_they_lead(site: TestServer, allowed: None) -> None:
    away = site.make_url("/redirect/307").with_query(to="http://169.254.169.254/")
    with pytest.raises(FetchError) as refusal:
        await get(away, "POST", body=b"{}", max_redirects=0)
    assert refusal.value.reason == "redirects"
