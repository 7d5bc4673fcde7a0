"""All pairs of hashes within a radius by another library, on one thread: run by `neighbours.py` in that library's own
environment as `search_pairs.py LIBRARY HASHES.npy RADIUS_BITS`. Prints CPU seconds and the number of pairs as JSON;
ends without where the search takes a minute of CPU time.
"""

import json
import signal
import sys
import time
from itertools import combinations
from math import comb

import numpy as np

LIMIT_S = 60


def imagededup_brute_force(hashes: np.ndarray, radius_bits: int) -> int:
    """What its `find_duplicates` runs once the hashes are there, without its pool of processes."""
    from imagededup.handlers.search.brute_force_cython import BruteForceCython  # pyright: ignore[reportMissingImports]

    named = {str(number): f"{value:016x}" for number, value in enumerate(hashes.tolist())}
    index = BruteForceCython(named, lambda a, b: (int(a, 16) ^ int(b, 16)).bit_count())
    return (sum(len(index.search(value, radius_bits)) for value in named.values()) - len(named)) // 2


def faiss_flat(hashes: np.ndarray, radius_bits: int) -> int:
    """Brute force."""
    import faiss  # pyright: ignore[reportMissingImports]

    faiss.omp_set_num_threads(1)
    index, rows = faiss.IndexBinaryFlat(64), hashes.view(np.uint8).reshape(-1, 8)
    index.add(rows)
    return (int(index.range_search(rows, radius_bits + 1)[0][-1]) - len(rows)) // 2


def faiss_multihash(hashes: np.ndarray, radius_bits: int) -> int:
    """Four tables of 16 bits, with as many flips as make it exact."""
    import faiss  # pyright: ignore[reportMissingImports]

    faiss.omp_set_num_threads(1)
    index, rows = faiss.IndexBinaryMultiHash(64, 4, 16), hashes.view(np.uint8).reshape(-1, 8)
    index.nflip = radius_bits // 4
    index.add(rows)
    return (int(index.range_search(rows, radius_bits + 1)[0][-1]) - len(rows)) // 2


def duckdb_bands(hashes: np.ndarray, radius_bits: int) -> int:
    """Joins of four bands of 16 bits with every flip of one side, in SQL."""
    import duckdb  # pyright: ignore[reportMissingImports]

    connection = duckdb.connect(config={"threads": 1})
    columns = {"n": np.arange(len(hashes)), "h": hashes}
    columns |= {f"b{band}": (hashes >> np.uint64(16 * band)).astype(np.uint16).astype(np.int32) for band in range(4)}
    connection.register("arrays", columns)
    connection.execute("create table photos as select * from arrays")
    connection.register("masks", {"mask": flips(2), "bits": np.bitwise_count(flips(2)).astype(np.int32)})
    connection.execute("create table flips as select * from masks")
    most, rest = divmod(radius_bits, 4)
    joins = [
        f"select l.n a, r.n b from photos r join"
        f" (select n, h, xor(b{band}, mask) v from photos, flips where bits <= {most - (band > rest)}) l"
        f" on l.v = r.b{band} where l.n < r.n and bit_count(xor(l.h, r.h)) <= {radius_bits}"
        for band in range(4)
    ]
    row = connection.execute(f"select count(*) from ({' union '.join(joins)})").fetchone()
    return int(row[0]) if row else 0


def flips(most_bits: int) -> np.ndarray:
    """Every change of at most so many of 16 bits."""
    chosen = [bits for count in range(most_bits + 1) for bits in combinations(range(16), count)]
    assert len(chosen) == sum(comb(16, count) for count in range(most_bits + 1))
    return np.array([sum(1 << bit for bit in bits) for bits in chosen], np.int32)


SEARCHES = {
    "imagededup": imagededup_brute_force,
    "faiss_flat": faiss_flat,
    "faiss_multihash": faiss_multihash,
    "duckdb": duckdb_bands,
}

if __name__ == "__main__":
    values = np.load(sys.argv[2])
    SEARCHES[sys.argv[1]](values[:50], int(sys.argv[3]))
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
    start = time.process_time()
    count = SEARCHES[sys.argv[1]](values, int(sys.argv[3]))
    print(json.dumps({"seconds": time.process_time() - start, "pairs": count}))
