"""What is asked: turns in conversations with history, and open streams. Runs the load process and adds what the server used."""

import itertools
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from tests.benchmarks.processes import MODELS, Target
from tests.support.server import ROOT

CLIENTS = 8
TURNS_PER_CONVERSATION = 3
SENTENCE = "Please look at the second paragraph again and tell me whether the figures in it agree with the table below it. "
_conversations = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """A round of turns: wall seconds, CPU seconds of the server, seconds to the first token of each turn."""

    turns: int
    seconds: float
    cpu_s: float
    firsts_s: Sequence[float]

    @property
    def per_second(self) -> float:
        return self.turns / self.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds of one turn."""
        return self.cpu_s / self.turns * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """A window of open streams: shares of the due chunks, lags in milliseconds, cores used, resident bytes at its end."""

    on_time: float
    p50_ms: float
    p99_ms: float
    cores: float
    rss_bytes: int


def turns(
    target: Target, agent: str, count: int, *, stream: bool, history: int = 10, clients: int = CLIENTS, first: str = "token0"
) -> Turns:
    """`count` turns in conversations that hold about `history` messages; opening those is not measured."""
    numbers = list(range(max(clients, count // TURNS_PER_CONVERSATION)))
    shared = {"kind": "turns", "port": target.port, "path": "/v1/chat/completions", "headers": target.headers, "clients": clients}
    mark = "token99" if agent == "burst" else "[DONE]"
    if target.name == "relay":
        asked = body(MODELS[agent], history + 1, stream)
        return run_turns(target, {**shared, "body": asked, "mark": mark, "first": first, "numbers": numbers * TURNS_PER_CONVERSATION})
    conversation = f"bench-{next(_conversations)}-{{}}"
    opening = {
        "body": body(agent, max(1, history - 3), False),
        "mark": "choices",
        "first": "",
        "numbers": numbers,
        "conversation": conversation,
    }
    run_turns(target, {**shared, **opening, "clients": CLIENTS})
    asked = {"body": body(agent, 1, stream), "mark": mark, "first": first, "conversation": conversation}
    return run_turns(target, {**shared, **asked, "numbers": numbers * TURNS_PER_CONVERSATION})


def body(model: str, messages: int, stream: bool) -> dict[str, Any]:
    """A request with `messages` messages in turn, the last one the user's."""
    roles = [("user", "assistant")[(messages - 1 - index) % 2] for index in range(messages)]
    return {
        "model": model,
        "stream": stream,
        "messages": [{"role": role, "content": f"{index}: {SENTENCE}"} for index, role in enumerate(roles)],
    }


def run_turns(target: Target, job: dict[str, Any]) -> Turns:
    told, cpu_s, _ = run(target, job)
    return Turns(turns=told["turns"], seconds=told["seconds"], cpu_s=cpu_s, firsts_s=told["firsts_s"])


def streams(target: Target, count: int, gap_ms: int, *, ramp_s: float, window_s: float) -> Streams:
    """`count` open streams with a chunk every `gap_ms`, each a new conversation with an execution and messages of its own."""
    agent = f"open-{count}"
    job = {
        "kind": "streams",
        "port": target.port,
        "path": "/v1/chat/completions",
        "headers": target.headers,
        "clients": count,
        "gap_ms": gap_ms,
    }
    job |= {"ramp_s": ramp_s, "settle_s": 2.0, "window_s": window_s, "conversation": f"open-{next(_conversations)}-{{}}"}
    told, cpu_s, rss_bytes = run(target, {**job, "body": body(MODELS[agent] if target.name == "relay" else agent, 1, True)})
    if told["failures"]:
        raise RuntimeError(f"{target.name}: a stream failed: {told['failures'][0]}")
    lags = {name: told.get(name, float("inf")) for name in ("p50_ms", "p99_ms")}
    return Streams(on_time=told["on_time"], cores=cpu_s / window_s, rss_bytes=rss_bytes, **lags)


def run(
    target: Target, job: dict[str, Any], *, module: str = "tests.benchmarks.load", each: Callable[[], None] | None = None
) -> tuple[dict[str, Any], float, int]:
    """The load's last line, the server's CPU seconds between its `start` and `end`, and its resident bytes then.

    `each` is called at every line of the load.
    """
    command = [sys.executable, "-m", module]
    cpu_s: dict[str, float] = {}
    rss_bytes, told = 0, {}
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(orjson.dumps(job))
        process.stdin.close()
        for line in process.stdout:
            told = orjson.loads(line)
            cpu_s[told["phase"]] = target.cpu_s()
            if each is not None:
                each()
            rss_bytes = target.rss_bytes() if told["phase"] == "end" else rss_bytes
    if process.returncode:
        raise RuntimeError(f"the load on {target.name} ended with {process.returncode}; its error is above")
    return told, cpu_s["end"] - cpu_s["start"], rss_bytes
