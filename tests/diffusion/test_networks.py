"""New networks: their sizes are the published ones, their weights are the seed's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from graphengine.diffusion.networks import new_autoencoder, new_basic_unet, new_clip, new_unet, new_unet_2d
from graphengine.diffusion.tokenizer_training import tokenizer_from_captions
from graphengine.diffusion.vae import latent_factor
from graphengine.errors import InputError
from tests.diffusion.tiny_training import same_weights, tiny_clip, tiny_model, tiny_text_model, tiny_vae, weights_of


def parameters_of(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_basic_unet_has_the_published_number_of_parameters() -> None:
    model = new_basic_unet(seed=0)
    assert parameters_of(model.network) == 309_057
    assert model.network(torch.rand(2, 1, 28, 28)).shape == (2, 1, 28, 28)


def test_the_walkthroughs_unet_has_the_published_number_of_parameters() -> None:
    assert parameters_of(new_unet_2d(seed=0).network) == 1_707_009


def test_a_seed_decides_the_weights_and_nothing_else_does() -> None:
    for make in (tiny_model, tiny_text_model):
        torch.manual_seed(1)
        first = make(seed=3)
        torch.manual_seed(2)
        assert same_weights(weights_of(first.network), weights_of(make(seed=3).network))
        assert not same_weights(weights_of(first.network), weights_of(make(seed=4).network))
    assert same_weights(weights_of(tiny_vae(seed=1).autoencoder), weights_of(tiny_vae(seed=1).autoencoder))
    first_text, again_text = tiny_clip(seed=1).encoders[0].network, tiny_clip(seed=1).encoders[0].network
    assert same_weights(weights_of(first_text), weights_of(again_text))


def test_pooled_text_changes_the_time_embedding() -> None:
    plain, pooled = tiny_text_model(pooled_text=False), tiny_text_model(pooled_text=True)
    assert parameters_of(pooled.network) > parameters_of(plain.network)
    noised, text = torch.randn(1, 4, 4, 4), torch.randn(1, 8, 16)
    assert pooled.network(noised, 3, encoder_hidden_states=text).sample.shape == noised.shape


def test_an_autoencoder_halves_at_each_level_but_the_last() -> None:
    vae = new_autoencoder(seed=0, block_channels=(8, 8, 8, 8), norm_groups=2)
    autoencoder: Any = vae.autoencoder  # Any: diffusers is untyped
    assert latent_factor(vae) == 8
    assert autoencoder.encode(torch.zeros(1, 3, 32, 32)).latent_dist.mean.shape == (1, 4, 4, 4)


def test_a_text_encoder_pools_at_the_end_of_the_text() -> None:
    clip = tiny_clip()
    tokenizer: Any = clip.encoders[0].tokenizer  # Any: calling a tokenizer gives an untyped BatchEncoding
    ids = tokenizer(["a red disc"], padding="max_length", return_tensors="pt").input_ids
    end = ids[0].tolist().index(tokenizer.eos_token_id)
    output = clip.encoders[0].network(ids)
    assert torch.equal(output.pooler_output[0], output.last_hidden_state[0, end])


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="20 is not a multiple of norm_groups, 8"):
        new_unet_2d(seed=0, block_channels=(8, 20), attention_levels=(False, False), norm_groups=8)
    with pytest.raises(InputError, match="speaks of 1 levels, block_channels of 2"):
        new_unet(seed=0, text_width=8, block_channels=(8, 16), attention_levels=(True,), norm_groups=4)
    tokenizer = tokenizer_from_captions(["a"], vocab_size=514, max_length=4)
    with pytest.raises(InputError, match="3 heads don't divide the width 16"):
        new_clip(tokenizer, seed=0, width=16, heads=3)
