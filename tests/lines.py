"A model whose score is a known function of a transform's value, for limits in closed form"

import numpy as np
import torch

from misas.core.cases import Case
from misas.core.transform import as_transform

PIXELS = 400


def marked(name="tilt", neutral=0, values=(-180, 180), log=False):
    "A transform that does nothing but write its value into a corner"

    def write(image, value):
        image[..., 0, 0] = value
        return image

    return as_transform(write, name=name, param="deg", unit="°", neutral=neutral, values=values, log=log)


def scored_by(curve, neutral=0):
    "A model whose Dice at each value is `curve(value)`"

    def model(image):
        corner = float(np.asarray(image)[..., 0, 0].squeeze())
        dice = curve(neutral if corner == -999 else corner)
        mask = np.zeros((2, PIXELS), np.int32)
        mask[1].flat[: round(PIXELS * dice / (2 - dice))] = 1
        return mask

    return model


def line_case(name="line"):
    image = torch.zeros(1, 2, PIXELS)
    image[0, 0, 0] = -999
    truth = torch.zeros(2, PIXELS, dtype=torch.int32)
    truth[1] = 1
    return Case(image, truth, name, spacing=(1, 1), scale=(0, 1))
