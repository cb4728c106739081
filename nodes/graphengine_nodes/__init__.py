"""The built-in node pack; found exactly as third-party packs are."""

from graphengine import NodePack

pack = NodePack(
    "graphengine",
    modules=[
        "graphengine_nodes.loaders",
        "graphengine_nodes.adapters",
        "graphengine_nodes.control",
        "graphengine_nodes.image_prompts",
        "graphengine_nodes.conditioning",
        "graphengine_nodes.inpainting",
        "graphengine_nodes.latents",
        "graphengine_nodes.latent_operations",
        "graphengine_nodes.latent_files",
        "graphengine_nodes.sampling",
        "graphengine_nodes.model_sampling",
        "graphengine_nodes.sampling_parts",
        "graphengine_nodes.noise_levels",
        "graphengine_nodes.previewing",
        "graphengine_nodes.merging",
        "graphengine_nodes.pipelines",
        "graphengine_nodes.media",
        "graphengine_nodes.saving",
        "graphengine_nodes.masks",
        "graphengine_nodes.images",
        "graphengine_nodes.image_geometry",
        "graphengine_nodes.image_effects",
        "graphengine_nodes.upscaling",
        "graphengine_nodes.logic",
        "graphengine_nodes.lists",
        "graphengine_nodes.networks",
        "graphengine_nodes.datasets",
        "graphengine_nodes.dataset_changes",
        "graphengine_nodes.training",
        "graphengine_nodes.training_parts",
    ],
)
