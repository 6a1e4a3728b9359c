"""What is a network made of? Parameters counted, and what shortcuts do for the gradient.

python scripts/look_inside.py --save figures
python scripts/look_inside.py --all                   # count all networks that Keras has: a minute
python scripts/look_inside.py --solutions             # also the solutions of the exercises
"""

# %% [markdown]
# # 7. Inside a network
#
# 45 minutes: run 10, read 10, exercises 20, talk 5. Prerequisite: you know what a convolution is.
#
# The features of the other lessons come from a network. Here we open it: how many numbers it has
# learned, where its work is, and why a network of 50 layers can be trained at all. The numbers of
# the papers stand beside the counted ones.

# %%
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from matplotlib.figure import Figure
from numpy.typing import NDArray

import dogsim
from dogsim.engines.tensorflow import import_keras  # without TensorFlow's messages
from dogsim.learning.architectures import INCEPTION_FILTERS

keras = import_keras()

# %% [markdown]
# ## The numbers in the papers

# %%
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


# %% [markdown]
# ## Functions
#
# A residual network for small images, and functions that count its layers and work and measure its
# gradients. Skip them at the first reading.


# %%
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


# %%
def multiply_adds(layer: Any) -> int:
    """Count the multiply-adds of a convolution for one image."""
    kernel, (_, height, width, _) = layer.kernel.shape, layer.output.shape
    return int(np.prod(kernel) * height * width)


def longest_path(network: Any, *kinds: type) -> int:
    """Count the layers of some kinds on the longest path."""
    lengths: dict[str, int] = {}
    for layer in network.layers:  # each comes after its inputs
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        before = (lengths.get(x._keras_history.operation.name, 0) for x in inputs)
        lengths[layer.name] = max(before, default=0) + isinstance(layer, kinds)
    return max(lengths.values())


