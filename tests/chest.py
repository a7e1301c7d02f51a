"A slice through a chest, for the artefacts of CT"

import numpy as np

from misas.core.cases import Case

ELLIPSES = [  # row, column, radius, radius in mm from the centre; HU; label
    (0, 0, 130, 185, -90, 0),
    (0, 0, 115, 168, 45, 0),
    (-5, -82, 88, 60, -830, 1),
    (-5, 82, 88, 60, -830, 1),
    (-22, 18, 62, 66, 50, 2),
    (84, 0, 24, 22, 450, 3),
    (-104, 0, 8, 26, 300, 3),
]


def chest(n=96, spacing=4.0):
    "A slice through a chest; labels: lungs 1, heart 2, bone 3"
    row, col = (np.indices((n, n)) - (n - 1) / 2) * spacing
    image = np.full((n, n), -1000.0, np.float32)
    mask = np.zeros((n, n), int)
    for r, c, a, b, hu, label in ELLIPSES:
        inside = ((row - r) / a) ** 2 + ((col - c) / b) ** 2 <= 1
        image[inside] = hu
        mask[inside] = label
    return Case(image[None], mask, "chest", (spacing, spacing), scale=(-1024, 1500))
