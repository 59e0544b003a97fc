"""From candidate segments to a mAP: tIoU, NMS and voting, post-processing, protocols, mean average precision."""
