"""The vocabulary of training that packs share: examples, datasets, recipes and what came of them.

Shapes use the letters of ``graphengine.types``; what is trained, models and their parts, is there.

Importing this module loads neither torch nor transformers, so that definitions can be read without them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, NewType, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase
else:
    PreTrainedTokenizerBase = object  # NewType wants a class at import; transformers stays unloaded

ExampleField = Literal[
    "images", "captions", "latents", "labels", "mask", "weights", "sizes", "embeddings", "pooled", "hints"
]


@dataclass(frozen=True)
class Examples:
    """A batch of training examples; a field that was not asked for, or that the dataset lacks, is None.

    Attributes:
        images: float32 ``[B, C, H, W]`` in -1…1, as networks take them.
        captions: B strings.
        latents: float32 ``[B, C, h, w]``, the training target of a supervised latent space, in the model's units.
        labels: attribute name -> int64 ``[B]``, for pre-training a text encoder; -1 where the caption does not say.
        mask: float32 ``[B, 1, H, W]`` in 0…1, at the size of the latents if the dataset gives those, else of the
            images; errors where it is 0 don't count, and those where it is 1 count in full.
        weights: float32 ``[B]``, ≥ 0, how much each example counts: below 1 for pictures that only keep what a model
            knows.
        sizes: int64 ``[B, 6]``, as SDXL is told: height and width of the picture before it was resized, top and left of
            the crop after that, height and width of what is trained on.
        embeddings: float32 ``[B, T, D]``, the text encoders' states for the captions, if they were made before.
        pooled: float32 ``[B, P]``, their pooled states, of several encoders.
        hints: float32 ``[B, 3, H, W]`` in 0…1, at the pictures' size: what is to steer towards each, such as its edges.
    """

    images: Tensor | None = None
    captions: Sequence[str] | None = None
    latents: Tensor | None = None
    labels: Mapping[str, Tensor] | None = None
    mask: Tensor | None = None
    weights: Tensor | None = None
    sizes: Tensor | None = None
    embeddings: Tensor | None = None
    pooled: Tensor | None = None
    hints: Tensor | None = None


class Dataset(Protocol):
    """Examples to train on, by number.

    An example is a pure function of its number, so that training resumes exactly: the position in the data is a number.
    """

    @property
    def length(self) -> int | None:
        """How many examples there are; None means endless (drawn from the number)."""

    @property
    def fields(self) -> Collection[ExampleField]:
        """What this dataset can give."""

    @property
    def digest(self) -> str:
        """A hash of everything that decides the examples; a checkpoint remembers it."""

    def examples(self, indices: Sequence[int], fields: Collection[ExampleField]) -> Examples:
        """Give the examples with these numbers, only the fields asked for; several threads may ask at once."""


@runtime_checkable
class ArrangedDataset(Dataset, Protocol):
    """A finite dataset whose examples can't meet in any batch, or are new in each epoch."""

    @property
    def groups(self) -> Sequence[Sequence[int]]:
        """The numbers of the examples that may share a batch, such as pictures of one size; each number once."""

    @property
    def varies(self) -> bool:
        """Whether examples differ between epochs, as with random crops.

        Numbers then go on past the length: ``number % length`` is the example, ``number // length`` its variation.
        """


LossName = Literal["mse", "l1", "huber"]
LossWeighting = Literal[
    "none", "sqrt_one_minus_alphas", "min_snr", "soft_min_snr", "debiased", "p2", "edm", "sigma_sqrt", "cosmap"
]
TimestepSampling = Literal["uniform", "logit_normal", "mode", "shifted"]
LearningRateSchedule = Literal["constant", "cosine", "linear", "cosine_with_restarts", "polynomial"]
OptimizerName = Literal["adamw", "adam", "sgd", "adafactor", "lion", "prodigy", "adamw_8bit", "custom"]
Precision = Literal["float32", "bfloat16", "float16"]


AdapterMethod = Literal["lora", "dora", "loha", "lokr"]


