"""How features were made: what a query must share with its dataset."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, TypeAlias

from dogsim.errors import DogsimError

# Features can be compared if these fields of their recipes are equal.
DECISIVE_FIELDS = (
    *("backbone", "weights_sha256", "layer", "image_size", "resize", "views"),
    *("head_sha256", "head_layer", "mean", "std"),
)
# Fields that older files do not have.
OPTIONAL_FIELDS = ("head", "head_sha256", "boxes", "margin", "views", "head_layer", "mean", "std")
# Not in the fingerprint if they have these values, so that older fingerprints do not change.
DEFAULTS_OF_NEW_FIELDS = {"views": "none", "head_layer": "", "mean": "", "std": ""}

Channels: TypeAlias = tuple[float, float, float]  # red, green, blue
ChannelValues: TypeAlias = float | Channels  # one number stands for three


@dataclass(frozen=True)
class Recipe:
    """How features were made: the network, its weights and layer, and the form of the images.

    Attributes
    ----------
    backbone : str
        A name of `dogsim.BACKBONES`, ``"onnx"`` or ``"hub:PRESET"``.
    weights : str
        ``"imagenet"`` or the path of the weight file.
    weights_sha256 : str
        SHA-256 of the weight file: paths differ between machines, the hash does not.
    layer : str
        The layer whose output the features are.
    image_size : int
        Height and width of the network's input, pixels.
    resize : str
        ``"squash"``, ``"crop"`` or ``"pad"``, see `dogsim.load_image`.
    views : str
        The views of each image whose features are averaged, one of `dogsim.networks.views.VIEWS`.
    engine, precision : str
        The library and number format that computed the features. They are not compared, because
        they only change the rounding.
    head, head_sha256 : str
        The file of the learned embedding that maps the output of the layer to the features, see
        `dogsim.project`, and its SHA-256. Empty without one.
    head_layer : str
        The layer of the head whose output the features are; empty for the last one.
    mean, std : str
        For a network of an ONNX file: the mean that is subtracted from the image and the standard
        deviation that it is divided by, three numbers for red, green and blue from 0 to 1. Empty
        for other networks.
    boxes : str
        The folder of bounding boxes to which images were cropped; empty for whole images. It is not
        compared, because the network is the same and the dataset stores the box of each image.
    margin : float
        The fraction of the width and height of a box that was added to each side.
    """

    backbone: str
    weights: str
    weights_sha256: str
    layer: str
    image_size: int
    resize: str = "squash"
    engine: str = "tensorflow"
    precision: str = "float32"
    head: str = ""
    head_sha256: str = ""
    boxes: str = ""
    margin: float = 0.0
    views: str = "none"
    head_layer: str = ""
    mean: str = ""
    std: str = ""

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits; equal if and only if features can be compared."""
        values, defaults = asdict(self), DEFAULTS_OF_NEW_FIELDS
        names = [name for name in DECISIVE_FIELDS if defaults.get(name) != values[name]]
        return sha256(repr([values[name] for name in names]).encode()).hexdigest()[:16]

    def require(self, other: "Recipe", what: str, names: tuple[str, ...] = DECISIVE_FIELDS) -> None:
        """Raise `DogsimError` unless features of `other` can be compared with those of this recipe.

        Parameters
        ----------
        other : Recipe
        what : str
            What has the recipe `other`, for the message.
        names : tuple of str
            The fields that have to be equal.

        >>> mine = Recipe("resnet50", "imagenet", "ab12", "avg_pool", 224)
        >>> mine.require(Recipe("vgg16", "imagenet", "cd34", "avg_pool", 224), "the query")
        Traceback (most recent call last):
        dogsim.errors.DogsimError: Received the query with backbone=vgg16, weights_sha256=cd34. \
The dataset needs backbone=resnet50, weights_sha256=ab12.
        """
        needed, received = asdict(self), asdict(other)
        differing = [name for name in names if needed[name] != received[name]]
        if differing:
            got, want = (
                ", ".join(f"{name}={str(values[name])[:16] or 'none'}" for name in differing)
                for values in (received, needed)
            )
            raise DogsimError(f"Received {what} with {got}. The dataset needs {want}.")


def channel_text(values: Channels) -> str:
    """Return the values of red, green and blue as text, the form in which recipes store them.

    >>> channel_text((0.485, 0.456, 1 / 255))
    '0.485,0.456,0.00392156863'
    """
    return ",".join(f"{value:.9g}" for value in values)


def with_channel_numbers(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a recipe, or options, with their mean and std as numbers instead of text.

    >>> with_channel_numbers({"mean": "0.5", "std": "0.2, 0.25, 1/4", "image_size": 8})
    {'mean': (0.5, 0.5, 0.5), 'std': (0.2, 0.25, 0.25), 'image_size': 8}
    """
    names = [name for name in ("mean", "std") if name in fields]
    return {**fields, **{name: _parse_channels(name, fields[name]) for name in names}}


def _parse_channels(name: str, text: str) -> Channels:
    try:
        parts = [part.partition("/") for part in text.split(",")]
        numbers = [float(over) / float(under or 1) for over, _, under in parts]
        red, green, blue = numbers * 3 if len(numbers) == 1 else numbers
    except (ValueError, ZeroDivisionError):
        raise DogsimError(
            f"Received {name}={text}. Expected one number, or three for red, green and blue, such "
            "as 0.485,0.456,0.406 or 1/255."
        ) from None
    return red, green, blue
