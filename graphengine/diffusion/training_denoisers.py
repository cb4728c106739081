"""Train denoisers: with timesteps, with or without captions, and the walk-through's mixing without timesteps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor

from graphengine.diffusion.adapters import with_lora, with_model_lora
from graphengine.diffusion.learned_words import with_word, words_digest
from graphengine.diffusion.lora_names import Part
from graphengine.diffusion.lora_targets import layer_ranks
from graphengine.diffusion.lora_writing import base_facts
from graphengine.diffusion.objectives import distances, mix_with_noise
from graphengine.diffusion.step_random import StepRandom
from graphengine.diffusion.training_adapters import Adapters, as_file
from graphengine.diffusion.training_bands import LossBands
from graphengine.diffusion.training_captions import (
    check_can_be_trained,
    check_can_learn,
    check_fits,
    is_t5,
    read_captions,
    reads_pooled,
    reads_sizes,
    reads_text,
    told_besides,
    with_encoders,
)
from graphengine.diffusion.training_levels import NoiseLevels, loss_weights
from graphengine.diffusion.training_noise import draw_noise, draw_timesteps, perturbed
from graphengine.diffusion.training_tasks import (
    Finished,
    check_samples,
    choose_fields,
    config_of,
    digest_of,
    fields_that_count,
    finished,
    frozen_copy,
    frozen_on,
    given,
    mask_at,
    mean_error,
    trainable_copy,
)
from graphengine.diffusion.training_words import WordTraining, check_word
from graphengine.diffusion.walkthrough import predict_clean
from graphengine.errors import InputError
from graphengine.training_types import Dataset, ExampleField, Examples, Lora, ObjectiveRecipe, Recipe
from graphengine.types import Clip, Model, Vae


class MixingTask:
    """Predict the clean picture from one mixed with uniform noise; the from-scratch walk-through's objective."""

    def __init__(self, model: Model, dataset: Dataset, recipe: Recipe, device: torch.device) -> None:
        chosen = choose_fields(dataset, ["images"], "Training a mixing model")
        self.fields: Sequence[ExampleField] = [*chosen, *fields_that_count(dataset)]
        self._model = model
        self._recipe = recipe
        self._network = trainable_copy(model.network, device)
        self.trained = {"network": self._network}
        self.frozen: dict[str, torch.nn.Module] = {}
        self.facts: dict[str, str | float] = {"prediction": model.prediction}
        self.bands = LossBands(1)

    def losses(self, examples: Examples, random: StepRandom) -> dict[str, Tensor]:
        pictures = (given(examples.images, "images") + 1) / 2  # uniform noise lives in 0…1, and so do the pictures here
        check_samples(pictures, self._network, "images")
        noise = random.uniform(*pictures.shape)
        amounts = random.uniform(len(pictures))
        predicted = predict_clean(self._network, mix_with_noise(pictures, noise, amounts))
        errors = distances(self._recipe.loss, predicted, pictures, mask=mask_at(examples, pictures.shape[2:]))  # [B]
        self.bands.add(amounts, errors)
        return {"denoising": mean_error(errors, examples)}

    def result(self, *, copied: bool = False) -> Finished:
        return Finished(replace(self._model, network=finished(self._network, copied=copied), source="TrainLoop"))


