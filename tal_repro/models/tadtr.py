"""TadTR: a set predictor. Queries read a feature sequence through deformable attention and each predicts one action.

Liu et al., "End-to-end temporal action detection with transformer", TIP 2022; the authors' THUMOS14 configuration.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from tal_repro.models.inputs import LONGEST, check_features, check_finite_outputs, check_outputs, read_lengths
from tal_repro.models.interface import Candidates, Target
from tal_repro.models.layers import widened
from tal_repro.models.linear import Linear, linear
from tal_repro.models.outputs import TadtrOutputs
from tal_repro.models.recipes import TadtrRecipe
from tal_repro.models.roi_align import roi_align
from tal_repro.models.tadtr_layers import DecoderLayer, EncoderLayer, sine_positions, step_references
from tal_repro.models.tadtr_loss import tadtr_losses

CLASS_PRIOR = 0.01  # probability of each class before training
INITIAL_WIDTH_LOGIT = -2.0  # predicted width before training: 12 % of the input
NORM_GROUPS = 32


class TadTR(nn.Module):
    """Predict `recipe.queries` actions from features [B, C, T].

    Upstream trains on zero-padded slices and treats their padded tail as video; so does this model, for which `lengths`
    then only has to be legal. Set `mask_padding` to hide the steps beyond `lengths` instead, as upstream's padding mask
    would.
    """

    name = "tadtr"

    def __init__(self, recipe: TadtrRecipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.mask_padding = False
        self.upstream_arithmetic = False  # for MAC counts: repeat what upstream computes twice
        dim = recipe.hidden_dim
        self.input_projection = nn.Conv1d(recipe.feature_dim, dim, 1)
        self.input_norm = nn.GroupNorm(NORM_GROUPS, dim)
        self.level_embedding = nn.Parameter(torch.empty(dim))
        self.encoder = _copies(EncoderLayer(recipe), recipe.encoder_layers)
        self.queries = nn.Parameter(torch.empty(recipe.queries, 2 * dim))  # position, then content
        self.reference = Linear(dim, 1)
        self.decoder = _copies(DecoderLayer(recipe), recipe.decoder_layers)
        self.class_heads = _copies(Linear(dim, recipe.num_classes), recipe.decoder_layers)
        self.segment_heads = _copies(_perceptron(dim, dim, dim, 2), recipe.decoder_layers)
        if recipe.actionness:
            self.actionness_head = _perceptron(recipe.roi_bins * dim, dim, dim, 1)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Draw weights from upstream's distributions (heads, and biases of layers, start equal in all layers)."""
        for module in (self.encoder, self.decoder):
            for name, parameter in module.named_parameters():
                # offsets and scores keep the zeros of DeformableAttention
                if parameter.ndim > 1 and ".offsets." not in name and ".scores." not in name:
                    nn.init.xavier_uniform_(parameter)
        for layer in (self.input_projection, self.reference):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        for embedding in (self.level_embedding, self.queries):
            nn.init.normal_(embedding)
        for class_head in self.class_heads:
            nn.init.constant_(class_head.bias, -math.log((1 - CLASS_PRIOR) / CLASS_PRIOR))  # type: ignore[arg-type]
        for segment_head in self.segment_heads:
            nn.init.zeros_(segment_head[-1].weight)  # type: ignore[index]
            nn.init.zeros_(segment_head[-1].bias)  # type: ignore[index]
        with torch.no_grad():
            self.segment_heads[0][-1].bias[1:] = INITIAL_WIDTH_LOGIT  # type: ignore[index]

    def prepare(self, device: str) -> None:
        """Do nothing: it computes alike on every device."""

    def slow_parameter_names(self) -> set[str]:
        """Return the parameters that train at `recipe.slow_lr_factor`: sampling offsets and reference points."""
        return {n for n, _ in self.named_parameters() if ".offsets." in n or n.startswith("reference.")}

    def padded_length(self, length: int) -> int:
        """Return the steps that a video of `length` steps is padded to: its own."""
        return length

    def upstream_form(self, on: bool = True) -> TadTR:
        """Switch to upstream's arithmetic (grid sampling, segment heads run twice), for counting its MACs."""
        for module in self.modules():
            if hasattr(module, "upstream_arithmetic"):
                setattr(module, "upstream_arithmetic", on)  # noqa: B010
        return self

    def forward(self, features: Tensor, lengths: Tensor) -> TadtrOutputs:
        """Map features [B, C, T] and lengths [B] to raw outputs; ValueError names a bad shape, length or value."""
        channels, dtype = self.recipe.feature_dim, self.input_projection.weight.dtype
        numbers = check_features(features, lengths, channels, self.name, dtype)
        total = features.shape[2]
        if min(numbers) < total:  # the tail counts as video, and masked it is seen by the norm: it has to be finite too
            check_features(features, torch.full_like(lengths, total), channels, self.name, dtype)
        lengths = lengths.to(features.device, non_blocking=True)
        valid = lengths if self.mask_padding else torch.full_like(lengths, total)
        padding = None
        if self.mask_padding:
            padding = torch.arange(total, device=features.device) >= valid[:, None]
        memory = self._encode(features, valid, padding)
        logits, segments = self._decode_queries(memory, valid, padding)
        actionness = self._actionness(memory, segments[-1]) if self.recipe.actionness else None
        return TadtrOutputs(logits, segments, actionness, valid)

    def loss(self, outputs: TadtrOutputs, targets: list[Target]) -> dict[str, Tensor]:
        """Return unweighted losses (`class`, `segment`, `iou`; earlier layers `..._0`; `actionness`) and `total`."""
        check_outputs(outputs, TadtrOutputs, "tadtr loss")
        return tadtr_losses(outputs, targets, self.recipe)

    @torch.no_grad()
    def decode(self, outputs: TadtrOutputs, lengths: Tensor) -> list[Candidates]:
        """Return each sample's best (query, class) pairs, best first; scores are class times actionness.

        Segments are float64 steps, not clipped to the input: exact products of the raw outputs. `lengths` [B] only has
        to be legal.
        """
        check_outputs(outputs, TadtrOutputs, "tadtr decode")
        batch, queries, classes = outputs.logits.shape[1:]
        # an accelerator is not waited for; nothing is read at these lengths
        on_host = outputs.steps.device.type == "cpu"
        read_lengths(lengths, outputs.steps.tolist() if on_host else [LONGEST] * batch, "tadtr decode")
        check_finite_outputs(zip(outputs.logits[-1], outputs.segments[-1], strict=True), "tadtr decode")
        scores = outputs.logits[-1].sigmoid()
        if outputs.actionness is not None:
            scores = scores * outputs.actionness
        kept = min(self.recipe.detections_per_slice, queries * classes)
        best, pair = scores.flatten(1).topk(kept, dim=1)
        centre, width = outputs.segments[-1].unbind(-1)
        ends = torch.stack((centre - 0.5 * width, centre + 0.5 * width), -1).double()
        ends = ends * outputs.steps[:, None, None]
        chosen = ends.gather(1, (pair // classes)[..., None].expand(-1, -1, 2))
        return [Candidates(*sample) for sample in zip(chosen, best, pair % classes, strict=True)]

    def _encode(self, features: Tensor, valid: Tensor, padding: Tensor | None) -> Tensor:
        """Return the memory [B, T, C]."""
        total, dim = features.shape[2], self.recipe.hidden_dim
        memory = self.input_norm(self.input_projection(features)).transpose(1, 2).contiguous()
        # without a mask every sample has the same positions
        spread = valid if self.mask_padding else valid[:1]
        position = sine_positions(spread, total, dim).to(memory.dtype) + self.level_embedding
        reference = step_references(spread, total)
        for layer in self.encoder:
            memory = layer(memory, position, reference, padding)
        return memory  # type: ignore[no-any-return]

    def _decode_queries(self, memory: Tensor, valid: Tensor, padding: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return logits [L, B, Q, classes] and normalised segments [L, B, Q, 2] of every decoder layer."""
        batch, total, _ = memory.shape
        position, content = self.queries.expand(batch, -1, -1).chunk(2, dim=-1)
        reference = widened(self.reference(position)).sigmoid()
        valid_ratio = (valid.float() / total)[:, None, None]
        logits, segments = [], []
        for layer, class_head, segment_head in zip(self.decoder, self.class_heads, self.segment_heads, strict=True):
            content = layer(content, position, reference * valid_ratio, memory, padding)
            shift = widened(segment_head(content))
            if self.upstream_arithmetic:  # once for the next reference, once for the outputs: equal
                shift = torch.minimum(shift, segment_head(content))
            if reference.shape[-1] == 1:  # the first layer refines a centre, the others a segment
                shift = torch.cat((shift[..., :1] + _logit(reference), shift[..., 1:]), -1)
            else:
                shift = shift + _logit(reference)
            segment = shift.sigmoid()
            logits.append(widened(class_head(content)))
            segments.append(segment)
            reference = segment.detach()
        return torch.stack(logits), torch.stack(segments)

    def _actionness(self, memory: Tensor, segments: Tensor) -> Tensor:
        """Return how action-like the features under each widened segment are, [B, Q, 1] in 0..1."""
        total = memory.shape[1]
        centre, half = segments[..., :1].detach(), segments[..., 1:].detach() * self.recipe.roi_scale / 2
        ends = torch.cat((centre - half, centre + half), -1) * total
        bins = roi_align(memory, ends, self.recipe.roi_bins)
        first: Any = self.actionness_head[0]
        hidden = linear(bins.flatten(2), _bin_major(first.weight, self.recipe.roi_bins), first.bias)
        rest: Any = self.actionness_head[1:]
        for layer in rest:
            hidden = layer(hidden)
        probability: Tensor = widened(hidden).sigmoid()
        return probability


def _copies(layer: nn.Module, count: int) -> nn.ModuleList:
    """Return `count` independent copies of `layer`."""
    return nn.ModuleList(copy.deepcopy(layer) for _ in range(count))


def _perceptron(first: int, *widths: int) -> nn.Sequential:
    """Return linear layers of these widths with ReLU between them."""
    layers: list[nn.Module] = []
    for inner, outer in zip((first, *widths), widths, strict=False):
        layers += [Linear(inner, outer), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


def _bin_major(weight: Tensor, bins: int) -> Tensor:
    """Turn upstream's [out, channel * bin] into [out, bin * channel]: smaller to turn than a batch's features."""
    return weight.view(len(weight), -1, bins).transpose(1, 2).flatten(1)


def _logit(x: Tensor) -> Tensor:
    """Return the inverse sigmoid of `x` in 0..1, with both odds kept above 1e-5."""
    return torch.log(x.clamp(min=1e-5) / (1 - x).clamp(min=1e-5))