# %%
def thumbnails() -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Load a fifth of the sample as pixels of 32 x 32, from -1 to 1, with their labels."""
    dataset = dogsim.sample_dataset(backbone="efficientnet-lite2")
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


def training_error(
    depth: int,
    shortcuts: bool,
    epochs: int,
    images: NDArray[np.float32],
    labels: NDArray[np.int32],
    seed: int = 0,
) -> float:
    """Train on the thumbnails and return the fraction of wrong classes."""
    keras.utils.set_random_seed(seed)
    model = thumbnail_resnet(depth, shortcuts, classes=int(labels.max()) + 1)
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    model.fit(images, labels, 20, epochs, verbose=0)
    found = np.asarray(model(images, training=False)).argmax(axis=1)
    return float(np.mean(found != labels))


# %%
def main(
    networks: Annotated[
        str, typer.Option(help="Networks of Keras to count, NAME,NAME.")
    ] = "VGG16,InceptionV3,ResNet50,DenseNet121",
    every: Annotated[
        bool, typer.Option("--all", help="Count all networks that Keras has.")
    ] = False,
    epochs: Annotated[int, typer.Option(help="Epochs of the training.")] = 20,
    save: Annotated[Path | None, typer.Option(help="Folder to save the figure to.")] = None,
    seed: int = 0,
    solutions: Annotated[
        bool, typer.Option("--solutions", help="Run the solutions of the exercises as well.")
    ] = False,
) -> None:
    """Run the lesson."""
    # %% [markdown]
    # ## How many parameters?
    #
    # More parameters do not make the accuracy on ImageNet higher. The counts agree with the papers.

    # %%
    builders: dict[str, Callable[[], Any]] = {
        "AlexNet": dogsim.alexnet,
        "GoogLeNet": dogsim.googlenet,
        "ResNet-56 of thumbnails": thumbnail_resnet,
    }
    for name, function in inspect.getmembers(keras.applications, inspect.isfunction):
        if every or name in networks.split(","):
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

    # %% [markdown]
    # ## The work of the network that finds the dogs
    #
    # ResNet-50 is built from blocks: `identity_block(x, [64, 64, 256])` and `convolution_block`.
    # Most of the 50 layers are convolutions. A multiply-add is a multiplication and an addition.

    # %%
    network = dogsim.resnet50()
    convolutions = [x for x in network.layers if isinstance(x, keras.layers.Conv2D)]
    main_path = [x for x in convolutions if not x.name.endswith("_0_conv")]
    additions = sum(multiply_adds(layer) for layer in convolutions) + 2048 * 1000
    print("ResNet-50                        here    paper")
    print(f"layers with weights                {len(main_path) + 1}    50")
    print(f"multiply-adds                  {additions / 1e9:.2f} G    3.8 G")

    # %% [markdown]
    # ## The modules of GoogLeNet
    #
    # A module, `inception_module(x, 64, 96, 128, 16, 32, 32)`, has four parallel paths but few
    # weights. In units of 1,024 they are within 2 % of the paper's table 1, except 4c (463 K there,
    # 498 K by its filters) and 5a (1,072 K there, 1,018 K). Its 22 layers with weights are counted
    # on the longest path from the image to the classes.

    # %%
    network = dogsim.googlenet()
    print("GoogLeNet, weights               here    paper")
    for name, paper in TABLE_1.items():
        layers = (x for x in network.layers if x.name.startswith(f"inception_{name}"))
        count = sum(w.size for layer in layers for w in layer.get_weights() if w.ndim == 4)
        print(f"inception {name}                {count:>9,}    {paper} K")
    with_weights = (keras.layers.Conv2D, keras.layers.Dense)
    pooling = (keras.layers.MaxPooling2D, keras.layers.GlobalAveragePooling2D)
    print("\nGoogLeNet, layers                here    paper")
    print(f"with weights                       {longest_path(network, *with_weights)}    22")
    print(
        f"and pooling                        {longest_path(network, *with_weights, *pooling)}    27"
    )

    # %% [markdown]
    # ## Three small facts
    #
    # Global average pooling needs far fewer parameters than a dense layer on the last feature map.
    # A convolution 1 x 1 mixes the channels of each pixel, here red, green and blue to grey. And a
    # residual block whose last convolution is zero changes nothing: a deeper network can always do
    # what a shallower one does.

    # %%
    dense = 7 * 7 * 1024 * 1000 + 1000
    average = network.get_layer("predictions").count_params()
    print(f"the last map 7 x 7 x 1024 to 1,000 classes: {dense:,} parameters by one dense layer,")
    print(f"{average:,} after global average pooling")
    grey = keras.layers.Conv2D(1, 1, use_bias=False)
    pixels = np.random.default_rng(seed).random((1, 4, 4, 3)).astype(np.float32)
    grey.build(pixels.shape)
    mixture = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
    grey.set_weights([mixture.reshape(1, 1, 3, 1)])
    by_hand = np.array([[pixel @ mixture for pixel in row] for row in pixels[0]])
    difference = abs(np.asarray(grey(pixels))[0, :, :, 0] - by_hand).max()
    print(f"convolution 1 x 1 of RGB and by hand: largest difference {difference:.1g}")
    x = keras.Input((4, 4, 8))
    block = keras.Model(x, dogsim.identity_block(x, [2, 2, 8], "block"))
    last = block.get_layer("block_3_conv")
    last.set_weights([np.zeros_like(weights) for weights in last.get_weights()])
    maps = np.random.default_rng(seed).random((1, 4, 4, 8)).astype(np.float32)
    change = abs(np.asarray(block(maps)) - maps).max()
    print(f"identity block with zeros: largest change {change:.1g}")

    # %% [markdown]
    # ## The gradient at each of 56 layers, before training
    #
    # Without shortcuts the gradient is 200 to 300 times longer at the first layer than at the last.
    # Batch normalisation keeps the signal from vanishing, but not the gradient from exploding. No
    # learning rate suits all layers. With shortcuts all gradients have the same length within a
    # factor of 7.

    # %%
    depth = 56  # Your turn: another depth, 6 n + 2 layers
    images, labels = thumbnails()
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    lengths: dict[bool, NDArray[np.float64]] = {}
    print(f"gradient, first layer to last of {depth - 1} convolutions")
    for shortcuts, style in [(False, "o--"), (True, "s-")]:
        keras.utils.set_random_seed(seed)
        model = thumbnail_resnet(depth, shortcuts, classes=int(labels.max()) + 1)
        norms = np.array(list(gradients(model, images, labels)))
        lengths[shortcuts] = norms
        name = "with shortcuts" if shortcuts else "without"
        print(f"{name:<15} {norms[0]:.3g} to {norms[-1]:.3g}: {norms[0] / norms[-1]:,.1f} times")
        axes.semilogy(np.arange(1, len(norms) + 1), norms, style, markersize=4, label=name)
    axes.set(
        xlabel="convolution, from the image to the classes",
        ylabel="length of the gradient",
        title=f"{depth} layers before training: the gradient at each of them",
    )
    axes.legend()
    for path in dogsim.show_or_save([("gradient-norms", figure)], save):
        dogsim.say(str(path))

    # %% [markdown]
    # ## Remedies without shortcuts
    #
    # A sigmoid, whose slope is at most 1/4, makes the gradient of 20 layers vanish. ReLU and batch
    # normalisation keep it. Clipping bounds a gradient that is too long (in Keras `clipnorm=1` of
    # an optimiser).

    # %%
    print("gradient of 20 layers without shortcuts    first     last    first / last")
    for name, activation, normalised in [
        ("sigmoid", "sigmoid", False),
        ("ReLU", "relu", False),
        ("ReLU, batch normalisation", "relu", True),
    ]:
        keras.utils.set_random_seed(seed)
        model = thumbnail_resnet(20, False, int(labels.max()) + 1, activation, normalised)
        norms = np.array(list(gradients(model, images, labels)))
        print(f"{name:<38} {norms[0]:9.2g}{norms[-1]:9.2g}{norms[0] / norms[-1]:12.2g}")
    plain = lengths[False]
    largest = f"{plain.max():.3g} before, {np.minimum(plain, 1).max():.3g} after"
    print(f"largest gradient of {depth} layers, clipped to length 1: {largest}")

    # %% [markdown]
    # ## Does a deeper network learn more?
    #
    # The error on the training images, of plain and residual networks. Of 20 layers it is 0.02 and
    # 0.00, of 32 layers 0.37 and 0.00. The deep plain network does not overfit: it fails to learn
    # even its training images.

    # %%
    print(f"error after {epochs} epochs    plain    residual")
    for layers_of in (8, 20, 32):
        errors = [
            training_error(layers_of, shortcuts, epochs, images, labels, seed)
            for shortcuts in (False, True)
        ]
        print(f"{layers_of:>3} layers               {errors[0]:.2f}     {errors[1]:.2f}")

    # %% tags=["script"]
    if solutions:
        bottleneck()
        reductions()
        work()


# %% [markdown]
# ## Exercises
#
# Write down what you expect, then run, then vary. The solutions are folded: try first.
#
# ### Exercise 1: a block by hand
#
# *Expect:* an identity block of ResNet-50 takes 256 channels through convolutions 1 x 1 to 64,
# 3 x 3 to 64 and 1 x 1 to 256, each with biases and batch normalisation (four numbers per channel).
# How many parameters? How many weights would two convolutions 3 x 3 of 256 channels have?
#
# *Vary:* `convolution_block`. Where do the additional 16,384 + 256 + 1,024 come from?

# %% tags=["exercise"]
# Your code


# %% tags=["solution"]
def bottleneck() -> None:
    """Count the parameters of an identity block of ResNet-50 by hand."""
    x = keras.Input((56, 56, 256))
    block = keras.Model(x, dogsim.identity_block(x, [64, 64, 256]))
    weights = 1 * 1 * 256 * 64 + 3 * 3 * 64 * 64 + 1 * 1 * 64 * 256
    biases, normalised = 64 + 64 + 256, 4 * (64 + 64 + 256)
    plain = 2 * (3 * 3 * 256 * 256)
    print(f"by hand {weights + biases + normalised:,}, counted {block.count_params():,}; ", end="")
    print(f"two convolutions 3 x 3 of 256 would have {plain:,} weights")


# %% [markdown] tags=["answer"]
# ```text
# by hand 71,552, counted 71,552; two convolutions 3 x 3 of 256 would have 1,179,648 weights
# ```
#
# Hence the name bottleneck: the costly convolution sees only 64 channels.

# %% [markdown]
# ### Exercise 2: without the reductions
#
# *Expect:* GoogLeNet's module 3a has four parallel paths on 192 channels. How many weights would it
# have without the 1 x 1 convolutions before 3 x 3, before 5 x 5 and after pooling?
#
# *Vary:* module 4e, `inception_module(x, 256, 160, 320, 32, 128, 128)` on 528 channels.

# %% tags=["exercise"]
# Your code


# %% tags=["solution"]
def reductions() -> None:
    """Count the weights that the 1 x 1 convolutions save in GoogLeNet's module 3a."""
    with_them = 192 * (64 + 96 + 16 + 32) + 9 * 96 * 128 + 25 * 16 * 32
    without = 192 * 64 + 9 * 192 * 128 + 25 * 192 * 32
    network = dogsim.googlenet()
    module = [x for x in network.layers if x.name.startswith("inception_3a")]
    counted = sum(w.size for x in module for w in x.get_weights() if w.ndim == 4)
    print(f"with {with_them:,} weights, counted {counted:,}; without {without:,}, and ", end="")
    print(f"{64 + 128 + 32 + 192} channels instead of 256")


