"""Runs the model and nothing else, without misas: one line of JSON in, one out."""

import json
import sys
import time

import numpy as np
import torch
from jobs import unet


def eager(net, images):
    "As most users write it"
    with torch.no_grad():
        for x in images:
            net(x[None]).argmax(1)


def best(net, images):
    "The fastest way to write it"
    with torch.inference_mode():
        for x in images:
            _ = net(x[None].contiguous(memory_format=torch.channels_last)).max(1).indices


def main():
    torch.set_num_threads(int(sys.argv[2]))
    image = torch.from_numpy(np.load(sys.argv[1])["image"]).float()[None] / 255
    loops = {"eager": (eager, unet()), "best": (best, unet().to(memory_format=torch.channels_last))}
    for line in sys.stdin:
        job = json.loads(line)
        loop, net = loops[job["name"]]
        images = [image] * job["n"]
        start = time.perf_counter()
        loop(net, images)
        print(json.dumps(time.perf_counter() - start), flush=True)


main()
