"""How features were made: what a query must share with the dataset it is asked of."""

from dataclasses import asdict, dataclass
from hashlib import sha256

from dogsim.errors import DogsimError

HEAD = (  # not in older files
    *("head", "head_sha256", "boxes", "margin", "views", "head_layer"),
    *("mean", "std"),
)
DECISIVE = (
    *("backbone", "weights_sha256", "layer", "image_size", "resize", "views"),
    *("head_sha256", "head_layer", "mean", "std"),
)
# Fingerprints are those of before where it is so.
LATER = {"views": "none", "head_layer": "", "mean": "", "std": ""}


@dataclass(frozen=True)
class Recipe:
    """From which network, weights, layer and kind of picture features come.

    Attributes
    ----------
    backbone : str
        A name of `dogsim.BACKBONES`, ``"onnx"`` or ``"hub:PRESET"``.
    weights : str
        ``"imagenet"`` or the path of the weight file that was used.
    weights_sha256 : str
        SHA-256 of the weight file: paths differ between machines, the hash does not.
    layer : str
        The layer whose output the features are.
    image_size : int
        Height and width of the network's input, pixels.
    resize : str
        ``"squash"`` or ``"crop"``, see `dogsim.load_image`.
    views : str
        In which views each picture was seen, one of `dogsim.networks.views.VIEWS`.
    engine, precision : str
        What computed the features. For information: they change rounding, not meaning.
    head, head_sha256 : str
        The file of the learned embedding that the layer's output went through, see
        `dogsim.project`, and its SHA-256. Empty where there is none.
    head_layer : str
        The layer of the head whose output the features are, empty for its last one.
    mean, std : str
        What a network that does not know it itself, of an ONNX file, wants taken off and divided
        by: three numbers for red, green and blue from 0 to 1. Empty for the others.
    boxes : str
        The folder of bounding boxes that pictures were cropped to, empty for whole pictures. For
        information: the same network sees them, and each picture's box stands with its features.
    margin : float
        What was added to each side of a box, in parts of its width and height.
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
        """Sixteen hexadecimal digits: the same for features that can be compared, else others."""
        values = asdict(self)
        names = [name for name in DECISIVE if name not in LATER or values[name] != LATER[name]]
        return sha256(repr([values[name] for name in names]).encode()).hexdigest()[:16]

    def require(self, other: "Recipe", what: str, names: tuple[str, ...] = DECISIVE) -> None:
        """Raise `DogsimError` unless features of `other` can be compared with ours.

        `names` are the attributes that have to be the same.

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
