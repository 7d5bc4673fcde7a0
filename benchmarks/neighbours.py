"""All pairs of hashes within a radius: seconds of CPU time on one thread, memory, and the same by other libraries.

A peer that would take long for ten times as many hashes (30 times, between linear and quadratic) is not asked.
"""

import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.peers import Peers
from benchmarks.results import Goal, report

ROOT = Path(__file__).parents[1]

PEERS = {"imagededup": "imagededup", "faiss_flat": "faiss", "faiss_multihash": "faiss", "duckdb": "duckdb"}
PEER_LIMIT_S = 60
COUNTS, RADII_BITS = (10_000, 100_000, 1_000_000), (4, 10)
UNIFORM_GOAL_S, SKEWED_GOAL_S, MEMORY_GOAL_MB = 4, 8, 600
ROUNDS = 3


def uniform(count: int) -> np.ndarray:
    """Evenly spread hashes, distinct."""
    return np.unique(np.random.default_rng(1).integers(0, 2**64, count, np.uint64))


def skewed(count: int) -> np.ndarray:
    """A tenth of them lie around centres, 100 each, at 0 to 8 flipped bits; the others are spread evenly."""
    random = np.random.default_rng(2)
    centres = random.integers(0, 2**64, count // 1000, np.uint64)
    crowd = np.repeat(centres, 100)
    for position, bits in enumerate(random.integers(0, 9, len(crowd))):
        flipped = random.choice(64, bits, replace=False)
        crowd[position] ^= np.bitwise_or.reduce(np.uint64(1) << flipped.astype(np.uint64), initial=np.uint64(0))
    return np.unique(np.concatenate([crowd, random.integers(0, 2**64, count - len(crowd), np.uint64)]))


def ours(path: Path, radius_bits: int) -> dict[str, float]:
    """In a process of its own, so that its memory can be told: the median of some rounds."""
    command = [sys.executable, __file__, str(path), str(radius_bits)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def search_once(path: Path, radius_bits: int) -> None:
    """The child of `ours`."""
    from pipeline.dedupe.neighbours import pairs_within

    hashes = np.load(path)
    start = time.process_time()
    list(pairs_within(hashes[:10], radius_bits))
    ready_s, seconds, pairs = time.process_time() - start, [], 0
    for _ in range(ROUNDS):
        start = time.process_time()
        pairs = sum(len(block[0]) for block in pairs_within(hashes, radius_bits))
        seconds.append(time.process_time() - start)
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": float(np.median(seconds)), "pairs": pairs, "ready_s": ready_s, "memory_mb": memory_mb}))


def peer(python: Path, library: str, path: Path, radius_bits: int) -> dict[str, float] | None:
    """Seconds and pairs; None where it takes longer than a minute."""
    command = [str(python), str(ROOT / "benchmarks" / "peers" / "search_pairs.py"), library, str(path), str(radius_bits)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode == -signal.SIGPROF:
        return None
    done.check_returncode()
    return json.loads(done.stdout.splitlines()[-1])


def brute_force(hashes: np.ndarray, radius_bits: int) -> np.ndarray:
    """Every pair and its distance in rows, sorted, by comparing everything with everything in numpy."""
    rows = []
    for start in range(0, len(hashes), 64):
        bits = np.bitwise_count(hashes[start : start + 64, None] ^ hashes[None, start:])
        left, right = np.nonzero(bits <= radius_bits)
        rows.append(np.stack([left + start, right + start, bits[left, right]], axis=1)[left < right])
    return in_order(np.concatenate(rows))


def in_order(pairs: np.ndarray) -> np.ndarray:
    """Rows sorted by their first number, then by the others."""
    return pairs[np.lexsort(pairs.T[::-1])]


def equals_brute_force(count: int) -> bool:
    """At every radius, on skewed hashes, where there are pairs at every distance."""
    from pipeline.dedupe.neighbours import pairs_within

    hashes = skewed(count)
    expected = brute_force(hashes, max(RADII_BITS))
    for radius in RADII_BITS:
        found = in_order(np.concatenate([np.stack(block, axis=1) for block in pairs_within(hashes, radius)]))
        if not np.array_equal(found, expected[expected[:, 2] <= radius]):
            return False
    return True


def growth_s(hashes: np.ndarray, radius_bits: int) -> float:
    """A hundredth of the hashes against all others."""
    from pipeline.dedupe.neighbours import pairs_between

    shuffled = np.random.default_rng(3).permutation(hashes)
    new = len(hashes) // 100
    list(pairs_between(shuffled[:10], shuffled[new:], radius_bits))
    start = time.process_time()
    list(pairs_between(shuffled[:new], shuffled[new:], radius_bits))
    return time.process_time() - start


def main() -> None:
    """Measure and report."""
    figures: dict[str, float | str] = {}
    peers = Peers(*dict.fromkeys(PEERS.values()))
    agree, ready_s, memory_mb = True, [], 0.0
    with tempfile.TemporaryDirectory(prefix="bokehflow-bench-") as folder:
        path = Path(folder) / "hashes.npy"
        last_s = {(library, radius): 0.0 for library in PEERS for radius in RADII_BITS}
        for count in COUNTS:
            np.save(path, uniform(count))
            for radius in RADII_BITS:
                name = f"{count // 1000}k_d{radius}"
                mine = ours(path, radius)
                figures[f"{name}_s"] = round(mine["seconds"], 4)
                ready_s.append(mine["ready_s"])
                memory_mb = max(memory_mb, mine["memory_mb"])
                for library in PEERS:
                    key, python = (library, radius), peers.python(PEERS[library])
                    if python is None:
                        figures[f"{name}_{library}_s"] = "not measured"
                        continue
                    asked = last_s[key] * 30 < PEER_LIMIT_S
                    theirs = peer(python, library, path, radius) if asked else None
                    last_s[key] = theirs["seconds"] if theirs else float(PEER_LIMIT_S)
                    otherwise = "not within a minute" if asked else "not asked"
                    figures[f"{name}_{library}_s"] = round(theirs["seconds"], 3) if theirs else otherwise
                    agree &= theirs is None or theirs["pairs"] == mine["pairs"]
        million = uniform(COUNTS[-1])
        largest = f"{COUNTS[-1] // 1000}k"
        figures[f"{largest}_new_1_percent_d10_s"] = round(growth_s(million, 10), 4)
        np.save(path, skewed(COUNTS[-1]))
        crowded = ours(path, 10)
    figures |= {f"skewed_{largest}_d10_s": round(crowded["seconds"], 3), "skewed_pairs": crowded["pairs"]}
    figures |= {"import_and_first_use_s": round(float(np.median(ready_s)), 2), "peak_memory_mb": round(memory_mb)}
    equal = equals_brute_force(100_000)
    slowest = max(float(figures[f"{largest}_d{radius}_s"]) for radius in RADII_BITS)
    most_mb = round(max(memory_mb, crowded["memory_mb"]))
    report(
        "neighbours",
        figures,
        [
            Goal(f"a million evenly spread, up to 10 bits, within {UNIFORM_GOAL_S} s", slowest, slowest <= UNIFORM_GOAL_S),
            Goal(f"... and {MEMORY_GOAL_MB} MB", most_mb, most_mb <= MEMORY_GOAL_MB),
            Goal(
                f"a million skewed within {SKEWED_GOAL_S} s",
                round(crowded["seconds"], 3),
                crowded["seconds"] <= SKEWED_GOAL_S,
            ),
            Goal("the pairs of 100,000 equal brute force, at 4 and 10 bits", str(equal), equal),
            Goal("the peers count as many pairs", str(agree), None if peers.missing and agree else agree),
        ],
        peers,
    )


if __name__ == "__main__":
    if len(sys.argv) == 3:
        search_once(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        main()
