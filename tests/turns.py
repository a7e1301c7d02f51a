"Directions of scanners' grids"

import numpy as np


def rotated(*degrees):
    "A matrix that turns about the three axes, one after the other"
    matrix = np.eye(3)
    for (p, q), angle in zip([(1, 2), (0, 2), (0, 1)], np.radians(degrees)):
        turn = np.eye(3)
        turn[[p, q], [p, q]], turn[p, q], turn[q, p] = np.cos(angle), -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix
