"""limits: what unpacks to too much, or for too long, is refused; bounds on both sides."""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable

import pytest
from backports import zstd

from packrat_core.archives import limits
from packrat_core.archives.compressed_stream import open_compressed
from packrat_core.archives.limits import check_time
from packrat_core.errors import Refused

MIB = 1024 * 1024
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": zstd.compress,
}


@pytest.mark.parametrize(("cpu_s", "packed"), [(30.0, 0), (32.0, MIB), (72.0, 21 * MIB)])
def test_a_file_takes_as_long_as_it_may_and_no_longer(cpu_s: float, packed: int) -> None:
    check_time(cpu_s, packed)
    with pytest.raises(Refused, match="it takes too long to unpack"):
        check_time(cpu_s + 0.01, packed)


@pytest.mark.parametrize("coding", PACK)
def test_every_kind_of_compressed_file_is_timed(monkeypatch: pytest.MonkeyPatch, coding: str) -> None:
    data = PACK[coding](bytes(4 * MIB))
    assert open_compressed(io.BytesIO(data), coding).drain() == 4 * MIB
    monkeypatch.setattr(limits, "_CPU_S", 0.0)
    monkeypatch.setattr(limits, "_CPU_S_PER_BYTE", 0.0)
    with pytest.raises(Refused, match="it takes too long to unpack"):
        open_compressed(io.BytesIO(data), coding).drain()
    with pytest.raises(Refused, match="it takes too long to unpack"):
        open_compressed(io.BytesIO(data), coding).skip(3 * MIB)
