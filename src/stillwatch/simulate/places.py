"""Where made traffic comes from: countries by language, networks, addresses. Pure, randomness is handed in.

The numbers of autonomous systems are those of real access, hosting and anonymising networks, so that whoever looks them
up sees what they are; the addresses are made and say nothing about who uses them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from stillwatch.simulate.wording import LANGUAGES, Floats, Integers


@dataclass(frozen=True)
class Country:
    """A country: its share among speakers of the language, hours ahead of UTC, and access networks."""

    code: str
    language: str
    share: float
    offset: float
    networks: tuple[int, ...]


COUNTRIES = (
    Country("US", "en", 0.42, -6.0, (7922, 7018, 701, 22773)),
    Country("IN", "en", 0.20, 5.5, (55836, 24560, 45609)),
    Country("GB", "en", 0.10, 0.0, (2856, 5607, 5089)),
    Country("CA", "en", 0.06, -5.0, (812, 577, 852)),
    Country("NG", "en", 0.05, 1.0, (29465, 37148)),
    Country("AU", "en", 0.05, 10.0, (1221, 4804)),
    Country("PH", "en", 0.05, 8.0, (9299, 4775)),
    Country("NL", "en", 0.04, 1.0, (1136, 33915)),
    Country("ZA", "en", 0.03, 2.0, (3741, 37457)),
    Country("TW", "zh", 0.40, 8.0, (3462, 9924)),
    Country("SG", "zh", 0.30, 8.0, (4773, 3758, 9506)),
    Country("MY", "zh", 0.30, 8.0, (4788, 9534)),
    Country("JP", "ja", 1.00, 9.0, (4713, 17676, 2516)),
    Country("ES", "es", 0.34, 1.0, (3352, 12479)),
    Country("MX", "es", 0.36, -6.0, (8151, 28509)),
    Country("AR", "es", 0.16, -3.0, (7303, 22927)),
    Country("CO", "es", 0.14, -5.0, (10620, 13489)),
    Country("DE", "de", 0.78, 1.0, (3320, 3209, 6805)),
    Country("AT", "de", 0.12, 1.0, (8447, 8412)),
    Country("CH", "de", 0.10, 1.0, (3303, 6730)),
    Country("EG", "ar", 0.45, 2.0, (8452, 24863)),
    Country("SA", "ar", 0.30, 3.0, (25019, 35819)),
    Country("MA", "ar", 0.25, 1.0, (6713, 36903)),
)
CODES = pa.array([country.code for country in COUNTRIES], pa.large_string())
OFFSETS: Floats = np.array([country.offset for country in COUNTRIES])
US = 0
HOSTING = (14061, 16276, 24940, 63949, 16509, 15169, 8075, 20473)
ANONYMISING = (9009, 60068, 136787, 212238, 202425)


@dataclass(frozen=True)
class Addresses:
    """One address a row, and the number of the network that announces it."""

    ip: Any
    asn: Integers

    def take(self, index: Integers) -> Addresses:
        """Give the addresses at `index`."""
        return Addresses(self.ip.take(pa.array(index)), self.asn[index])


def countries(rng: np.random.Generator, language: Integers) -> Integers:
    """Draw a country for each speaker; `language` indexes `LANGUAGES`, the result `COUNTRIES`."""
    out = np.zeros(len(language), dtype=np.int64)
    for number, name in enumerate(LANGUAGES):
        rows = np.flatnonzero(language == number)
        those = [i for i, country in enumerate(COUNTRIES) if country.language == name]
        share = np.array([COUNTRIES[i].share for i in those])
        out[rows] = np.array(those)[rng.choice(len(those), len(rows), p=share / share.sum())]
    return out


def homes(rng: np.random.Generator, country: Integers) -> Addresses:
    """Give each row an access line in its country; a quarter of them speak IPv6."""
    width = np.array([len(c.networks) for c in COUNTRIES])
    padded = np.array([c.networks + c.networks[:1] * (4 - len(c.networks)) for c in COUNTRIES])
    asn = padded[country, (rng.random(len(country)) * width[country]).astype(np.int64)]
    return _addresses(rng, asn, base=70, span=110, blocks=32, six=0.25)


def exits(rng: np.random.Generator, rows: int, networks: tuple[int, ...]) -> Addresses:
    """Give each row an address in a data centre, or at an anonymising service."""
    asn = np.array(networks)[rng.integers(0, len(networks), rows)]
    return _addresses(rng, asn, base=30, span=35, blocks=48, six=0.0)


def _addresses(rng: np.random.Generator, asn: Integers, *, base: int, span: int, blocks: int, six: float) -> Addresses:
    rows = len(asn)
    block = ((asn * 2_654_435_761 + rng.integers(0, blocks, rows) * 40_503) >> 7) % (1 << 31)
    low, host, is_six = rng.integers(0, 256, rows), rng.integers(1, 255, rows), rng.random(rows) < six
    subscriber = rng.integers(1, 1 << 16, rows)
    text = [
        f"2001:db8:{a % 65_536:x}:{s:x}::{h:x}" if v else f"{base + b % span}.{(b >> 9) % 256}.{c}.{h}"
        for v, a, b, c, h, s in zip(
            is_six.tolist(), asn.tolist(), block.tolist(), low.tolist(), host.tolist(), subscriber.tolist(), strict=True
        )
    ]
    return Addresses(pa.array(text, pa.large_string()), asn.astype(np.int64))
