"""Find the images of a gallery that are most like some query images.

Prints a line of JSON for each query; a page with the images is written on request.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ckda_jax import build
from ckda_jax import config as config_lib
from ckda_jax.build import Model
from ckda_jax.data import sources
from ckda_jax.data.sources import Source
from ckda_jax.engine import distributed
from ckda_jax.files import CONFIG, finite, write_text
from ckda_jax.reporting import answers as answers_page
from ckda_jax.retrieval.gallery import index
from ckda_jax.retrieval.gallery.search import BACKENDS, Gallery, open_gallery
from ckda_jax.structs import InputError

CAMERA_RULES = ("any", "other-camera")
"""What images a query may be answered with: all, or those of other cameras only."""


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(
        prog="python -m ckda_jax.search", description=__doc__, allow_abbrev=False
    )
    made.add_argument("--gallery", required=True, type=Path, help="made by embed")
    made.add_argument(
        "--query",
        required=True,
        nargs="+",
        metavar="IMAGE",
        help="images, folders, patterns or tables, as for --images of embed",
    )
    made.add_argument(
        "--modality", help="of all queries that no table gives one: visible, infrared"
    )
    made.add_argument(
        "--workdir",
        type=Path,
        help="directory of the run that made the gallery; the one it names when absent",
    )
    made.add_argument(
        "--stage", type=int, help="1-based stage; the gallery's when absent"
    )
    made.add_argument(
        "--top", type=int, default=10, help="answers per query (%(default)s)"
    )
    made.add_argument(
        "--camera-rule",
        choices=CAMERA_RULES,
        default=CAMERA_RULES[0],
        help="other-camera leaves out answers of the query's own camera (%(default)s)",
    )
    made.add_argument(
        "--camera", help="of all queries that no table gives one, for other-camera"
    )
    made.add_argument(
        "--backend",
        choices=tuple(BACKENDS),
        default="exact",
        help="faiss is faster on galleries of millions and not exact (%(default)s)",
    )
    made.add_argument(
        "--html", type=Path, metavar="OUT", help="write a page with the images"
    )
    made.add_argument(
        "--verify",
        action="store_true",
        help="compare the digest of every file of the gallery before searching it",
    )
    return made


@config_lib.main_guard
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    args = parser().parse_args(argv)
    if args.top < 1:
        raise InputError(f"--top {args.top}: must be at least 1")
    distributed.initialise()
    workdir, stage = maker(args.gallery, args.workdir, args.stage)
    config = config_lib.read(workdir / CONFIG)
    queries = sources.read(args.query, args.modality, build.modalities(config))
    cameras = left_out(queries, args.camera_rule, args.camera)
    build.use_compile_cache(config.compile_cache)
    model = build.load_model(workdir, stage)
    gallery = open_gallery(args.gallery, model=model, verify=args.verify)
    if cameras is not None and not gallery.knows_cameras:
        raise InputError(
            f"{args.gallery} knows no cameras, so --camera-rule other-camera can leave "
            "none out; embed its images again from a table with a column camera"
        )
    found = search(model, gallery, queries, args.top, cameras, args.backend)
    if not model.embedder.cluster.is_main:
        return 0
    for one in found:
        print(json.dumps(finite(one)))
    if args.html is not None:
        note = f"{args.backend} search, cameras: {args.camera_rule}"
        args.html.parent.mkdir(parents=True, exist_ok=True)
        write_text(args.html, answers_page.page(found, gallery, note))
    return 0


def maker(
    gallery: Path, workdir: Path | None, stage: int | None
) -> tuple[Path, int | None]:
    """Find the run whose model made a gallery: the one named, else the one it names.

    Raises:
        InputError: no gallery, or no run where the gallery says that it was.
    """
    made = index.read(gallery).model
    found = Path(made.workdir) if workdir is None else workdir
    if workdir is None and not (found / CONFIG).is_file():
        raise InputError(
            f"{gallery} was made with a run in {found}, which is not there any more; "
            "name its directory with --workdir"
        )
    return found, made.stage if stage is None else stage


def left_out(
    queries: Sequence[Source], rule: str, camera: str | None
) -> list[str | None] | None:
    """Name each query's camera, whose images are no answers to it.

    Raises:
        InputError: a query whose camera is not known, or a camera that is of no use.
    """
    if rule == "any":
        if camera is not None:
            raise InputError(
                f"--camera {camera} has no effect without --camera-rule other-camera"
            )
        return None
    cameras = [camera if query.camera is None else query.camera for query in queries]
    if None in cameras:
        path = queries[cameras.index(None)].path
        raise InputError(
            f"{path}: --camera-rule other-camera needs to know its camera; give "
            "--camera, or a table of queries with a column camera"
        )
    return cameras


def search(
    model: Model,
    gallery: Gallery,
    queries: Sequence[Source],
    top: int,
    cameras: Sequence[str | None] | None,
    backend: str,
) -> list[dict[str, Any]]:
    """Answer queries, each with what is to be printed about it."""
    found: list[dict[str, Any]] = [{}] * len(queries)
    for modality in dict.fromkeys(query.modality for query in queries):
        rows = [i for i, query in enumerate(queries) if query.modality == modality]
        vectors = model.embed([queries[row].path for row in rows], modality)
        own = None if cameras is None else [cameras[row] for row in rows]
        answers = gallery.search(vectors, top, not_cameras=own, backend=backend)
        for row, ranked in zip(rows, answers, strict=True):
            query = queries[row]
            found[row] = {
                "query": query.path,
                "modality": query.modality,
                "identity": query.identity,
                "camera": query.camera if cameras is None else cameras[row],
                "answers": [dataclasses.asdict(answer) for answer in ranked],
            }
    return found


if __name__ == "__main__":
    sys.exit(main())