@dataclass(frozen=True, kw_only=True)
class LoraRecipe:
    """Small changes to train beside layers whose weights stay as they are.

    Attributes:
        method: ``lora`` (Hu et al. 2021), ``dora`` (Liu et al. 2024), ``loha`` (Hyeon-Woo et al. 2021) or ``lokr`` (Yeh
            et al. 2023); ``lora_updates`` has their formulas.
        rank: Of the factors, ≥ 1.
        alpha: A change counts alpha / rank times.
        dropout: Share of a layer's inputs that a LoRA doesn't see at a step; other methods drop rows of the change.
        targets: Kinds of layers, see ``lora_targets``, or what their names end with.
        block_ranks: Other ranks for the layers whose names begin so; 0 leaves them out. The longest beginning counts.
    """

    socket: ClassVar[str] = "LORA_RECIPE"
    method: AdapterMethod = "lora"
    rank: int = 16
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("attention",)
    block_ranks: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Lora:
    """Trained changes of a model's layers, to be saved.

    Attributes:
        layers: For each network (``denoiser``, ``text_encoder`` …), by the layer's name with dots, the tensors by what
            they are in its change: ``up``, ``down``, ``alpha``, ``hada_w1_a`` …; float32 on the CPU.
        recipe: What they were trained by.
        training: What else decided them, as texts by name: the base model's hash, steps, the dataset's digest …
    """

    socket: ClassVar[str] = "LORA"
    layers: Mapping[str, Mapping[str, Mapping[str, Tensor]]]
    recipe: LoraRecipe
    training: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class WordRecipe:
    """A word to learn by textual inversion, Gal et al. 2022.

    Attributes:
        placeholder: The word in captions, which the text encoders don't know.
        initial: Known words whose vectors it starts from, in turn.
        vectors: How many stand for it, ≥ 1.
        keep_length: Only the vectors' directions are learnt; they stay as long as those they start from.
        templates: Captions for pictures without one; ``{word}`` is the placeholder.
    """

    socket: ClassVar[str] = "WORD_RECIPE"
    placeholder: str
    initial: tuple[str, ...]
    vectors: int = 1
    keep_length: bool = False
    templates: tuple[str, ...] = ("a photo of {word}",)


@dataclass(frozen=True, kw_only=True)
class ObjectiveRecipe:
    """What a denoiser is shown, and how its errors count, beyond what every recipe says.

    Attributes:
        timesteps: How timesteps are drawn, by their share of all: evenly, ``logit_normal``, by a ``mode`` (the ends or
            the middle more often), or ``shifted`` towards noise.
        first_timestep: No timestep below this share of all is drawn.
        last_timestep: And none above this.
        logit_mean: Of ``logit_normal``; above 0 favours noise.
        logit_deviation: Of ``logit_normal``.
        mode_scale: Of ``mode``; above 0 favours the middle, below 0 the ends.
        timestep_shift: Of ``shifted``; above 1 favours noise.
        noise_offset: Deviation of a number that is added to the noise of each channel, so that a model learns to make
            pictures lighter or darker as a whole; 0 none.
        pyramid_noise: Strength of noise of half the size, of a quarter of it twice that strength … ; 0 none.
        input_perturbation: Deviation of noise that is seen but not to be found; 0 none.
        huber_delta: Up to which difference ``huber`` is quadratic.
        p2_gamma: Of the weighting ``p2``.
        edm_deviation: The data's deviation in the weighting ``edm``: about 1 for latents, 0.5 for pictures.
    """

    socket: ClassVar[str] = "OBJECTIVE_RECIPE"
    timesteps: TimestepSampling = "uniform"
    first_timestep: float = 0.0
    last_timestep: float = 1.0
    logit_mean: float = 0.0
    logit_deviation: float = 1.0
    mode_scale: float = 1.29
    timestep_shift: float = 3.0
    noise_offset: float = 0.0
    pyramid_noise: float = 0.0
    input_perturbation: float = 0.0
    huber_delta: float = 1.0
    p2_gamma: float = 1.0
    edm_deviation: float = 1.0


