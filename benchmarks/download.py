"""Pictures a second against img2dataset, both hashing and decoding every one, from nginx on this machine; and memory.

Needs nginx (Debian: `apt-get install nginx-light`). img2dataset gets an environment of its own, made on first use.
"""

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.peers import Peers
from benchmarks.results import Goal, memory_mb, report
from pipeline.operations.emulated_flickr import free_ports

ROOT = Path(__file__).parents[1]
PEER_THREADS = (16, 32)
"""Tried in every round; the better one counts."""
ROUNDS = 3
PICTURES, WIDTH_PX, HEIGHT_PX = 3_000, 1024, 683
MANY, FEW = 20_000, 5_000
SMALL_FILES, SMALL_WIDTH_PX, SMALL_HEIGHT_PX = 200, 320, 213
SAMPLED_EVERY_S = 0.2
LEAST_RATIO, MOST_MEMORY_MB, MOST_GROWTH = 1.6, 500, 0.15

NGINX = """\
daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  types {{ image/jpeg jpg; }}
  client_body_temp_path {folder}/t; proxy_temp_path {folder}/t; fastcgi_temp_path {folder}/t;
  uwsgi_temp_path {folder}/t; scgi_temp_path {folder}/t;
  server {{ listen 127.0.0.1:{port}; root {folder}; }}
}}
"""


def make_pictures(folder: Path, count: int, width_px: int, height_px: int, seed: int) -> None:
    """JPEGs like photos in what costs time: their size, and a spectrum that falls off like that of nature."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    textures = [texture(rng, width_px, height_px, slope) for slope in np.linspace(1.1, 1.6, 12)]
    for number in range(count):
        light, warm, cold = (
            np.roll(textures[index], tuple(rng.integers(0, height_px, 2)), (0, 1)) for index in rng.integers(0, 12, 3)
        )
        rgb = np.stack([128 + 45 * light + 10 * warm, 125 + 45 * light + 8 * cold, 120 + 45 * light - 10 * warm], -1)
        Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8)).save(folder / f"{number}_b.jpg", quality=85)


def texture(rng: np.random.Generator, width_px: int, height_px: int, slope: float) -> np.ndarray:
    """Noise of unit variance whose amplitude falls with the frequency to the power of `slope`; [height, width]."""
    frequency = np.hypot(np.fft.fftfreq(height_px)[:, None], np.fft.rfftfreq(width_px)[None])
    frequency[0, 0] = np.inf
    spectrum = (rng.normal(size=frequency.shape) + 1j * rng.normal(size=frequency.shape)) / frequency**slope
    picture = np.fft.irfft2(spectrum, (height_px, width_px))
    return (picture / picture.std()).astype(np.float32)


@contextmanager
def nginx(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Serve `folder` on a free port; gives the address and the process."""
    executable = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if executable is None:
        sys.exit("nginx is missing; on Debian: apt-get install nginx-light")
    (port,) = free_ports(1)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    server = subprocess.Popen([executable, "-c", str(folder / "nginx.conf"), "-e", "stderr"])
    try:
        wait_for(port, server)
        yield f"127.0.0.1:{port}", psutil.Process(server.pid)
    finally:
        server.terminate()
        server.wait(10)


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        if server.poll() is not None:
            sys.exit(f"nginx ended with {server.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit("nginx does not answer")


def measured(command: list[str], server: psutil.Process) -> dict[str, Any]:
    """What the command's last line says, with its whole duration and the server's share of one core meanwhile.

    It begins with the disk at rest: what the run before left to the system to write would hold up who syncs each picture.
    """
    os.sync()
    before_s, began_s = sum(server.cpu_times()[:2]), time.perf_counter()
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complained:
        process, peak_mb = subprocess.Popen(command, stdout=said, stderr=complained), 0.0
        while process.poll() is None:
            peak_mb = max(peak_mb, memory_mb(process.pid))
            time.sleep(SAMPLED_EVERY_S)
        whole_s = time.perf_counter() - began_s
        said.seek(0)
        complained.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(command)}\n{complained.read()[-3000:]}")
        result = json.loads(said.read().strip().splitlines()[-1])
    used_s = sum(server.cpu_times()[:2]) - before_s
    return {**result, "whole_s": whole_s, "peak_mb": peak_mb, "nginx_share": used_s / result["duration_s"]}


def ours(urls: Path, folder: Path, server: psutil.Process) -> dict[str, Any]:
    return measured([sys.executable, __file__, "--download", str(urls), str(folder)], server)


def peer(python: Path, urls: Path, folder: Path, threads: int, server: psutil.Process) -> dict[str, Any]:
    script = str(ROOT / "benchmarks" / "peers" / "img2dataset_run.py")
    return measured([str(python), script, str(urls), str(folder), str(os.cpu_count()), str(threads)], server)


def download(urls: Path, folder: Path) -> None:
    """Our side, in a process of its own: fetch all and print what it took as JSON."""
    import resource

    import pandas as pd

    from pipeline.config import PhotosSection
    from pipeline.photos.download import Asking, Known, download_photos
    from pipeline.tables import empty
    from storage.blobs import BlobStore

    addresses = urls.read_text().split()
    listing = empty("photo_listing").reindex(range(len(addresses)))
    listing["photo_id"] = [f"flickr:{number}" for number in range(len(addresses))]
    listing["domain"], listing["month"], listing["last_update_s"] = "ordinary", "2024-03", 1
    listing["image_url"] = addresses
    imported_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began_s, began_cpu_s = time.perf_counter(), cpu_s()
    downloads = download_photos(
        listing=listing,
        known=Known(empty("photo_files"), folder / "journal.jsonl"),
        blobs=BlobStore(folder / "blobs"),
        settings=PhotosSection(min_edge_px=64),
        asking=Asking([addresses[0].split("/")[2]], "bokehflow benchmark", timeout_s=30, retries=5),
        now_s=1,
    )
    duration_s = time.perf_counter() - began_s
    result = {
        "pictures": int(downloads.table["sha256"].notna().sum()),
        "duration_s": duration_s,
        "cpu_s": cpu_s() - began_cpu_s,
        "imported_mb": imported_mb,
    }
    assert isinstance(downloads.table, pd.DataFrame)
    print(json.dumps(result))


