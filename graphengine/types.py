"""The socket vocabulary that packs share: what travels along a wire (training's is in ``training_types``).

Shapes use fixed letters: B batch, C channels, H W picture size in pixels, h w latent size, T tokens, D features.
Values are immutable by convention: a node that changes one returns a new value that shares what it did not change.

Importing this module loads neither torch nor diffusers, so that definitions can be read without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, NewType

from graphengine.core.on_demand import made_on_demand

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase
else:
    Tensor = PreTrainedTokenizerBase = object  # NewType wants a class at import; torch and transformers stay unloaded

Image = NewType("Image", Tensor)
"""Pictures, float32 ``[B, H, W, 3]`` in 0…1, on the CPU."""

Mask = NewType("Mask", Tensor)
"""Coverage, float32 ``[B, H, W]`` in 0…1, on the CPU; 1 is selected."""

PictureFormat = Literal["png", "jpeg", "webp"]
"""How pictures are saved."""

PICTURE_SUFFIXES: Mapping[PictureFormat, str] = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
"""What the names of saved pictures end in."""

Prediction = Literal["epsilon", "v_prediction", "sample", "flow", "mixing"]
"""What a denoising network's raw output means.

``epsilon`` the noise, ``v_prediction`` the velocity (Salimans & Ho 2022), ``sample`` the clean data, ``flow`` the noise
less the data, on straight paths between them (Liu et al. 2022, arXiv:2209.03003). ``mixing`` is the from-scratch
walk-through's own: the clean data, from a picture mixed linearly with uniform noise, without a timestep.
"""

Family = Literal["sd1", "sd2", "sdxl", "sdxl_refiner", "sd3"]
"""An architecture that checkpoints share: Stable Diffusion 1.x, 2.x, XL, XL's refiner, 3.x."""


OwnSamplerName = Literal[
    "euler",
    "euler_ancestral",
    "heun",
    "dpm_2",
    "dpm_2_ancestral",
    "lms",
    "dpmpp_2s_ancestral",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_sde",
    "ddim",
    "ddpm",
    "uni_pc",
    "lcm",
]
"""Our own algorithms that step from noise to data, over any noise levels."""

SamplerName = Literal[
    OwnSamplerName,
    "diffusers:DDIMScheduler",
    "diffusers:DDPMScheduler",
    "diffusers:DEISMultistepScheduler",
    "diffusers:DPMSolverMultistepScheduler",
    "diffusers:DPMSolverSinglestepScheduler",
    "diffusers:EulerAncestralDiscreteScheduler",
    "diffusers:EulerDiscreteScheduler",
    "diffusers:FlowMatchEulerDiscreteScheduler",
    "diffusers:HeunDiscreteScheduler",
    "diffusers:KDPM2AncestralDiscreteScheduler",
    "diffusers:KDPM2DiscreteScheduler",
    "diffusers:LCMScheduler",
    "diffusers:LMSDiscreteScheduler",
    "diffusers:PNDMScheduler",
    "diffusers:SASolverScheduler",
    "diffusers:TCDScheduler",
    "diffusers:UniPCMultistepScheduler",
]
"""Algorithms that step from noise to data: our own, then diffusers' schedulers, bit for bit as in its pipelines."""

ScheduleName = Literal["normal", "karras", "exponential", "simple", "sgm_uniform", "ddim_uniform", "beta"]
"""Which noise levels a sampler visits."""


@dataclass(frozen=True)
class Latent:
    """Latents in the model's own units (about unit variance), as VAEEncode gives and VAEDecode takes them.

    Attributes:
        samples: float32 ``[B, C, h, w]`` on the CPU.
        noise_mask: float32 ``[B or 1, H, W]`` in 0…1 or None; 1 is repainted, 0 keeps its latent bit for bit.
    """

    samples: Tensor
    noise_mask: Mask | None = None


@dataclass(frozen=True)
class Area:
    """A rectangle of the picture, from its top left corner.

    Attributes:
        unit: What the numbers count: ``pixels``, or ``share`` for parts of the picture's sides, 0…1.
    """

    x: float
    y: float
    width: float
    height: float
    unit: Literal["pixels", "share"] = "pixels"


