"""What every head or neuron adds to a question's contrast, to first order: gradient times activation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float

from interp.measure.contrasts import Contrast, contrast_metric
from interp.measure.gradients import reduced_gradients
from interp.model.loading import LoadedModel
from interp.model.sites import SITES_OF, Site

__all__ = ["attributions"]


def attributions(
    loaded: LoadedModel, contrasts: Sequence[Contrast], units: Sequence[str]
) -> tuple[Float[torch.Tensor, " prompt"], dict[Site, Float[torch.Tensor, "prompt unit"]]]:
    """The contrasts, and gradient times activation of every unit, in logits.

    An attribution is summed over the tokens that count (and a head's dimensions): to first order, how much
    the contrast would fall if the unit were set to zero on all of them.

    Args:
        loaded: The model.
        contrasts: One per row.
        units: ``heads``, ``neurons`` or both.
    """
    batch = loaded.pad([contrast.item for contrast in contrasts])
    values: list[torch.Tensor] = []

    def take(value: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        wide = torch.promote_types(value.dtype, torch.float32)
        product = value.to(wide) * gradient.to(wide)
        product = product.sum(dim=-1) if product.ndim == 4 else product
        return torch.einsum("ptu,pt->pu", product, batch.counted.to(product.device, wide))

    def metric(hidden: torch.Tensor) -> torch.Tensor:
        values.append(contrast_metric(loaded, contrasts, hidden))
        return values[-1]

    sites = [Site(SITES_OF[unit], layer) for unit in units for layer in range(loaded.architecture.n_layers)]
    by_site = reduced_gradients(loaded, batch.inputs(), sites, metric, take)
    return values[0].detach(), by_site
