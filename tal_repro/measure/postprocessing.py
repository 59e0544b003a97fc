"""What follows a native model in inference, for timing it: decoding and NMS, as evaluation does them for one video."""

from __future__ import annotations

from typing import Any

NOMINAL_FEATURE_FPS = 3.75  # of THUMOS14 at 30 frames a second and stride 8; it scales seconds, not the work


def postprocess(model: Any, outputs: Any, inputs: tuple[Any, ...]) -> Any:
    """Return the detections of one input from a native model's raw outputs."""
    import torch

    from tal_repro.detection.postprocess import SliceCandidates, Suppression, merge_slices, suppress
    from tal_repro.detection.soft_nms import SoftNms

    with torch.inference_mode():
        candidates = model.decode(outputs, inputs[1])[0]
    segments, scores, labels = (
        (field.float() if field.is_floating_point() else field).cpu().numpy() for field in candidates
    )
    recipe = model.recipe
    if recipe.samples == "clips":
        how = Suppression(SoftNms(sigma=recipe.nms_sigma, min_score=recipe.nms_min_score))
        return suppress(segments, scores, labels, recipe.max_detections, how)
    slices = [SliceCandidates(0, int(inputs[1][0]), segments, scores, labels)]
    return merge_slices(slices, NOMINAL_FEATURE_FPS, recipe.nms_iou, recipe.max_detections)
