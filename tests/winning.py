"Labels compared with scores: exactly, but where two scores differ by rounding only"

import numpy as np


def assert_winning(
    labels,  # `(*S)`
    scores,  # `(K, *S)`
    atol=1e-5,  # differences that come from the order of additions
):
    "Each pixel's label has the highest score"
    labels = np.asarray(labels)
    scores = np.asarray(scores)
    assert labels.shape == scores.shape[1:]
    chosen = np.take_along_axis(scores, labels[None].astype(np.int64), 0)[0]
    assert (scores.max(0) - chosen).max() <= atol