@dataclass(frozen=True, kw_only=True)
class PictureSize:
    """What SDXL models are told of the picture that they were trained on: a small original gives a blurred picture.

    Attributes:
        width: Of the original, in pixels.
        height: Of the original, in pixels.
        crop_x: Pixels cut off at the original's left.
        crop_y: Pixels cut off at the original's top.
        target_width: Of what was cut out, in pixels; the latent's own if None.
        target_height: Of what was cut out, in pixels; the latent's own if None.
        aesthetic_score: What the refiner is told instead of the target, 0…10; None for 6 in the positive prompt, 2.5 in
            the negative one.
    """

    width: int
    height: int
    crop_x: int = 0
    crop_y: int = 0
    target_width: int | None = None
    target_height: int | None = None
    aesthetic_score: float | None = None


@dataclass(frozen=True)
class InpaintingGuide:
    """What an inpainting model is shown beside the latents.

    Attributes:
        latents: float32 ``[B or 1, C, h, w]``, of the picture with grey in place of what is repainted.
        mask: float32 ``[B or 1, H, W]``; 1 is repainted.
    """

    latents: Tensor
    mask: Mask


@dataclass(frozen=True)
class ControlNet:
    """A network that steers a denoiser by a picture.

    Attributes:
        network: A diffusers ``ControlNetModel``, ``ControlNetUnionModel`` or ``T2IAdapter``, in eval mode.
        source: Where it came from, in the user's words.
        kind: Which of a union's kinds of pictures it is given; None for networks of a single one.
        training: What decided its weights, as texts by name, if it was trained here.
    """

    socket: ClassVar[str] = "CONTROL_NET"

    network: nn.Module
    source: str = ""
    kind: int | None = None
    training: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Control:
    """A picture that steers.

    Attributes:
        control_net: What reads it.
        image: As large as the result, or resized and cut to it.
        strength: How much it counts, at least 0.
        timesteps: When it counts, as shares of the way from pure noise (0) to the picture (1) in trained timesteps.
    """

    control_net: ControlNet
    image: Image
    strength: float = 1.0
    timesteps: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class ClipVision:
    """A network that sees pictures as CLIP does.

    Attributes:
        network: A transformers ``CLIPVisionModelWithProjection`` in eval mode.
        source: Where it came from, in the user's words.
    """

    socket: ClassVar[str] = "CLIP_VISION"

    network: nn.Module
    source: str = ""


@dataclass(frozen=True)
class ClipVisionOutput:
    """Pictures as a ``ClipVision`` sees them, each on its own.

    Attributes:
        pooled: float32 ``[B, D]``, each picture in one vector, projected to where texts are.
        states: float32 ``[B, T, D]``, the states of its patches before the last layer.
        blank: float32 ``[1, T, D]``, the states of a picture without anything, all zeros.
        source: The network's.
    """

    socket: ClassVar[str] = "CLIP_VISION_OUTPUT"

    pooled: Tensor
    states: Tensor
    blank: Tensor
    source: str = ""


@dataclass(frozen=True)
class IPAdapter:
    """A network that lets a denoiser attend to pictures as it does to prompts.

    Attributes:
        network: ``image_proj``, of diffusers, makes tokens of what a ``ClipVision`` says; ``layers``
            has a ``to_k_ip`` and ``to_v_ip`` for each attention to the prompt, in the denoiser's own order.
        reads: What it makes them of: a picture's ``pooled`` vector, or its ``states``.
        source: Where it came from, in the user's words.
    """

    socket: ClassVar[str] = "IPADAPTER"

    network: nn.ModuleDict
    reads: Literal["pooled", "states"]
    source: str = ""


@dataclass(frozen=True)
class ImagePrompt:
    """Pictures that a denoiser attends to.

    Attributes:
        ip_adapter: What makes tokens of them.
        shown: ``[N, D]`` or ``[N, T, D]``, the pictures as it reads them; it attends to all of them together.
        blank: As ``shown``, of a single picture without anything, for what is guided away from.
        weight: How much they count beside the prompt.
        timesteps: When they count, as shares of the way from pure noise (0) to the picture (1) in trained timesteps.
        mask: Where they count, float32 ``[B or 1, H, W]`` in 0…1; everywhere if None.
        layers: What the names of the denoiser's layers begin with that attend to them; all if empty.
    """

    ip_adapter: IPAdapter
    shown: Tensor
    blank: Tensor
    weight: float = 1.0
    timesteps: tuple[float, float] = (0.0, 1.0)
    mask: Mask | None = None
    layers: tuple[str, ...] = ()


