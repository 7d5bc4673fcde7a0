"""Run img2dataset in its own environment: `python img2dataset_run.py URLS FOLDER PROCESSES THREADS`.

It hashes with SHA-256 and decodes every picture in full, keeps the bytes as they came and reads no EXIF: what the
other side does. The last line is JSON: pictures, and the seconds from the first shard's start to the last one's end.
"""

import json
import sys
from pathlib import Path

from img2dataset import download  # pyright: ignore[reportMissingImports] - it lives in an environment of its own


def main(urls: str, folder: str, processes: int, threads: int) -> None:
    """Download and report."""
    count = len(Path(urls).read_text().split())
    download(
        url_list=urls,
        input_format="txt",
        output_folder=folder,
        output_format="files",
        resize_mode="no",
        skip_reencode=True,
        compute_hash="sha256",
        extract_exif=False,
        processes_count=processes,
        thread_count=threads,
        # Four shards for each process: what waits at the end of a shard is small, and so is what a shard costs.
        number_sample_per_shard=-(-count // (4 * processes)),
    )
    shards = [json.loads(path.read_text()) for path in Path(folder).glob("*_stats.json")]
    duration_s = max(shard["end_time"] for shard in shards) - min(shard["start_time"] for shard in shards)
    print(json.dumps({"pictures": sum(shard["successes"] for shard in shards), "duration_s": duration_s}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
