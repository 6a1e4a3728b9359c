"""What a network is made of: parameters counted, and what shortcuts do for the gradient.

python scripts/look_inside.py --save figures
python scripts/look_inside.py --all                   # count all networks that Keras has: a minute
"""

# %%
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import dogsim
from dogsim.engines._keras import import_keras  # without TensorFlow's messages
from dogsim.learning.architectures import INCEPTION_FILTERS
from edge import options, parser_of, show

# %% Options
parser = parser_of(__doc__)
parser.add_argument("--all", action="store_true", help="count all networks that Keras has")
parser.add_argument(
    "--networks",
    nargs="*",
    default=["VGG16", "InceptionV3", "ResNet50", "DenseNet121"],
    help="networks of Keras to count (default: VGG16 InceptionV3 ResNet50 DenseNet121)",
)
args = options(parser)
keras = import_keras()

# %% The numbers in the papers
# Millions of parameters; a dash stands for a paper without a number.
PAPERS = {
    **{"AlexNet": "60", "GoogLeNet": "6.8", "VGG16": "138", "VGG19": "144", "InceptionV3": "< 25"},
    **{"ResNet-56 of thumbnails": "0.85", "Xception": "22.9", "MobileNet": "4.2"},
    **{"MobileNetV2": "3.4", "MobileNetV3Small": "2.5", "MobileNetV3Large": "5.4"},
    **{"DenseNet201": "20", "NASNetMobile": "5.3", "NASNetLarge": "88.9"},
    **{"EfficientNetB0": "5.3", "EfficientNetB1": "7.8", "EfficientNetB2": "9.2"},
    **{"EfficientNetB3": "12", "EfficientNetB4": "19", "EfficientNetB5": "30"},
    **{"EfficientNetB6": "43", "EfficientNetB7": "66", "EfficientNetV2S": "22"},
    **{"EfficientNetV2M": "54", "EfficientNetV2L": "120", "ConvNeXtTiny": "29"},
    **{
        "ConvNeXtSmall": "50",
        "ConvNeXtBase": "89",
        "ConvNeXtLarge": "198",
        "ConvNeXtXLarge": "350",
    },
}
# Thousands of weights of GoogLeNet's modules in its table 1.
TABLE_1 = dict(zip(INCEPTION_FILTERS, (159, 380, 364, 437, 463, 580, 840, 1072, 1388), strict=True))


# %% How many parameters? The small networks last
def thumbnail_resnet(depth: int = 56, shortcuts: bool = True, classes: int = 10) -> Any:
    """Build the residual network for images of 32 x 32, or the same one without its shortcuts.

    He et al. 2016 (arXiv:1512.03385), section 4.2: three stages of 16, 32 and 64 filters 3 x 3, two
    layers a block, 6 n + 2 layers. If the size halves, the shortcut skips every other pixel and is
    padded with zeros: shortcuts have no weights, so both networks have the same number.
    """
    layers = keras.layers

    def convolution(x: Any, filters: int, stride: int) -> Any:
        options = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
        return layers.BatchNormalization()(layers.Conv2D(filters, 3, stride, **options)(x))

    image = keras.Input((32, 32, 3))
    x = layers.ReLU()(convolution(image, 16, 1))
    for filters in (16, 32, 64):
        for block in range((depth - 2) // 6):
            stride = 2 if filters > 16 and block == 0 else 1
            y = convolution(layers.ReLU()(convolution(x, filters, stride)), filters, 1)
            if stride == 2:
                x = layers.AveragePooling2D(1, stride)(x)
                x = layers.Concatenate()([x, layers.Rescaling(0.0)(x)])
            x = layers.ReLU()(layers.Add()([y, x]) if shortcuts else y)
    x = layers.Dense(classes, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, x)


builders: dict[str, Callable[[], Any]] = {
    "AlexNet": dogsim.alexnet,
    "GoogLeNet": dogsim.googlenet,
    "ResNet-56 of thumbnails": thumbnail_resnet,
}
for name, function in inspect.getmembers(keras.applications, inspect.isfunction):
    if args.all or name in args.networks:
        builders[name] = partial(function, weights=None)
counts = {}
for name, build in builders.items():
    counts[name] = build().count_params()
    keras.utils.clear_session()
print("parameters                    counted    paper, millions")
for name, count in sorted(counts.items(), key=lambda item: -item[1]):
    print(f"{name:<24} {count:>12,}    {PAPERS.get(name, '-')}")


# %% Layers and work of the network that finds the dogs
def multiply_adds(layer: Any) -> int:
    """Count the multiply-adds of a convolution for one image."""
    kernel, (_, height, width, _) = layer.kernel.shape, layer.output.shape
    return int(np.prod(kernel) * height * width)


network = dogsim.resnet50()
convolutions = [x for x in network.layers if isinstance(x, keras.layers.Conv2D)]
main_path = [x for x in convolutions if not x.name.endswith("_0_conv")]
work = sum(multiply_adds(layer) for layer in convolutions) + 2048 * 1000
print("\nResNet-50                        here    paper")
print(f"layers with weights                {len(main_path) + 1}    50")
print(f"multiply-adds                  {work / 1e9:.2f} G    3.8 G")

# %% The weights of each module of GoogLeNet: few, though it has four parallel paths
network = dogsim.googlenet()
print("\nGoogLeNet, weights               here    paper")
for name, paper in TABLE_1.items():
    layers = (x for x in network.layers if x.name.startswith(f"inception_{name}"))
    count = sum(w.size for layer in layers for w in layer.get_weights() if w.ndim == 4)
    print(f"inception {name}                {count:>9,}    {paper} K")


# %% The length of the gradient of the loss at each of 56 layers, before training
def thumbnails() -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Load a fifth of the sample as pixels of 32 x 32, from -1 to 1, with their labels."""
    dataset = dogsim.sample_dataset()
    rows = range(0, len(dataset), 5)
    images = np.stack([dogsim.load_image(dataset.image_file(row), 32) for row in rows])
    return images.astype(np.float32) / 127.5 - 1, dataset.labels[::5]


def gradients(
    model: Any, images: NDArray[np.float32], labels: NDArray[np.int32]
) -> Iterator[float]:
    """Yield the length of the gradient for each convolution, first layer first."""
    import tensorflow as tf

    kernels = [x.kernel.value for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    with tf.GradientTape() as tape:
        probabilities = model(images, training=True)
        loss = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
        loss = tf.reduce_mean(loss)
    for gradient in tape.gradient(loss, kernels):
        yield float(tf.norm(gradient))


# Your turn: another depth, 6 n + 2 layers
DEPTH = 56
images, labels = thumbnails()
figure = Figure(figsize=(8, 4.5), layout="constrained")
axes = figure.subplots()
print(f"\ngradient, first layer to last of {DEPTH - 1} convolutions")
for shortcuts, style in [(False, "o--"), (True, "s-")]:
    keras.utils.set_random_seed(args.seed)
    model = thumbnail_resnet(DEPTH, shortcuts, classes=int(labels.max()) + 1)
    norms = np.array(list(gradients(model, images, labels)))
    name = "with shortcuts" if shortcuts else "without"
    print(f"{name:<15} {norms[0]:.3g} to {norms[-1]:.3g}: {norms[0] / norms[-1]:,.1f} times")
    axes.semilogy(np.arange(1, len(norms) + 1), norms, style, markersize=4, label=name)
axes.set(
    xlabel="convolution, from the image to the classes",
    ylabel="length of the gradient",
    title=f"{DEPTH} layers before training: the gradient at each of them",
)
axes.legend()
show("gradient-norms", figure, args)
