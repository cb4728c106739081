"""Tell others of a trained model, and give it to them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graphengine import Widget, node
from graphengine.training_types import ModelCard, Report
from graphengine.types import Image


@node("ModelCard", category="model/saving", outputs="card")
def model_card(
    report: Report,
    title: str = "",
    description: Annotated[str, Widget("textarea")] = "",
    license: str = "",
    base_model: Annotated[str, Field(pattern=r"^\s*([\w.-]+/[\w.-]+)?\s*$")] = "",
    trigger: str = "",
    tags: str = "",
    samples: Image | None = None,
    sample_prompts: Annotated[str, Widget("textarea")] = "",
) -> ModelCard:
    """Describe what was trained: a README.md that SaveLora and SaveCheckpoint write beside the model.

    It has the recipe, the data's digest, the losses and their plot, samples, and how to use the model and train it
    again; in Hugging Face's form, with the metadata that the hub reads.

    Args:
        report: From TrainLoop.
        title: Its heading; left empty, the name of what is saved.
        description: What the model is and is for, in Markdown.
        license: As the Hugging Face hub names licences, such as apache-2.0; left empty, the card says nothing of one.
        base_model: What was trained on, by its name on the hub, such as owner/name; needed by programs that open a
            LoRA by its card.
        trigger: Words that call for what was learnt, where prompts need them.
        tags: Further ones, separated by commas.
        samples: Pictures made by the model, such as KSampler's after the training.
        sample_prompts: The prompts of the samples, one per line.
    """
    return ModelCard(
        report=report,
        title=title.strip(),
        description=description,
        license=license.strip(),
        base_model=base_model.strip(),
        trigger=trigger.strip(),
        tags=tuple(tag for part in tags.split(",") if (tag := part.strip())),
        samples=samples,
        sample_prompts=tuple(line.strip() for line in sample_prompts.splitlines() if line.strip()),
    )
