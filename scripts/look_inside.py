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
parser.add_argument("--epochs", type=int, default=20, help="of the training (default: 20)")
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
# Accuracy on ImageNet in percent, the first guess and the first five: keras.io/api/applications;
# for AlexNet the ONNX model zoo, bvlcalexnet-12.
TOP_1_AND_5 = {
    **{"AlexNet": (54.8, 78.2), "VGG16": (71.3, 90.1), "VGG19": (71.3, 90.0)},
    **{"InceptionV3": (77.9, 93.7), "Xception": (79.0, 94.5), "InceptionResNetV2": (80.3, 95.3)},
    **{"ResNet50": (74.9, 92.1), "ResNet101": (76.4, 92.8), "ResNet152": (76.6, 93.1)},
    **{"ResNet50V2": (76.0, 93.0), "ResNet101V2": (77.2, 93.8), "ResNet152V2": (78.0, 94.2)},
    **{"MobileNet": (70.4, 89.5), "MobileNetV2": (71.3, 90.1), "DenseNet121": (75.0, 92.3)},
}
# Thousands of weights of GoogLeNet's modules in its table 1.
TABLE_1 = dict(zip(INCEPTION_FILTERS, (159, 380, 364, 437, 463, 580, 840, 1072, 1388), strict=True))


# %% How many parameters? The small networks last
def thumbnail_resnet(
    depth: int = 56,
    shortcuts: bool = True,
    classes: int = 10,
    activation: str = "relu",
    normalised: bool = True,
) -> Any:
    """Build the residual network for images of 32 x 32, or the same one without its shortcuts.

    He et al. 2016 (arXiv:1512.03385), section 4.2: three stages of 16, 32 and 64 filters 3 x 3, two
    layers a block, 6 n + 2 layers. If the size halves, the shortcut skips every other pixel and is
    padded with zeros: shortcuts have no weights, so both networks have the same number.
    """
    layers = keras.layers

    def convolution(x: Any, filters: int, stride: int) -> Any:
        options = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
        x = layers.Conv2D(filters, 3, stride, **options)(x)
        # momentum 0.9: the averages have to follow within the few steps of the last part
        return layers.BatchNormalization(momentum=0.9)(x) if normalised else x

    image = keras.Input((32, 32, 3))
    x = layers.Activation(activation)(convolution(image, 16, 1))
    for filters in (16, 32, 64):
        for block in range((depth - 2) // 6):
            stride = 2 if filters > 16 and block == 0 else 1
            y = layers.Activation(activation)(convolution(x, filters, stride))
            y = convolution(y, filters, 1)
            if stride == 2:
                x = layers.AveragePooling2D(1, stride)(x)
                x = layers.Concatenate()([x, layers.Rescaling(0.0)(x)])
            x = layers.Activation(activation)(layers.Add()([y, x]) if shortcuts else y)
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
print("parameters                    counted    paper, millions    top-1   top-5")
for name, count in sorted(counts.items(), key=lambda item: -item[1]):
    accuracies = "   ".join(f"{x:.1f}" for x in TOP_1_AND_5.get(name, ()))
    print(f"{name:<24} {count:>12,}    {PAPERS.get(name, '-'):<18} {accuracies}".rstrip())
print("top-1 and top-5 in percent: keras.io/api/applications; AlexNet: ONNX model zoo")


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


# %% Count the layers on the longest path from the image to the classes
def longest_path(network: Any, *kinds: type) -> int:
    """Count the layers of some kinds on the longest path."""
    lengths: dict[str, int] = {}
    for layer in network.layers:  # each comes after its inputs
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        before = (lengths.get(x._keras_history.operation.name, 0) for x in inputs)
        lengths[layer.name] = max(before, default=0) + isinstance(layer, kinds)
    return max(lengths.values())


with_weights = (keras.layers.Conv2D, keras.layers.Dense)
pooling = (keras.layers.MaxPooling2D, keras.layers.GlobalAveragePooling2D)
print("\nGoogLeNet, layers                here    paper")
print(f"with weights                       {longest_path(network, *with_weights)}    22")
print(f"and pooling                        {longest_path(network, *with_weights, *pooling)}    27")

# %% Global average pooling instead of dense layers on the last feature map
dense = 7 * 7 * 1024 * 1000 + 1000
average = network.get_layer("predictions").count_params()
print(f"\nthe last map 7 x 7 x 1024 to 1,000 classes: {dense:,} parameters by one dense layer,")
print(f"{average:,} after global average pooling")

# %% A convolution 1 x 1 mixes the channels of each pixel: here red, green and blue to grey
grey = keras.layers.Conv2D(1, 1, use_bias=False)
pixels = np.random.default_rng(args.seed).random((1, 4, 4, 3)).astype(np.float32)
grey.build(pixels.shape)
mixture = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
grey.set_weights([mixture.reshape(1, 1, 3, 1)])
by_hand = np.array([[pixel @ mixture for pixel in row] for row in pixels[0]])
difference = abs(np.asarray(grey(pixels))[0, :, :, 0] - by_hand).max()
print(f"\nconvolution 1 x 1 of RGB and by hand: largest difference {difference:.1g}")

# %% A residual block whose last convolution is zero is the identity
x = keras.Input((4, 4, 8))
block = keras.Model(x, dogsim.identity_block(x, [2, 2, 8], "block"))
last = block.get_layer("block_3_conv")
last.set_weights([np.zeros_like(weights) for weights in last.get_weights()])
maps = np.random.default_rng(args.seed).random((1, 4, 4, 8)).astype(np.float32)
print(f"identity block with zeros: largest change {abs(np.asarray(block(maps)) - maps).max():.1g}")


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
lengths: dict[bool, NDArray[np.float64]] = {}
print(f"\ngradient, first layer to last of {DEPTH - 1} convolutions")
for shortcuts, style in [(False, "o--"), (True, "s-")]:
    keras.utils.set_random_seed(args.seed)
    model = thumbnail_resnet(DEPTH, shortcuts, classes=int(labels.max()) + 1)
    norms = np.array(list(gradients(model, images, labels)))
    lengths[shortcuts] = norms
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


# %% Remedies for gradients that vanish or explode, without shortcuts
def ends(model: Any) -> NDArray[np.float64]:
    """Return the lengths of the gradient at the first and last convolution."""
    return np.array(list(gradients(model, images, labels)))[[0, -1]]


print("\ngradient of 20 layers without shortcuts    first     last    first / last")
for name, activation, normalised in [
    ("sigmoid", "sigmoid", False),
    ("ReLU", "relu", False),
    ("ReLU, batch normalisation", "relu", True),
]:
    keras.utils.set_random_seed(args.seed)
    model = thumbnail_resnet(20, False, int(labels.max()) + 1, activation, normalised)
    first, end = ends(model)
    print(f"{name:<38} {first:9.2g}{end:9.2g}{first / end:12.2g}")
plain = lengths[False]  # Keras: clipnorm=1 of an optimiser clips each variable
largest = f"{plain.max():.3g} before, {np.minimum(plain, 1).max():.3g} after"
print(f"largest gradient of {DEPTH} layers, clipped to length 1: {largest}")


# %% Does a deeper network learn more? The error of the training images, plain and residual
def training_error(depth: int, shortcuts: bool, epochs: int) -> float:
    """Train on the thumbnails and return the fraction of wrong classes."""
    keras.utils.set_random_seed(args.seed)
    model = thumbnail_resnet(depth, shortcuts, classes=int(labels.max()) + 1)
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    model.fit(images, labels, 20, epochs, verbose=0)
    found = np.asarray(model(images, training=False)).argmax(axis=1)
    return float(np.mean(found != labels))


print(f"\nerror after {args.epochs} epochs    plain    residual")
for depth in (8, 20, 32):
    errors = [training_error(depth, shortcuts, args.epochs) for shortcuts in (False, True)]
    print(f"{depth:>3} layers               {errors[0]:.2f}     {errors[1]:.2f}")
