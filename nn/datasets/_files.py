"""Where the files of a data set are: beside the user, in the cache, or on a server."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path


def find(name: str, files: Iterable[str], data_dir, who: str) -> Path | None:
    """The folder that holds all `files` of the data set `name`, or None.

    Raises
    ------
    FileNotFoundError
        When `data_dir` is given and the files are not there.
    """
    wanted = list(files)
    places = [data_dir] if data_dir is not None else [os.environ.get("FUSEDNN_DATA"), _cache()]
    folders = [folder for place in places if place for folder in (Path(place) / name, Path(place))]
    for folder in folders:
        if all((folder / file).exists() for file in wanted):
            return folder
    if data_dir is not None:
        raise FileNotFoundError(
            f"[{who}] neither {folders[0]} nor {folders[1]} holds {', '.join(wanted)}; "
            "pass the folder that does, or leave data_dir out to download them."
        )
    return None


def download(name: str, url: str, checksum: str, who: str) -> Path:
    """The file behind `url` in the cache, fetched and checked if it is not there.

    Raises
    ------
    ImportError
        When pooch is not installed.
    OSError
        When the file cannot be had, or is not the one with this checksum.
    """
    try:
        import pooch
    except ImportError:
        raise ImportError(
            f"[{who}] downloading needs pooch: pip install 'fusednn[datasets]', or pass data_dir."
        ) from None
    folder = _cache() / name
    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(pooch.retrieve(url, checksum, Path(url).name, folder))
    except Exception as error:  # each of pooch's backends has exceptions of its own
        raise OSError(
            f"[{who}] {url} could not be downloaded ({type(error).__name__}); put the files of "
            f"{name} into {folder}, or pass the folder that holds them as data_dir."
        ) from None


def _cache() -> Path:
    base = os.environ.get("FUSEDNN_CACHE")
    if base:
        return Path(base) / "datasets"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "fusednn" / "datasets"
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "fusednn" / "datasets"
