"""What bends the learning curves: finished ablation runs in; rows, a figure and a text of effects at each share out."""