# %% [markdown] tags=["answer"]
# ```text
# with 163,328 weights, counted 163,328; without 387,072, and 416 channels instead of 256
# ```
#
# More than twice as many, and the next module would start from 416 channels, and so on.

# %% [markdown]
# ### Exercise 3: where is the work?
#
# *Expect:* of ResNet-50's convolutions, which fraction of the weights, and of the multiply-adds, is
# in those of 1 x 1, 3 x 3 and 7 x 7?
#
# *Vary:* stage by stage. Why does each stage need about as much work as the others, but four times
# the weights of the previous one?

# %% tags=["exercise"]
# Your code


# %% tags=["solution"]
def work() -> None:
    """Print which convolutions of ResNet-50 have the weights and the multiply-adds."""
    network = dogsim.resnet50()
    weights, additions = np.zeros((2, 8))
    for layer in network.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None and len(kernel.shape) == 4:
            _, height, width, _ = layer.output.shape
            weights[kernel.shape[0]] += np.prod(kernel.shape)
            additions[kernel.shape[0]] += np.prod(kernel.shape) * height * width
    print("convolution   of the weights   of the multiply-adds")
    for size in (1, 3, 7):
        fractions = weights[size] / weights.sum(), additions[size] / additions.sum()
        print("{0} x {0}         {1:.3f}            {2:.3f}".format(size, *fractions))


# %% [markdown] tags=["answer"]
# ```text
# convolution   of the weights   of the multiply-adds
# 1 x 1         0.517            0.490
# 3 x 3         0.483            0.480
# 7 x 7         0.000            0.031
# ```
#
# The only convolution of 7 x 7 has hardly any weights but much work, because its map is large:
# 112 x 112.

# %% [markdown]
# ## Talk
#
# A shortcut adds the input of a block to its output. Why does that help the gradient? What would
# happen if it were multiplied instead?

# %%
if __name__ == "__main__":
    dogsim.run_script(main)