StepRange = tuple[float, float]
"""From a step to before another, each a share of all steps if at most 1, else a number of steps; inf is the end."""


@dataclass(frozen=True)
class ConditioningPart:
    """One prompt as the model reads it, and where and when it counts.

    Attributes:
        embedding: float32 ``[B, T, D]``, the text encoders' states.
        pooled: float32 ``[B, D]``, the whole prompt in one vector.
        padding: float32 ``[1, T, D]``, the empty prompt's states, to lengthen this prompt to another's tokens with.
        area: The model sees only this part of the picture; all if None.
        mask: float32 ``[B or 1, H, W]`` in 0…1, how much the prompt counts at each place; everywhere alike if None.
        crop_to_mask: Whether the model sees only the mask's bounds.
        strength: How much the prompt counts beside others, at least 0.
        timesteps: When it counts, as shares of the way from pure noise (0) to the picture (1) in trained timesteps.
        steps: When it counts, in steps of the run; all of these must hold.
        size: For SDXL; the latent's own size if None.
        inpainting: For inpainting models.
        controls: Pictures that steer while this prompt counts; what they say adds up.
    """

    embedding: Tensor
    pooled: Tensor | None = None
    padding: Tensor | None = None
    area: Area | None = None
    mask: Mask | None = None
    crop_to_mask: bool = False
    strength: float = 1.0
    timesteps: tuple[float, float] = (0.0, 1.0)
    steps: tuple[StepRange, ...] = ()
    size: PictureSize | None = None
    inpainting: InpaintingGuide | None = None
    controls: tuple[Control, ...] = ()


@dataclass(frozen=True)
class Conditioning:
    """What a picture should show: one or more prompts, whose answers are averaged where several count.

    Attributes:
        parts: At least one.
    """

    parts: tuple[ConditioningPart, ...]

    @classmethod
    def of(cls, embedding: Tensor, pooled: Tensor | None = None) -> Conditioning:
        """Make the conditioning of one prompt that counts everywhere."""
        return cls((ConditioningPart(embedding, pooled),))


LatentRgb = tuple[tuple[float, float, float], ...]
"""What each channel of a latent adds to the red, green and blue of its cell, in 0…1; last, what is there without."""


@made_on_demand("network")
@dataclass(frozen=True)
class Model:
    """A denoising network with what is needed to call it.

    Attributes:
        network: A diffusers ``UNet2DConditionModel``, ``SD3Transformer2DModel`` or ``UNet2DModel``, or a ``BasicUNet``;
            in eval mode. Its weights may be a mapped file: copy them before changing them.
        prediction: What the network's raw output means.
        scheduler_config: A diffusers scheduler's configuration; its betas, or for ``flow`` its shift, define the noise
            levels.
        latent_channels: C of the latents it denoises; the network of an inpainting model takes more.
        latent_factor: Picture pixels per latent cell, along one side; 1 for a pixel-space model.
        source: Where it came from, in the user's words: a checkpoint's name, or "TrainLoop".
        latent_rgb: Roughly how its latents look, for previews; None if that isn't known.
        preview_vae: Decodes previews instead; None for none.
        family: What it is one of; None for others, such as a model trained from scratch.
        extra_channels: What its network takes beside the latents: 5 for an inpainting model, the mask and the latents
            of the picture without what it covers.
        differential: Whether a latent mask's grades say from when a cell is repainted, instead of how much.
        image_prompts: Pictures that it attends to whatever the prompt is; what they say adds up.
    """

    network: nn.Module
    prediction: Prediction
    scheduler_config: Mapping[str, object]
    latent_channels: int = 4
    latent_factor: int = 8
    source: str = ""
    latent_rgb: LatentRgb | None = None
    family: Family | None = None
    extra_channels: int = 0
    differential: bool = False
    preview_vae: Vae | None = None
    image_prompts: tuple[ImagePrompt, ...] = ()


