"""What made traffic is sent with: client programs, their TLS fingerprints, sampling parameters. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from stillwatch.simulate.wording import Floats, Integers


@dataclass(frozen=True)
class Clients:
    """One client a row: what it calls itself and how it shakes hands."""

    user_agent: Any
    ja4: Any

    def take(self, index: Integers) -> Clients:
        """Give the clients at `index`."""
        return Clients(self.user_agent.take(pa.array(index)), self.ja4.take(pa.array(index)))


def fingerprint(stack: str, *, ciphers: int = 15, extensions: int = 16, alpn: str = "h2") -> str:
    """Make a TLS client fingerprint in the shape of JA4 (FoxIO, 2023): the same stack always has the same one."""
    digest = hashlib.sha256(stack.encode()).hexdigest()
    return f"t13d{ciphers:02d}{extensions:02d}{alpn}_{digest[:12]}_{digest[12:24]}"


_LIBRARIES = (  # name, versions in use, TLS stacks they are met with
    ("OpenAI/Python 2.{}.0", range(2, 30), ("python-openssl3", "python-openssl1")),
    ("OpenAI/JS 6.{}.1", range(3, 26), ("node20", "node22")),
    ("Anthropic/Python 0.{}.0", range(60, 82), ("python-openssl3",)),
    ("Anthropic/JS 0.{}.0", range(55, 70), ("node22",)),
    ("python-httpx/0.{}.0", range(24, 29), ("python-openssl3",)),
    ("python-requests/2.{}.0", range(28, 34), ("urllib3",)),
    ("langchain-openai/1.{}.0", range(6), ("python-openssl3",)),
    ("axios/1.{}.0", range(5, 12), ("node20",)),
    ("okhttp/5.{}.0", range(3), ("android",)),
    ("Go-http-client/2.0", range(1), ("go123",)),
    ("curl/8.{}.1", range(4, 13), ("curl",)),
    ("aiohttp/3.{}.0", range(9, 14), ("python-openssl3",)),
    ("Java-http-client/21", range(1), ("jdk21",)),
    ("reqwest/0.12", range(1), ("rustls",)),
)


def _common() -> tuple[list[tuple[str, str]], Floats]:
    """List the clients that many people use, and how common each is: the newest version of each library most."""
    pairs, weight = [], []
    for rank, (name, versions, stacks) in enumerate(_LIBRARIES):
        for age, version in enumerate(reversed(versions)):
            for stack in stacks:
                pairs.append(
                    (name.format(version), fingerprint(stack, ciphers=13 + rank % 5, extensions=11 + rank % 7))
                )
                weight.append(1.0 / (1 + rank) / (1 + age) / len(stacks))
    total = np.array(weight)
    return pairs, total / total.sum()


_PAIRS, COMMON_SHARE = _common()
COMMON = Clients(
    pa.array([agent for agent, _ in _PAIRS], pa.large_string()), pa.array([ja4 for _, ja4 in _PAIRS], pa.large_string())
)


def common(rng: np.random.Generator, rows: int) -> Clients:
    """Draw a client that many people use for each row."""
    return COMMON.take(rng.choice(len(_PAIRS), rows, p=COMMON_SHARE))


def own(names: list[str]) -> Clients:
    """Give each name a client that nobody else has."""
    agents = pa.array(names, pa.large_string())
    return Clients(agents, pa.array([fingerprint(name) for name in names], pa.large_string()))


@dataclass(frozen=True)
class Parameters:
    """Sampling parameters, one value a row."""

    temperature: Floats
    top_p: Floats
    max_tokens: Integers
    stream: Any

    def take(self, index: Integers) -> Parameters:
        """Give the parameters at `index`."""
        return Parameters(self.temperature[index], self.top_p[index], self.max_tokens[index], self.stream[index])


def parameters(rng: np.random.Generator, rows: int) -> Parameters:
    """Draw the parameters that a person has set once and for all, or left as they came."""
    return Parameters(
        temperature=rng.choice([1.0, 0.7, 0.0, 0.2, 0.5, 0.8, 0.3], rows, p=[0.5, 0.18, 0.1, 0.08, 0.06, 0.05, 0.03]),
        top_p=rng.choice([1.0, 0.95, 0.9], rows, p=[0.84, 0.1, 0.06]),
        max_tokens=rng.choice([1024, 2048, 4096, 512, 8192, 1500], rows, p=[0.35, 0.22, 0.2, 0.1, 0.1, 0.03]),
        stream=rng.random(rows) < 0.6,
    )
