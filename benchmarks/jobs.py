"""What is measured: the same images, values and networks for everyone."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import torch
from PIL import Image

SIZE = 256


def unet(seed=0, widths=(16, 32, 64, 128), dims=2):
    "A U-Net, small if not told otherwise, as users write it: float32, channels first, evaluation mode"
    from torch import nn

    flat = nn.Conv2d, nn.BatchNorm2d, nn.ConvTranspose2d, nn.MaxPool2d
    deep = nn.Conv3d, nn.BatchNorm3d, nn.ConvTranspose3d, nn.MaxPool3d
    convolution, norm, transposed, pool = flat if dims == 2 else deep

    def layers(i, o):
        return [convolution(i, o, 3, padding=1), norm(o), nn.ReLU(inplace=True)]

    def block(i, o):
        return nn.Sequential(*layers(i, o), *layers(o, o))

    class UNet(nn.Module):
        def __init__(self, classes=4):
            super().__init__()
            self.down = nn.ModuleList(block(i, o) for i, o in zip((1, *widths[:-1]), widths))
            self.up = nn.ModuleList(transposed(i, o, 2, stride=2) for i, o in zip(widths[:0:-1], widths[-2::-1]))
            self.join = nn.ModuleList(block(2 * o, o) for o in widths[-2::-1])
            self.head = convolution(widths[0], classes, 1)
            self.pool = pool(2)

        def forward(self, x):
            skips = []
            for i, down in enumerate(self.down):
                x = down(x if i == 0 else self.pool(x))
                skips.append(x)
            for up, join, skip in zip(self.up, self.join, skips[-2::-1]):
                x = join(torch.cat([up(x), skip], 1))
            return self.head(x)

    torch.manual_seed(seed)
    net = UNet()
    with torch.no_grad():
        for m in net.modules():  # as after training: statistics that are not 0 and 1
            if isinstance(m, norm):
                m.running_mean.normal_(0, 0.1)
                m.running_var.uniform_(0.5, 1.5)
                m.weight.uniform_(0.5, 1.5)
                m.bias.normal_(0, 0.1)
    return net.eval()


def trained():
    "The U-Net that ships with misas, also where misas 0.1.1 is installed: for pictures, with masks as people have them"
    from safetensors.torch import load_file

    # by its file: where misas 0.1.1 is installed, `import misas` finds that one
    folder = Path(__file__).parents[1] / "misas" / "models"
    spec = spec_from_file_location("demo", folder / "demo.py")
    demo = module_from_spec(spec)
    spec.loader.exec_module(demo)
    net = demo.UNet()
    weights = load_file(folder / "weights" / "demo.safetensors")
    net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
    return net.eval()


class Wrapper:
    "The model as misas 0.1.1 wants it: one PIL image in, one PIL mask out"

    def __init__(self, net, cheap=False):
        self.net, self.cheap = net, cheap

    def prepareSize(self, item):
        return item.resize((SIZE, SIZE))

    def predict(self, image):
        x = torch.from_numpy(np.array(image.convert("L"))).float()[None, None] / 255
        with torch.no_grad():
            out = self.net(x)
        labels = out.max(1).indices if self.cheap else out.argmax(1)
        return Image.fromarray(labels[0].numpy().astype(np.uint8))


# name: (values, function of misas 0.1.1, its arguments that give these values)
STEPS = {
    "rotation": (list(range(0, 360, 5)), "eval_rotation_series", dict(start=0, end=360, step=5)),
    "crop": (list(range(0, 120, 5)), "eval_crop_series", dict(start=0, end=120, step=5)),
    "brightness": ([k / 20 for k in range(1, 20)] + [1], "eval_bright_series", dict(start=0.05, end=1.01, step=0.05)),
    "contrast": ([k / 4 for k in range(1, 25)], "eval_contrast_series", dict(start=0.25, end=6.1, step=0.25)),
    "zoom": ([1 + k / 10 for k in range(10)], "eval_zoom_series", dict(start=0, end=1, step=0.1)),
    "dihedral": (list(range(8)), "eval_dihedral_series", dict(start=0, end=8, step=1)),
    "resize": (list(range(22, 3000, 100)), "eval_resize_series", dict(start=22, end=3000, step=100)),
    "spike": ([k / 10 for k in range(25)], "eval_spike_series", dict(start=0, end=2.5, step=0.1)),
    "spike-position": ([k / 10 for k in range(1, 9)], "eval_spike_pos_series", dict(start=0.1, end=0.9, step=0.1)),
    "biasfield": ([-k / 20 for k in range(11)], "eval_biasfield_series", dict(start=0, end=-0.55, step=-0.05)),
}
