"""The pyramid detector: embedding, one of three encoders, heads shared by all levels. Features in, raw outputs out.

ActionFormer, TriDet and TemporalMaxer are this class with another encoder; what differs else is TriDet's Trident head
and input noise, and TemporalMaxer's choice of regression targets.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tal_repro.errors import InputError
from tal_repro.models import pyramid_loss
from tal_repro.models.actionformer import ActionFormerEncoder
from tal_repro.models.heads import PRIOR, Head, PackedLevels, decode
from tal_repro.models.inputs import check_features, check_finite_outputs, check_outputs, check_targets, read_lengths
from tal_repro.models.interface import Candidates, Target
from tal_repro.models.layers import HALF, ConvNorm, widened
from tal_repro.models.levels import Level, Padding, plan_levels
from tal_repro.models.outputs import PyramidOutputs
from tal_repro.models.recipe_checks import check_recipe
from tal_repro.models.recipes import PyramidRecipe
from tal_repro.models.temporalmaxer import TemporalMaxerEncoder
from tal_repro.models.tridet import TriDetEncoder

ENCODERS: dict[str, type[ActionFormerEncoder] | type[TriDetEncoder] | type[TemporalMaxerEncoder]] = {
    "actionformer": ActionFormerEncoder,
    "tridet": TriDetEncoder,
    "temporalmaxer": TemporalMaxerEncoder,
}

# Up to this width a CPU spends more on starting kernels than on padding, so videos of a batch go through together.
NARROW = 128


class PyramidDetector(nn.Module):
    """Detect actions at six temporal scales from features [B, C, T].

    `padding` says which columns are computed; the result is the same, that of upstream, which pads every video to
    `padded_length`: "sample" runs each video at its own length, "batch" pads to the longest (fewer kernels, for
    GPUs), "upstream" pads as upstream does. `generator` draws stochastic depth and input noise (None: the global one).
    """

    def __init__(self, name: str, recipe: PyramidRecipe, padding: Padding = "sample") -> None:
        super().__init__()
        check_recipe(name, recipe)
        self.name, self.recipe, self.padding = name, recipe, padding
        self.generator: torch.Generator | None = None
        width = recipe.embed_dim
        self.embed = nn.ModuleList([ConvNorm(recipe.feature_dim, width), ConvNorm(width, width)])
        self.encoder: ActionFormerEncoder | TriDetEncoder | TemporalMaxerEncoder = ENCODERS[name](recipe)
        for module in self.encoder.modules():
            if isinstance(module, nn.Conv1d) and module.bias is not None:
                nn.init.zeros_(module.bias)
        self.trident = name == "tridet"
        self.classifier = Head(width, recipe.head_dim, recipe.num_classes, PRIOR)
        self.regressor = Head(width, recipe.head_dim, 2 * (recipe.trident_bins + 1) if self.trident else 2)
        self.offset_scales = nn.ParameterList([nn.Parameter(torch.ones(())) for _ in range(recipe.levels)])
        if self.trident:
            self.start_head = Head(width, recipe.head_dim, recipe.num_classes, PRIOR)
            self.end_head = Head(width, recipe.head_dim, recipe.num_classes, PRIOR)
        start = torch.tensor(recipe.loss_normalizer_start, dtype=torch.float64)
        self.register_buffer("loss_normalizer", start)
        self.loss_normalizer: Tensor

    def prepare(self, device: str) -> None:
        """Pad videos to the longest of their batch where that is faster; the result is the same."""
        if device != "cpu" or self.recipe.embed_dim <= NARROW:
            self.padding = "batch"

    @property
    def padding_divisor(self) -> int:
        """Return what upstream rounds lengths above `max_seq_len` up to."""
        coarsest = 1 << (self.recipe.levels - 1)
        window: int = self.recipe.attention_window // 2 * 2
        return coarsest * window if self.name == "actionformer" else coarsest

    def padded_length(self, length: int) -> int:
        """Return the steps upstream pads a video of `length` steps to: `max_seq_len`, or more in evaluation only."""
        if length <= self.recipe.max_seq_len:
            return self.recipe.max_seq_len
        if self.training:
            raise InputError(
                f"a training sample has {length} steps, more than max_seq_len {self.recipe.max_seq_len}",
                f"{self.name} forward",
                "crop it, or build the model with a larger max_seq_len",
            )
        return -(-length // self.padding_divisor) * self.padding_divisor

    def forward(self, features: Tensor, lengths: Tensor) -> PyramidOutputs:
        """Map features [B, C, T] and lengths [B] (keep them on the CPU: reading them from a GPU waits) to raw outputs.

        Raises InputError (a ValueError) naming the sample for wrong shapes, lengths beyond T, or values not finite.
        """
        dtype = self.offset_scales[0].dtype
        numbers = check_features(features, lengths, self.recipe.feature_dim, self.name, dtype)
        if features.dtype in HALF:  # and the weights are not: autocast, which narrows products and nothing else
            features = features.to(dtype)
        totals = [self.padded_length(length) for length in numbers]
        keep = self._draw_keep(len(numbers), features)
        if self.padding != "sample" and len(set(totals)) == 1:
            return self._run(features, numbers, totals[0], keep)
        singles = []
        for i, (length, total) in enumerate(zip(numbers, totals, strict=True)):
            sites = None if keep is None else [site[i : i + 1] for site in keep]
            singles.append(self._run(features[i : i + 1], [length], total, sites))
        return singles[0] if len(singles) == 1 else _stack(singles)

    def loss(self, outputs: PyramidOutputs, targets: list[Target]) -> dict[str, Tensor]:
        """Return `classification`, `regression` and `total`; in training also update the running normaliser.

        Keep targets on the CPU: assignment runs there, so that no step waits for the device.
        """
        check_outputs(outputs, PyramidOutputs, f"{self.name} loss")
        check_targets(targets, len(outputs.lengths), self.recipe.num_classes, self.name)
        with torch.autocast(outputs.logits[0].device.type, enabled=False):
            return pyramid_loss.loss(
                outputs,
                targets,
                self.recipe,
                self.loss_normalizer,
                counted=self.training,
                cheapest=self.name == "temporalmaxer",
            )

    def decode(self, outputs: PyramidOutputs, lengths: Tensor) -> list[Candidates]:
        """Return candidates per sample: level by level, by falling score, in feature steps; before NMS.

        `lengths` [B] may be shorter than those of the outputs, whose points behind them are then left out.
        """
        where = f"{self.name} decode"
        check_outputs(outputs, PyramidOutputs, where)
        numbers = read_lengths(lengths, outputs.lengths, where)
        check_finite_outputs(zip(*outputs.logits, *outputs.offsets, strict=True), where)
        with torch.autocast(outputs.logits[0].device.type, enabled=False):
            return decode(outputs, numbers, self.recipe)

    def upstream_form(self, on: bool = True) -> PyramidDetector:
        """Switch to upstream's arithmetic (padding, chunked attention, separate levels), for counting its MACs."""
        if on and self.recipe.max_seq_len % self.padding_divisor:
            raise InputError(
                f"max_seq_len {self.recipe.max_seq_len} is not a multiple of {self.padding_divisor}, into which "
                "upstream's attention cuts each level",
                f"{self.name} in upstream's form",
                f"use a multiple of {self.padding_divisor}",
            )
        self.padding = "upstream" if on else "sample"
        for module in self.modules():
            if hasattr(module, "upstream_arithmetic"):
                setattr(module, "upstream_arithmetic", on)  # noqa: B010
        return self

    def _draw_keep(self, batch: int, like: Tensor) -> list[Tensor] | None:
        if not self.training or self.recipe.drop_path == 0 or self.encoder.drop_sites == 0:
            return None
        stay = 1 - self.recipe.drop_path
        device = "cpu" if self.generator is None else self.generator.device
        draws = torch.rand(self.encoder.drop_sites, batch, generator=self.generator, device=device)
        kept = (draws + stay).floor() / stay
        return list(kept.to(like.device, like.dtype, non_blocking=True))

    def _run(self, features: Tensor, lengths: list[int], total: int, keep: list[Tensor] | None) -> PyramidOutputs:
        margin = total if self.padding == "upstream" else self.encoder.margin
        levels = plan_levels(lengths, total, self.recipe.levels, margin, features.device, features.dtype)
        x = self._pad(features, lengths, levels[0])
        for unit in self.embed:
            x = unit(x, levels[0].mask)
        pyramid = self.encoder(x, levels, None if keep is None else list(keep))
        return self._apply_heads(pyramid, levels, tuple(lengths))

    def _pad(self, features: Tensor, lengths: list[int], level: Level) -> Tensor:
        longest = max(lengths)
        x = F.pad(features[..., :longest], (0, level.columns - longest))
        if len(set(lengths)) > 1:
            x = x.masked_fill(level.mask == 0, 0)  # not a product: 0 times NaN is NaN
        if self.training and self.recipe.input_noise_std > 0:
            for index, length in enumerate(lengths):
                self._add_noise(x[index, :, : length + 1])
        return x

    def _add_noise(self, x: Tensor) -> None:
        # upstream adds noise to the whole padded batch; the first step behind the video is the last one that is seen
        device = x.device if self.generator is None else self.generator.device
        noise = torch.randn(x.shape, generator=self.generator, device=device, dtype=x.dtype)
        x.add_(noise.to(x.device, non_blocking=True), alpha=self.recipe.input_noise_std)

    def _apply_heads(self, pyramid: list[Tensor], levels: list[Level], lengths: tuple[int, ...]) -> PyramidOutputs:
        if self.padding == "upstream":
            packs = [PackedLevels([x], [level], gap=False) for x, level in zip(pyramid, levels, strict=True)]
        else:
            packs = [PackedLevels(pyramid, levels)]

        def apply(head: Head, detach: bool = False) -> tuple[Tensor, ...]:
            outputs: list[Tensor] = []
            for pack in packs:
                x = pack.features.detach() if detach else pack.features
                outputs += pack.split(widened(head(x, pack.mask, pack.gaps)))
            return tuple(outputs)

        raw = apply(self.regressor)
        offsets = tuple(F.relu(x * scale) for x, scale in zip(raw, self.offset_scales, strict=True))
        starts = apply(self.start_head, detach=True) if self.trident else ()
        ends = apply(self.end_head, detach=True) if self.trident else ()
        return PyramidOutputs(apply(self.classifier), offsets, starts, ends, lengths)


def _stack(singles: list[PyramidOutputs]) -> PyramidOutputs:
    """Stack single-video outputs into a batch, zeros behind the shorter ones."""

    def stack(per_sample: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        levels = []
        for tensors in zip(*per_sample, strict=True):
            width = max(t.shape[-1] for t in tensors)
            levels.append(torch.cat([F.pad(t, (0, width - t.shape[-1])) for t in tensors]))
        return tuple(levels)

    return PyramidOutputs(
        stack([single.logits for single in singles]),
        stack([single.offsets for single in singles]),
        stack([single.starts for single in singles]),
        stack([single.ends for single in singles]),
        tuple(length for single in singles for length in single.lengths),
    )
