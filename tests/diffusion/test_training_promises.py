"""Where to find the test of what trainings promise.

The defects of ComfyUI's training nodes (0.3.64) that ours must not have, the acceptance list, what a training survives:
each names its tests as ``module: function``, and a test here sees to it that these exist.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

DEFECTS = {
    "an empty caption is added twice, so that captions and pictures no longer match": [
        "diffusion/test_image_folder: test_an_empty_caption_keeps_its_place_so_that_captions_and_pictures_match",
    ],
    "pad stretches, and crop cuts the top left without scaling": [
        "diffusion/test_image_folder: test_pad_shows_all_undistorted_and_its_border_does_not_count",
        "diffusion/test_image_folder: test_cover_cuts_the_sides_and_contain_shows_all",
        "diffusion/test_picture_dataset: test_crops_are_undistorted_windows_and_sizes_tell_where",
    ],
    "the seed governs neither the choice of batches nor timesteps": [
        "diffusion/test_training: test_a_seed_decides_everything",
        "diffusion/test_training_order: test_random_numbers_depend_on_seed_and_step_alone",
    ],
    "accumulating gradients does not divide the loss": [
        "diffusion/test_training_optimizers: test_batches_in_parts_equal_the_whole_batch",
    ],
    "an epoch does not cover the data": [
        "diffusion/test_training_order: test_each_epoch_gives_each_example_once",
        "diffusion/test_picture_dataset: test_a_batch_has_one_size_and_each_picture_comes_once_an_epoch",
    ],
    "resuming reads the step out of a file's name and restores weights only": [
        "diffusion/test_training: test_stopping_and_resuming_gives_the_same_bits",
        "diffusion/test_training_optimizers: test_each_optimizer_resumes_to_the_same_bits",
    ],
    "alpha is fixed, and every weight and bias is adapted": [
        "diffusion/test_training_lora: test_what_is_trained_is_what_is_merged",
        "diffusion/test_training_lora: test_only_adapters_are_trained_and_weights_are_shared",
        "diffusion/test_training_lora: test_targets_and_blocks_that_match_nothing_are_named_together",
    ],
    "all latents and captions are in memory, at one size": [
        "diffusion/test_picture_dataset: test_a_large_folder_is_not_in_memory",
        "diffusion/test_dataset_caches: test_masks_come_at_the_latents_size_and_buckets_stay_apart",
    ],
    "the loss is drawn after the end, and nothing is told before": [
        "nodes/test_training: test_a_model_is_trained_and_sampled",
        "server/test_training: test_a_training_tells_of_each_step_and_shows_pictures_and_plot",
    ],
    "a changed seed trains from zero, and cancelling loses everything": [
        "nodes/test_training: test_another_seed_is_a_training_of_its_own_and_the_first_one_is_kept",
        "nodes/test_training: test_stopping_a_run_saves_and_the_same_workflow_continues",
    ],
}

ACCEPTANCE = {
    "eight pictures: the loss falls below a fifth, and samples are nearer to the data than noise": [
        "diffusion/test_training: test_the_loss_falls_below_a_fifth_and_pictures_resemble_the_data",
    ],
    "a LoRA changes its own weights only, and loads in diffusers and here with the same result": [
        "diffusion/test_training_lora: test_only_adapters_are_trained_and_weights_are_shared",
        "diffusion/test_training_lora: test_a_saved_lora_gives_the_trained_model_again",
        "diffusion/test_training_lora: test_a_saved_lora_answers_alike_in_diffusers_pipeline",
    ],
    "resumed, killed at any moment, accumulated, run twice: the same": [
        "diffusion/test_training: test_stopping_and_resuming_gives_the_same_bits",
        "diffusion/test_training: test_a_training_killed_at_any_moment_loses_an_interval_at_most_and_changes_no_bit",
        "diffusion/test_training_optimizers: test_batches_in_parts_equal_the_whole_batch",
        "diffusion/test_training: test_a_seed_decides_everything",
    ],
    "moving average, min-SNR and targets are the published ones": [
        "diffusion/test_training: test_the_moving_average_is_the_published_one",
        "diffusion/test_training_objectives: test_weights_are_what_their_names_say",
        "diffusion/test_training_objectives: test_noise_and_velocity_equal_diffusers",
        "diffusion/test_training_objectives: test_a_flow_goes_straight_from_data_to_noise",
    ],
    "buckets cut no more than allowed, show each picture once an epoch, and mix no sizes": [
        "diffusion/test_picture_dataset: test_too_long_pictures_are_left_out_and_named",
        "diffusion/test_picture_dataset: test_a_batch_has_one_size_and_each_picture_comes_once_an_epoch",
        "diffusion/test_training_order: test_a_batch_never_mixes_groups_and_each_example_comes_once_an_epoch",
    ],
    "odd data: captions that are empty or missing, CMYK, animated and corrupt files, one picture": [
        "nodes/test_training_bad_input: test_odd_files_and_empty_captions_are_used_and_told",
        "nodes/test_training_bad_input: test_all_damaged_files_are_named_or_left_out",
        "nodes/test_training_bad_input: test_one_picture_fills_a_batch_larger_than_the_data",
    ],
    "five steps equal the published loop": [
        "diffusion/test_training: test_five_steps_equal_the_published_loop",
    ],
}

SURVIVED = {
    "kill -9, also of a server's worker": [
        "diffusion/test_training: test_a_training_killed_at_any_moment_loses_an_interval_at_most_and_changes_no_bit",
        "server/test_training: test_a_killed_worker_costs_one_interval_and_changes_no_bit",
    ],
    "cancelling, Ctrl-C, SIGTERM, a closing terminal": [
        "server/test_training: test_a_cancelled_training_is_saved_where_it_was_and_goes_on_there",
        "workers/test_limits: test_a_job_that_saves_its_work_has_longer_until_it_is_cancelled_again",
        "test_cli: test_ctrl_c_ends_with_130_and_whole_files",
    ],
    "a full disk, a folder that can't be written": [
        "diffusion/test_training_state: test_a_full_disk_keeps_the_state_before_and_says_so",
        "diffusion/test_training_state: test_a_training_goes_on_when_its_state_can_not_be_saved",
        "diffusion/test_training_state: test_a_folder_that_can_not_be_written_is_told_and_nothing_is_lost",
        "diffusion/test_training_state: test_a_stopped_training_that_can_not_be_saved_says_so",
    ],
    "damaged states": [
        "diffusion/test_training_state: test_a_damaged_state_gives_way_to_the_one_before",
        "diffusion/test_training_state: test_a_training_tells_that_it_goes_on_from_an_older_state",
    ],
    "the same training twice at once": [
        "diffusion/test_training_state: test_two_trainings_of_one_name_do_not_write_over_each_other",
    ],
    "more steps": [
        "diffusion/test_training: test_more_steps_continue_a_training_with_a_constant_learning_rate",
        "server/test_training: test_more_steps_continue_a_finished_training",
    ],
    "divergence": [
        "diffusion/test_training_optimizers: test_a_diverged_training_rolls_back_and_goes_on_slower",
        "server/test_training: test_a_training_that_diverges_is_its_nodes_clear_failure",
    ],
    "many trainings in a row": [
        "nodes/test_training_memory: "
        "test_ten_trainings_in_a_row_hold_their_results_alone_and_nothing_once_these_are_forgotten",
    ],
}


@cache
def names_in(module: str) -> set[str]:
    tree = ast.parse((TESTS / f"{module}.py").read_text())
    return {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}


@pytest.mark.parametrize("promises", [DEFECTS, ACCEPTANCE, SURVIVED], ids=["defects", "acceptance", "survived"])
def test_each_promise_has_its_tests(promises: dict[str, list[str]]) -> None:
    named = [each.split(": ") for tests in promises.values() for each in tests]
    assert [f"{module}: {test}" for module, test in named if test not in names_in(module)] == []
