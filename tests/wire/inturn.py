"""Two turns of one conversation, the second asked for while the model is at the first."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx

from tests.support.upstream import Hold
from tests.support.waiting import until

Ask = Callable[[str], httpx.Response]


def in_turn(client: httpx.Client, held: Hold, first: Ask, second: Ask, agent: str = "root") -> tuple[httpx.Response, httpx.Response]:
    """Both answers. The first goes on when the second one waits or has been answered; `first` is called with the held message."""
    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(first, held.message)
        try:
            held.wait()
            other = threads.submit(second, "Second")
            until(lambda: other.done() or "queued" in statuses(client, agent))
        finally:
            held.release()
        return one.result(), other.result()


def statuses(client: httpx.Client, agent: str) -> list[str]:
    """Of the agent's runs that are not over, newest first."""
    answer = client.get(f"/api/agents/{agent}/executions/running")
    assert answer.status_code == 200, answer.text
    return [run["status"] for run in answer.json()["executions"]]