class DenoisingTask:
    """Predict noise, velocity or clean samples at random timesteps, unconditional or from captions.

    Samples are the dataset's pictures for a model in pixel space, else its latents, else its pictures encoded by a
    frozen autoencoder.
    """

    def __init__(
        self,
        model: Model,
        dataset: Dataset,
        recipe: Recipe,
        device: torch.device,
        *,
        clip: Clip | None,
        vae: Vae | None,
    ) -> None:
        check_can_be_trained(model)
        self._model = model
        self._recipe = recipe
        self._clip = _check_clip(model, clip, recipe)
        self._word: WordTraining | None = None
        if recipe.word and self._clip:
            self._word = WordTraining(recipe.word, self._clip, device)
        # A caption that is left out teaches a word nothing.
        self._dropout = 0.0 if recipe.word and not recipe.lora else recipe.caption_dropout
        self._objective = recipe.objective or ObjectiveRecipe()
        self._levels = NoiseLevels(model.scheduler_config, device)
        self.bands = LossBands(len(self._levels))
        self._weights = loss_weights(self._levels, model.prediction, recipe)
        self._sample_field: ExampleField = _sample_field(model, dataset, vae)
        self._reads_sizes = self._clip is not None and reads_sizes(model)
        text = _text_fields(model, dataset, recipe) if self._clip else ()
        chosen = choose_fields(dataset, [self._sample_field, *text], "Training this model")
        sizes: list[ExampleField] = ["sizes"] if self._reads_sizes and "sizes" in dataset.fields else []
        self.fields: Sequence[ExampleField] = [*chosen, *fields_that_count(dataset), *sizes]
        self.frozen: dict[str, torch.nn.Module] = {}
        self.facts: dict[str, str | float] = {"prediction": model.prediction, "noise levels": self._levels.digest}
        if self._clip and self._clip.words:
            self.facts["words of the clip"] = words_digest(self._clip)
        self._autoencoder = (
            frozen_on(vae.autoencoder, device, recipe.precision) if self._encodes_pictures and vae else None
        )
        if self._autoencoder:
            self.frozen["autoencoder"] = self._autoencoder
        self._adapters: Adapters | None = None
        self.trained: dict[str, torch.nn.Module] = self._copies(device)
        if self._word:
            self.trained["word"] = self._word.vectors
        self._network = self.trained["network"]
        for part, network in self._text_networks().items():
            if part not in self.trained:
                copied = frozen_copy if self._word else frozen_on
                self.frozen[part] = copied(network, device, recipe.precision)

    def _copies(self, device: torch.device) -> dict[str, torch.nn.Module]:
        """Copy what is to be trained, with adapters if only those are."""
        originals: dict[Part, torch.nn.Module] = {"denoiser": self._model.network}
        if self._clip and self._recipe.train_text_encoder:
            originals |= {part: each for part, each in self._text_networks().items() if not is_t5(each)}
        if self._recipe.lora:
            self._adapters = Adapters(self._recipe.lora, originals, device, self._recipe.precision)
            copies = self._adapters.networks
        elif self._word:  # it is trained through the denoiser
            precision = self._recipe.precision
            copies = {part: frozen_copy(network, device, precision) for part, network in originals.items()}
        else:
            copies = {part: trainable_copy(network, device) for part, network in originals.items()}
        return {"network" if part == "denoiser" else part: network for part, network in copies.items()}

    def _text_networks(self) -> dict[Part, torch.nn.Module]:
        encoders = self._clip.encoders if self._clip else ()
        return {part: encoder.network for part, encoder in zip(_TEXT_PARTS, encoders, strict=False)}

    @property
    def _text_encoders(self) -> list[torch.nn.Module]:
        """The networks that read captions, trained or not, in the clip's order."""
        networks = {**self.frozen, **self.trained}
        return [networks[part] for part in self._text_networks()]

    def losses(self, examples: Examples, random: StepRandom) -> dict[str, Tensor]:
        samples = self._samples(examples, random)  # [B, C, h, w]
        self._check(samples, examples)
        timesteps = draw_timesteps(random, self._objective, len(self._levels), len(samples))
        noise = draw_noise(random, self._objective, *samples.shape)
        noised = self._levels.noised(samples, perturbed(noise, random, self._objective), timesteps)
        predicted = self._predict(noised, self._levels.told[timesteps], examples, random)
        target = self._levels.target(self._model.prediction, samples, noise, timesteps)
        mask = mask_at(examples, samples.shape[2:])
        delta = self._objective.huber_delta
        errors = distances(self._recipe.loss, predicted, target, mask=mask, huber_delta=delta)  # [B]
        self.bands.add(timesteps, errors)
        counts = self._weights[timesteps] if examples.weights is None else self._weights[timesteps] * examples.weights
        loss = (errors * counts).mean()
        return {"denoising": loss + self._word.nothing() if self._word else loss}

    def result(self, *, copied: bool = False) -> Finished:
        result = self._networks_result(copied)
        if self._word is None:
            return result
        word = self._word.result(self._base_facts)
        return replace(result, clip=with_word(result.clip or cast(Clip, self._clip), word), word=word)

    def _networks_result(self, copied: bool) -> Finished:
        if self._word and not self._adapters:
            return Finished(self._model)
        if self._adapters:
            return _adapted(self._model, self._clip, replace(self._adapters.result(), training=self._base_facts))
        model = replace(self._model, network=finished(self._network, copied=copied), source="TrainLoop")
        parts = {number: part for number, part in enumerate(self._text_networks()) if part in self.trained}
        if self._clip and parts:
            networks = {number: finished(self.trained[part], copied=copied) for number, part in parts.items()}
            return Finished(model, with_encoders(self._clip, networks))
        return Finished(model)

    @cached_property
    def _base_facts(self) -> Mapping[str, str]:
        network = self._model.network
        return base_facts(self._model.source, self._model.family, type(network).__name__, digest_of(network))

    def _check(self, samples: Tensor, examples: Examples) -> None:
        """Refuse a batch that the network can't work on."""
        del examples
        check_samples(samples, self._network, self._sample_field)

    @property
    def _encodes_pictures(self) -> bool:
        return self._model.latent_factor > 1 and self._sample_field == "images"

    def _samples(self, examples: Examples, random: StepRandom) -> Tensor:
        if self._sample_field == "latents":
            return given(examples.latents, "latents")
        pictures = given(examples.images, "images")
        if self._autoencoder is None:
            return pictures
        autoencoder: Any = self._autoencoder  # Any: diffusers is untyped
        with torch.no_grad():
            posterior = autoencoder.encode(pictures).latent_dist
            latents: Tensor = posterior.mean + posterior.std * random.normal(*posterior.mean.shape)
        config = config_of(self._autoencoder)
        shift, scale = float(config.shift_factor or 0), float(config.scaling_factor)
        return (latents - shift) * scale

    def _predict(self, noised: Tensor, told: Tensor, examples: Examples, random: StepRandom) -> Tensor:
        predicted: Tensor
        if self._clip is None:
            predicted = self._network(noised, told).sample
            return predicted
        dropped = random.happens(self._dropout, len(noised))
        if self._word:
            captions = self._word.captions(examples.captions or [""] * len(noised), random)
            examples = replace(examples, captions=captions)
        states, pooled = self._read(examples, dropped, noised.device)
        besides = told_besides(self._model, pooled, examples.sizes, noised.shape[2:]) | self._besides(examples)
        predicted = self._network(noised, timestep=told, encoder_hidden_states=states, **besides).sample
        return predicted

    def _read(self, examples: Examples, dropped: Sequence[bool], device: torch.device) -> tuple[Tensor, Tensor | None]:
        """Give the captions' states and pooled states, those of the empty caption for captions that are dropped."""
        if examples.embeddings is None:
            captions = ["" if drop else caption for caption, drop in zip(examples.captions or (), dropped, strict=True)]
            clip = cast(Clip, self._clip)
            is_trained = self._word is not None or "text_encoder" in self.trained
            with torch.set_grad_enabled(torch.is_grad_enabled() and is_trained):
                read = with_word(clip, self._word.now()) if self._word else clip
                return read_captions(read, self._text_encoders, captions, device)
        empty, empty_pooled = self._empty
        is_dropped = torch.tensor(dropped, device=device)
        states = torch.where(is_dropped.view(-1, 1, 1), empty, examples.embeddings)
        if examples.pooled is None or empty_pooled is None:
            return states, None
        return states, torch.where(is_dropped.view(-1, 1), empty_pooled, examples.pooled)

    def _besides(self, examples: Examples) -> dict[str, Tensor]:
        """Give what the network is told of examples besides captions and sizes."""
        del examples
        return {}

    @cached_property
    def _empty(self) -> tuple[Tensor, Tensor | None]:
        """The frozen encoders' states of the empty caption, ``[1, T, D]``, and pooled ones."""
        encoders = self._text_encoders
        with torch.no_grad():
            return read_captions(cast(Clip, self._clip), encoders, [""], next(encoders[0].parameters()).device)