def cpu_s() -> float:
    """Seconds of processor that this process and those it has waited for have used."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def rates(
    folder: Path, python: Path, host: str, server: psutil.Process
) -> tuple[list[dict[str, Any]], dict[int, list[dict[str, Any]]]]:
    """Both sides in turn, `ROUNDS` times: ours, and the peer's by its number of threads."""
    urls = folder / "urls.txt"
    urls.write_text("\n".join(f"http://{host}/large/{number}_b.jpg" for number in range(PICTURES)))
    mine: list[dict[str, Any]] = []
    theirs: dict[int, list[dict[str, Any]]] = {threads: [] for threads in PEER_THREADS}
    for number in range(ROUNDS):
        mine.append(ours(urls, scratch(folder), server))
        for threads in PEER_THREADS:
            theirs[threads].append(peer(python, urls, scratch(folder), threads, server))
        found = ", ".join(f"{threads} threads {rate(theirs[threads][-1]):.0f}/s" for threads in PEER_THREADS)
        print(f"round {number + 1}: bokehflow {rate(mine[-1]):.0f}/s, img2dataset {found}", flush=True)
    for run in (*mine, *(run for runs in theirs.values() for run in runs)):
        if run["pictures"] != PICTURES:
            sys.exit(f"not all pictures came: {run}")
    return mine, theirs


def scratch(folder: Path) -> Path:
    """A folder for one run, which stays until all have run: ext4 takes longer to make files where some have just gone."""
    return Path(tempfile.mkdtemp(prefix="out-", dir=folder))


def memory(folder: Path, host: str, server: psutil.Process, count: int) -> dict[str, Any]:
    """Our side on so many small pictures."""
    urls = folder / "many.txt"
    urls.write_text("\n".join(f"http://{host}/small/{number % SMALL_FILES}_b.jpg?{number}" for number in range(count)))
    run = ours(urls, scratch(folder), server)
    if run["pictures"] != count:
        sys.exit(f"not all pictures came: {run}")
    return run


def rate(run: dict[str, Any]) -> float:
    return run["pictures"] / run["duration_s"]


def median_of(runs: list[dict[str, Any]], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def main() -> None:
    """Run all and report."""
    peers = Peers("img2dataset")
    python = peers.python("img2dataset")
    if python is None:
        sys.exit(f"not measured: img2dataset is missing: {peers.missing['img2dataset']}")
    with tempfile.TemporaryDirectory(prefix="bokehflow-bench-") as name:
        folder = Path(name)
        make_pictures(folder / "large", PICTURES, WIDTH_PX, HEIGHT_PX, seed=0)
        make_pictures(folder / "small", SMALL_FILES, SMALL_WIDTH_PX, SMALL_HEIGHT_PX, seed=1)
        with nginx(folder) as (host, server):
            mine, theirs = rates(folder, python, host, server)
            few, many = memory(folder, host, server, FEW), memory(folder, host, server, MANY)
        mean_bytes = statistics.mean(path.stat().st_size for path in (folder / "large").iterdir())
    by_threads = {threads: statistics.median(map(rate, runs)) for threads, runs in theirs.items()}
    best = max(by_threads, key=by_threads.__getitem__)
    ratio = statistics.median(map(rate, mine)) / by_threads[best]
    growth = (many["peak_mb"] - few["peak_mb"]) / few["peak_mb"]
    report(
        "download",
        {
            "pictures_per_s": round(statistics.median(map(rate, mine)), 1),
            "img2dataset_per_s": round(by_threads[best], 1),
            "img2dataset_threads": best,
            "ratio": round(ratio, 2),
            "ratio_start_included": round(median_of(theirs[best], "whole_s") / median_of(mine, "whole_s"), 2),
            "rounds": ROUNDS,
            "picture_bytes": round(mean_bytes),
            "our_cpu_ms_per_picture": round(1000 * median_of(mine, "cpu_s") / PICTURES, 2),
            "nginx_share_of_a_core_ours": round(median_of(mine, "nginx_share"), 2),
            "nginx_share_of_a_core_img2dataset": round(median_of(theirs[best], "nginx_share"), 2),
            "peak_mb": round(median_of(mine, "peak_mb")),
            f"peak_mb_{FEW}": round(few["peak_mb"]),
            f"peak_mb_{MANY}": round(many["peak_mb"]),
            "imported_mb": round(many["imported_mb"]),
            "small_pictures_per_s": round(rate(many), 1),
        },
        [
            Goal(f"at least {LEAST_RATIO} times img2dataset's steady rate", round(ratio, 2), ratio >= LEAST_RATIO),
            Goal(
                f"peak memory under {MOST_MEMORY_MB} MB for {MANY} photos",
                round(many["peak_mb"]),
                many["peak_mb"] < MOST_MEMORY_MB,
            ),
            Goal(
                f"and no more than {MOST_GROWTH:.0%} above that for {FEW}, rows included",
                round(growth, 3),
                growth <= MOST_GROWTH,
            ),
            Goal("the server is not the bottleneck: nginx below half a core", round(median_of(mine, "nginx_share"), 2),
                 median_of(mine, "nginx_share") < 0.5),
        ],
        peers,
    )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--download"]:
        download(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
