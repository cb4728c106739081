"""Tell others of a trained model, and give it to them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from graphengine import Context, InputError, Widget, node
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


@node("PushToHub", category="model/saving", output_node=True, outputs="url", cacheable=False)
def push_to_hub(
    ctx: Context,
    path: str,
    repository: Annotated[str, Field(pattern=r"^\s*[\w.-]+/[\w.-]+\s*$")],
    push: bool = False,
    private: bool = True,
    message: str = "",
) -> str:
    """Upload what was saved to the Hugging Face hub, if push is on.

    The token is that of HF_TOKEN or of "hf auth login" where graphengine runs; it is in no workflow. What is uploaded
    has the workflow that made it inside, prompts and names of files included. The url is empty if push is off.

    Args:
        path: What SaveLora, SaveCheckpoint or another node saved in the output folder; a folder goes with its card.
        repository: Its name on the hub, such as owner/name; it is made if there is none.
        push: Nothing leaves this machine unless this is on.
        private: Let nobody else see a repository that is made now; one that exists stays as it is.
        message: Of the commit; left empty, it names what is uploaded.
    """
    from graphengine.model_publishing import publish

    if not push:
        ctx.warn("Nothing was uploaded: push is off.")
        return ""
    found, root = Path(path).resolve(), ctx.settings.output.resolve()
    if root not in found.parents:  # a workflow of somebody else's may not take other files from here
        raise InputError("path", f"{path!r} is not in the output folder.", "Link the path of a node that saves.")
    return publish(found, repository.strip(), private=private, message=message.strip())