_TEXT_PARTS: tuple[Part, ...] = ("text_encoder", "text_encoder_2", "text_encoder_3")


def _adapted(model: Model, clip: Clip | None, lora: Lora) -> Finished:
    """Give what was given with trained adapters in it; its own weights are shared."""
    file = as_file(lora)
    if clip is None or lora.layers.keys() <= {"denoiser"}:
        adapted, _notices = with_model_lora(model, file, strength=1, source="TrainLoop")
        return Finished(adapted, lora=lora)
    adapted, adapted_clip, _notices = with_lora(
        model, clip, file, strength_model=1, strength_clip=1, source="TrainLoop"
    )
    return Finished(adapted, adapted_clip, lora)


def _sample_field(model: Model, dataset: Dataset, vae: Vae | None) -> ExampleField:
    if model.latent_factor == 1:
        return "images"
    if "latents" in dataset.fields:
        return "latents"
    if vae is None:
        raise InputError(
            "vae",
            "it is missing: the model denoises latents, and the dataset gives pictures only.",
            "Link the autoencoder whose latents the model denoises.",
        )
    return "images"


def _text_fields(model: Model, dataset: Dataset, recipe: Recipe) -> Sequence[ExampleField]:
    """Choose between captions and their states, made before; a word needs captions, or writes its own."""
    if recipe.word:
        return ("captions",) if "captions" in dataset.fields else ()
    states: Sequence[ExampleField] = ("embeddings", "pooled") if reads_pooled(model) else ("embeddings",)
    has_states = all(each in dataset.fields for each in states)
    return states if has_states and not recipe.train_text_encoder else ("captions",)


