"""The backbone that is used if none is named."""

from functools import cache

from dogsim.networks.backbones import find_backbone
from dogsim.networks.weights import OFFLINE_BACKBONE, WeightsUnavailableError
from dogsim.plumbing.terminal import note

DEFAULT_BACKBONE = "resnet50"


@cache
def default_backbone() -> str:
    """Return the name of the backbone that is used if none is named.

    It is ``resnet50``, or, if its ImageNet weights are not cached and cannot be downloaded,
    `OFFLINE_BACKBONE`; a note says so. The download is tried once in a process, so that all its
    features are those of one network.
    """
    backbone = find_backbone(DEFAULT_BACKBONE)
    if backbone.imagenet_file() is None:
        try:
            backbone.build_imagenet(top=False, name=DEFAULT_BACKBONE)
        except WeightsUnavailableError as error:
            note(f"{error.problem} {OFFLINE_BACKBONE} is used, whose weights are installed.")
            return OFFLINE_BACKBONE
    return DEFAULT_BACKBONE