@dataclass(frozen=True, kw_only=True)
class OptimizerRecipe:
    """Numbers of an optimizer and its learning rate that have good defaults.

    Attributes:
        beta1: How long gradients are averaged; of Adam, Lion and Prodigy.
        beta2: How long their squares are; of Lion the average's own decay.
        eps: Keeps Adam's and Prodigy's divisions finite.
        momentum: Of SGD.
        nesterov: Look a step ahead, with momentum.
        restarts: Waves of ``cosine_with_restarts``.
        power: Of ``polynomial``; 1 is a line.
        custom_class: The optimizer ``custom``: a class of an installed package, in full.
        custom_options: Its keyword arguments as a JSON object; learning rate and weight decay are given anyway.
    """

    socket: ClassVar[str] = "OPTIMIZER_RECIPE"
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    momentum: float = 0.9
    nesterov: bool = False
    restarts: int = 1
    power: float = 1.0
    custom_class: str = ""
    custom_options: str = ""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train: everything that decides the weights, besides the network, the data, the steps and the seed.

    Attributes:
        batch_size: Examples a step, ≥ 1.
        optimizer: See ``training_optimizers``.
        learning_rate: The highest rate, reached after ``warmup_steps``.
        lr_schedule: After the warm-up: ``constant``, or down to 0 at the last step.
        warmup_steps: Steps over which the rate rises from 0.
        max_grad_norm: Gradients are scaled down to this norm; 0 leaves them alone.
        ema_decay: The result is a moving average of the weights with this decay; 0 gives the last weights.
        loss: How a prediction's distance from its target counts.
        loss_weighting: What the noise level changes about that, see ``training_levels``.
        min_snr_gamma: The cap of ``min_snr`` and ``soft_min_snr``.
        caption_dropout: Share of captions replaced by the empty one, which guidance needs.
        train_text_encoder: Train the text encoder along with the denoiser.
        kl_weight: Autoencoder without latents to learn: weight of the divergence from a unit Gaussian.
        latent_weight: Autoencoder with latents to learn: weight of the distance to them.
        latent_noise: Autoencoder: the decoder sees latents with noise of up to this standard deviation.
        analytic_share: Autoencoder with latents to learn: share of pictures decoded from those, not from the encoder's.
        precision: Other than ``float32`` runs networks in mixed precision; what is trained and the optimizer stay
            float32, frozen layers as they were loaded.
        attention: ``manual`` writes attention out in matrix products, faster to train with on some CPUs.
        checkpoint_every: Steps between saved states. Does not change the weights.
        checkpoint_minutes: A state is also saved when so many minutes have passed; 0 never. Changes no weights either.
        keep_checkpoints: Saved states that are kept, the newest. Does not change the weights.
        data_workers: Threads that read batches ahead; 0 reads them in between steps. Does not change the weights.
        lora: Trains these changes instead of the weights themselves; None trains the weights.
        objective: What a denoiser is shown, and how its errors count; None for an ObjectiveRecipe's defaults.
        optimizer_options: Numbers of the optimizer; None for an OptimizerRecipe's defaults.
        text_encoder_rate: The text encoder's own learning rate; 0 for that of the rest.
        accumulate: Batches whose gradients make up one step, as if they were one batch.
        if_diverged: When the loss is no number any more: ``stop``, or ``roll_back`` to the last state at half the rate.
        gradient_checkpointing: Spares memory and takes time. Does not change the weights.
        compile: Lets torch.compile make kernels. Changes no more than rounding.
        word: Trains the vectors of this word, and nothing else but the ``lora`` if there is one; None for no word.
    """

    batch_size: int = 32
    optimizer: OptimizerName = "adamw"
    learning_rate: float = 1e-4
    lr_schedule: LearningRateSchedule = "constant"
    warmup_steps: int = 0
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    ema_decay: float = 0.0
    loss: LossName = "mse"
    loss_weighting: LossWeighting = "none"
    min_snr_gamma: float = 5.0
    caption_dropout: float = 0.1
    train_text_encoder: bool = False
    kl_weight: float = 1e-6
    latent_weight: float = 1.0
    latent_noise: float = 0.0
    analytic_share: float = 0.5
    precision: Precision = "float32"
    attention: Literal["default", "manual"] = "default"
    checkpoint_every: int = 500
    checkpoint_minutes: float = 10.0
    keep_checkpoints: int = 2
    data_workers: int = 2
    lora: LoraRecipe | None = None
    objective: ObjectiveRecipe | None = None
    optimizer_options: OptimizerRecipe | None = None
    text_encoder_rate: float = 0.0
    accumulate: int = 1
    if_diverged: Literal["stop", "roll_back"] = "stop"
    gradient_checkpointing: bool = False
    compile: bool = False
    word: WordRecipe | None = None


@dataclass(frozen=True)
class Report:
    """What a training went through.

    Attributes:
        steps: Steps trained, those of an earlier run that this one resumed included.
        losses: The loss of each step.
        learning_rates: The learning rate of each step.
        grad_norms: The gradients' norm at each step, before clipping.
        notices: What the user should know, such as a state that could not be saved.
        held_out: Step -> the loss after it over examples that are not trained on.
        training: What decided it, as texts by name: the recipe, the data's digest, the base model …
    """

    steps: int
    losses: Sequence[float]
    learning_rates: Sequence[float]
    grad_norms: Sequence[float]
    notices: Sequence[str] = ()
    held_out: Mapping[int, float] = field(default_factory=dict)
    training: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What to tell of something that was trained, beside it.

    Attributes:
        report: Of its training.
        title: Empty for the name of what is saved.
        description: Markdown.
        license: As the Hugging Face hub names it; empty says nothing.
        base_model: The hub's name of what it was trained on, ``owner/name``; empty if it is on no hub.
        trigger: What in a prompt calls for it.
        tags: Further ones.
        samples: Pictures made by it, as an Image.
        sample_prompts: Of the pictures, as far as there are any.
    """

    socket: ClassVar[str] = "MODEL_CARD"
    report: Report
    title: str = ""
    description: str = ""
    license: str = ""
    base_model: str = ""
    trigger: str = ""
    tags: tuple[str, ...] = ()
    samples: Tensor | None = None
    sample_prompts: tuple[str, ...] = ()


Tokenizer = NewType("Tokenizer", PreTrainedTokenizerBase)
"""A transformers ``CLIPTokenizer`` for captions; its ``model_max_length`` is T."""