def _check_clip(model: Model, clip: Clip | None, recipe: Recipe) -> Clip | None:
    if not reads_text(model):
        if recipe.train_text_encoder:
            raise InputError("recipe", "it trains the text encoder, but this model reads no text.", "Turn that off.")
        if recipe.word:
            raise InputError("recipe", "it trains a word, but this model reads no text.", "Choose a model that does.")
        return None
    if clip is None:
        raise InputError("clip", "it is missing: the model reads captions.", "Link a text encoder.")
    check_fits(model, clip)
    if recipe.train_text_encoder:
        check_can_learn(clip)
    return clip


def denoiser_checks(
    model: Model, dataset: Dataset, recipe: Recipe, *, clip: Clip | None, vae: Vae | None
) -> Iterator[Callable[[], object]]:
    """Give what raises InputError if a denoiser can't be trained so, each for a reason of its own."""
    yield lambda: check_can_be_trained(model)
    yield lambda: _check_clip(model, clip, recipe)
    if recipe.word and clip:
        yield lambda: check_word(recipe, clip, dataset)
    yield lambda: _sample_field(model, dataset, vae)
    yield lambda: loss_weights(NoiseLevels(model.scheduler_config, torch.device("cpu")), model.prediction, recipe)
    if reads_text(model):
        yield lambda: choose_fields(dataset, _text_fields(model, dataset, recipe), "Training this model")
    if recipe.lora and not recipe.train_text_encoder:  # else its targets may be in the text encoder
        lora = recipe.lora
        yield lambda: layer_ranks({"denoiser": model.network}, lora)
