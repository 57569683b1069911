"""The permutations that SYSU-MM01's authors publish: who is in each trial's gallery."""

from pathlib import Path

import numpy as np
from jaxtyping import Int

from ckda_jax.structs import InputError, Records

KEY = "rand_perm_cam"
CAMERAS = 6


class Permutations:
    """The file `rand_perm_cam.mat` (MATLAB v5) of the dataset's evaluation code.

    A cell for each camera holds a cell for each identity, and that a matrix
    `[trials, images]` of 1-based permutations of the identity's images there, sorted by
    file name. Their number of columns is therefore the number of images.

    Args:
        file: where it lies.

    Raises:
        InputError: no such file, or one of another content.
    """

    def __init__(self, file: Path) -> None:
        from scipy.io import loadmat  # slow to import

        self.file = file
        if not file.is_file():
            raise self._refuse(
                "does not exist; it comes with the dataset's evaluation code, not with"
                " the images: name it in config.eval.permutations, or set"
                " config.eval.galleries=seeded"
            )
        try:
            cells = loadmat(file, variable_names=[KEY])[KEY].reshape(-1)
        except Exception as error:
            # SciPy raises nearly everything on a damaged file.
            raise self._refuse(f"cannot be read ({error}); restore it") from error
        if len(cells) != CAMERAS:
            raise self._refuse(f"has {len(cells)} cameras, not {CAMERAS}; restore it")
        self._cells = [cell.reshape(-1) for cell in cells]

    def order(self, camera: int, identity: int, trial: int) -> Int[np.ndarray, " n"]:
        """Return the 0-based order of an identity's images under a camera.

        Args:
            camera: 1 to 6.
            identity: as the dataset numbers it; nobody's images are none.
            trial: 0-based.

        Raises:
            InputError: the file holds no permutation there.
        """
        cells = self._cells[camera - 1]
        matrix = cells[identity - 1] if 0 < identity <= len(cells) else np.zeros((0, 0))
        if matrix.size == 0:
            return np.zeros(0, np.int64)
        row = np.asarray(matrix[trial] if trial < len(matrix) else (), np.int64) - 1
        if not np.array_equal(np.sort(row), np.arange(matrix.shape[1])):
            raise self._refuse(
                f"holds no permutation of identity {identity} under camera {camera} in"
                f" trial {trial + 1}; restore it"
            )
        return row

    def count(self, camera: int, identity: int) -> int:
        """Count the images of an identity under a camera."""
        return len(self.order(camera, identity, 0))

    def identities(self) -> int:
        """Return the largest identity of the file."""
        return max(len(cells) for cells in self._cells)

    def differences(self, records: Records) -> list[str]:
        """Name each identity and camera of which there are more or fewer images.

        Args:
            records: every image of the identities that matter.
        """
        pairs = np.stack([records.camera, records.identity])
        groups, counts = np.unique(pairs, axis=1, return_counts=True)
        found = dict(zip(map(tuple, groups.T.tolist()), counts.tolist(), strict=True))
        said = []
        for identity in np.unique(records.identity).tolist():
            for camera in range(1, CAMERAS + 1):
                there, listed = (
                    found.get((camera, identity), 0),
                    self.count(camera, identity),
                )
                if there != listed:
                    said.append(
                        f"cam{camera}/{identity:04d} holds {there} images, but"
                        f" {self.file.name} orders {listed}"
                    )
        return said

    def _refuse(self, cause: str) -> InputError:
        return InputError(f"{self.file} {cause}")