@made_on_demand("network")
@dataclass(frozen=True)
class TextEncoder:
    """A tokenizer and its text encoder, with what a denoiser reads of it.

    Attributes:
        network: A transformers ``CLIPTextModel``, ``CLIPTextModelWithProjection`` or ``T5EncoderModel``, in eval mode.
        tokenizer: The one it was trained with; its ``model_max_length`` is T.
        hidden_layer: Whose states are read: -1 the last layer's, -2 those of the one before it.
        final_norm: Whether they pass the encoder's last normalisation.
        pooled: The whole text in one vector: the ``state`` at the end-of-text token after the last layer and
            normalisation, that state ``projected``, or nothing.
    """

    network: nn.Module
    tokenizer: PreTrainedTokenizerBase
    hidden_layer: int = -1
    final_norm: bool = True
    pooled: Literal["state", "projected"] | None = "state"


Sigmas = NewType("Sigmas", Tensor)
"""The noise levels that a sampler visits, float32 ``[steps + 1]`` on the CPU: from high to low, the last usually 0."""


@dataclass(frozen=True)
class RunNoise:
    """Which noise a run begins with, and draws on its way.

    Attributes:
        seed: Item i of the batch is drawn from ``seed + i`` modulo 2^64.
        is_added: Whether noise is added before the first step; else the latents must hold it already.
    """

    socket: ClassVar[str] = "NOISE"
    seed: int
    is_added: bool = True


@dataclass(frozen=True)
class SamplerChoice:
    """An algorithm that steps from noise to data."""

    socket: ClassVar[str] = "SAMPLER"
    name: OwnSamplerName


@dataclass(frozen=True)
class Guider:
    """A model, and how prompts guide it.

    Attributes:
        positive: What is wanted.
        negative: What is guided away from; None without guidance.
        cfg: How strongly to follow the positive prompt, against the middle one if there is one, else the negative.
        middle: A prompt between both, which is followed as well; None for none.
        middle_cfg: How strongly to follow the middle prompt against the negative one.
        nested: Whether what positive and middle come to together is guided against the negative; see ``guiders``.
    """

    model: Model
    positive: Conditioning
    negative: Conditioning | None = None
    cfg: float = 1.0
    middle: Conditioning | None = None
    middle_cfg: float = 1.0
    nested: bool = False


@dataclass(frozen=True)
class LearnedVectors:
    """What textual inversion teaches: vectors that text encoders read in the place of a word.

    Attributes:
        placeholder: The word, as prompts and captions have it, such as ``<mascot>``.
        vectors: float32 ``[n, D]`` for each encoder of a clip, in its order; ``[0, D]`` for those that aren't CLIP's.
        training: What decided them, as texts by name: the base model's hash, steps, the dataset's digest …
    """

    socket: ClassVar[str] = "LEARNED_WORD"
    placeholder: str
    vectors: tuple[Tensor, ...]
    training: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The word without the brackets that set it apart, for ``embedding:NAME`` and a file's name."""
        return self.placeholder.strip("<>") or self.placeholder


@dataclass(frozen=True)
class Clip:
    """One or more text encoders that read the same prompt for one denoiser.

    The states of several CLIP encoders are put side by side, those of a T5 encoder after them (as further tokens); so
    are their pooled vectors.

    Attributes:
        encoders: At least one, in the order of the denoiser's family.
        source: Where it came from, in the user's words.
        family: Whose encoders these are; None for others.
        words: That it was taught besides, each by another placeholder.
    """

    encoders: tuple[TextEncoder, ...]
    source: str = ""
    family: Family | None = None
    words: tuple[LearnedVectors, ...] = ()


@dataclass(frozen=True)
class Vae:
    """An autoencoder between pictures and latents.

    Attributes:
        autoencoder: A diffusers ``AutoencoderKL`` or ``AutoencoderTiny`` in eval mode; its config has scaling_factor
            and shift_factor.
        source: Where it came from, in the user's words.
    """

    autoencoder: nn.Module
    source: str = ""


@dataclass(frozen=True)
class UpscaleModel:
    """A network that enlarges pictures.

    Attributes:
        network: Maps ``[B, 3, H, W]`` in 0…1 to ``[B, 3, scale * H, scale * W]``; in eval mode.
        scale: Along a side.
        source: Where it came from, in the user's words.
    """

    socket: ClassVar[str] = "UPSCALE_MODEL"
    network: nn.Module
    scale: int
    source: str = ""
